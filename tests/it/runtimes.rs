//! The runtimes: what the pool asks of them, and what it does when they are odd, late or gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use watertight::{BoxFuture, BuildError, Pool, Spawner, SyncPool, Timer};

use crate::support::{Virtual, World};

mod threads {
    include!("../support/threads.rs");
}
use threads::Threads;

/// Counts what it is asked for.
#[derive(Clone, Default)]
struct Counting(Arc<Asked>);

#[derive(Default)]
struct Asked {
    tasks: AtomicUsize,
    times: AtomicUsize,
    timers: AtomicUsize,
}

impl Counting {
    fn all(&self) -> [usize; 3] {
        let Asked {
            tasks,
            times,
            timers,
        } = &*self.0;
        [tasks, times, timers].map(|counter| counter.load(Ordering::SeqCst))
    }
}

impl Spawner for Counting {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.tasks.fetch_add(1, Ordering::SeqCst);
        Threads.spawn(task);
    }
}

impl Timer for Counting {
    fn now(&self) -> Instant {
        self.0.times.fetch_add(1, Ordering::SeqCst);
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.0.timers.fetch_add(1, Ordering::SeqCst);
        Threads.sleep_until(at)
    }
}

#[test]
fn runtime_of_the_users_own_runs_a_pool() {
    let pool = Pool::from_fn(|| async { Ok::<_, io::Error>(7) })
        .max_size(2)
        .runtime(Threads)
        .build()
        .unwrap();
    let conn = block_on(pool.acquire()).unwrap();
    assert_eq!(*conn, 7);
    let second = block_on(pool.acquire()).unwrap();
    let late = block_on(pool.acquire_timeout(Duration::from_millis(20)));
    assert!(late.unwrap_err().is_timed_out());
    drop((conn, second));
    block_on(pool.close());
}

#[test]
fn hot_path_spawns_nothing_waits_for_nothing_and_reads_no_clock() {
    let runtime = Counting::default();
    let pool = SyncPool::from_fn(|| async { Ok::<_, io::Error>(()) })
        .runtime(runtime.clone())
        .build()
        .unwrap();
    drop(pool.acquire().unwrap());
    for _ in 0..1000 {
        drop(pool.acquire().unwrap());
    }
    let before = runtime.all();
    const CYCLES: usize = 100_000;
    for _ in 0..CYCLES {
        drop(pool.acquire().unwrap());
    }
    let after = runtime.all();
    let [tasks, times, timers] = std::array::from_fn(|i| after[i] - before[i]);
    assert_eq!(tasks, 0);
    // The maintenance reads the clock and sets its timer once a tick, a tenth of a second.
    assert!(times < CYCLES / 500, "{times} readings in {CYCLES} cycles");
    assert!(timers < CYCLES / 500, "{timers} timers in {CYCLES} cycles");
    pool.close();
}

#[test]
fn idle_pool_is_left_alone() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.idle_timeout(None).max_lifetime(None).min_idle(2));
        drop(runtime.block_on(pool.acquire_many(2)));
        runtime.advance(Duration::from_secs(5));
        assert_eq!(
            runtime.timers(),
            0,
            "nothing is due, so nothing is waited for"
        );
    });
}

#[test]
fn spawner_that_runs_tasks_on_the_spot_is_as_good_as_any() {
    struct OnTheSpot(Virtual);
    impl Spawner for OnTheSpot {
        fn spawn(&self, mut task: BoxFuture<()>) {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            if task.as_mut().poll(&mut cx).is_pending() {
                self.0.spawn(task);
            }
        }
    }
    impl Timer for OnTheSpot {
        fn now(&self) -> Instant {
            self.0.now()
        }
        fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
            self.0.sleep_until(at)
        }
    }
    World::by_hand(|w, runtime| {
        w.connects()
            .next([crate::support::err(), crate::support::panics()]);
        let pool = w.pool(|b| {
            b.max_size(2)
                .min_idle(1)
                .runtime(OnTheSpot(runtime.clone()))
        });
        let held = runtime.block_on(pool.acquire_many(2));
        for conn in held {
            conn.discard();
        }
        drop(runtime.block_on(pool.acquire_many(2)));
    });
}

#[test]
fn spawner_that_drops_every_task_leaves_the_work_to_those_who_wait() {
    let runtime = Virtual::new();
    runtime.drop_spawned(true);
    World::by_hand_on(runtime, |w, runtime| {
        let pool = w.pool(|b| b.max_size(2).min_idle(2));
        let held = runtime.block_on(pool.acquire_many(2));
        let mut third = Box::pin(pool.acquire());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(third.as_mut().poll(&mut cx).is_pending());
        for conn in held {
            conn.discard();
        }
        drop(runtime.block_on(third).unwrap());
        w.connects().next([crate::support::err()]);
        drop(runtime.block_on(pool.acquire_many(2)));
        assert!(w.connects().calls() >= 4, "also after a refusal");
    });
}

/// The attempt that one waiter runs serves whoever is first; if its runner goes, the next runs it.
#[test]
fn waiter_that_runs_an_attempt_may_go_and_the_next_takes_over() {
    let runtime = Virtual::new();
    runtime.drop_spawned(true);
    World::by_hand_on(runtime, |w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        w.connects()
            .always(crate::support::ok().after(Duration::from_millis(100)));
        let mut first = Box::pin(pool.acquire());
        let second = pool.clone();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let survivor = async {
            let watch = w.stopwatch();
            let conn = second.acquire().await.unwrap();
            watch.assert_at(150);
            drop(conn);
        };
        let quitter = async {
            w.sleep(50).await;
            drop(first);
            std::future::pending::<()>().await;
        };
        runtime.block_on(futures_lite::future::or(survivor, quitter));
    });
}

#[test]
fn pool_without_a_runtime_is_not_built() {
    let builder = Pool::from_fn(|| async { Ok::<_, io::Error>(()) });
    match builder.build() {
        // smol is there everywhere.
        Ok(_) if cfg!(feature = "smol") => {}
        Ok(_) => panic!("on which runtime?"),
        Err(error) => {
            assert_eq!(error, BuildError::NoRuntime);
            assert!(error.to_string().contains("runtime(..)"), "{error}");
        }
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::net::SocketAddr;
    use std::sync::LazyLock;
    use std::thread;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::{Builder, Runtime};
    use watertight::{CheckPolicy, Condition, FromFn, Manager, Metrics, TokioRuntime};

    use super::*;

    type Connect = fn() -> std::future::Ready<io::Result<u8>>;

    fn trivial() -> watertight::Builder<FromFn<Connect>> {
        Pool::from_fn(|| std::future::ready(Ok(0)))
    }

    #[test]
    fn tokio_without_its_timer_is_refused_when_the_pool_is_built() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let built = runtime.block_on(async { trivial().build() });
        assert_eq!(built.unwrap_err(), BuildError::NoTimer);
    }

    #[tokio::test(start_paused = true)]
    async fn paused_time_holds_the_pools_time_outs() {
        let pool = trivial().max_size(1).build().unwrap();
        let _held = pool.acquire().await.unwrap();
        let real = Instant::now();
        let error = pool.acquire().await.unwrap_err();
        assert!(error.is_timed_out());
        assert!(
            real.elapsed() < Duration::from_secs(20),
            "30 virtual seconds"
        );
    }

    #[test]
    fn sleep_goes_on_when_its_runtime_has_shut_down() {
        for flavor in [
            Builder::new_current_thread,
            Builder::new_multi_thread as fn() -> _,
        ] {
            let runtime: Runtime = flavor().enable_all().build().unwrap();
            let ours = runtime.block_on(async { TokioRuntime::current() });
            let start = Instant::now();
            let waited_for = Duration::from_millis(100);
            let mut polled = ours.sleep_until(ours.now() + waited_for);
            block_on(async {
                let poll = futures_lite::future::poll_once(&mut polled).await;
                assert!(poll.is_none());
            });
            let unpolled = ours.sleep_until(ours.now() + waited_for);
            let sleeper = thread::spawn(move || block_on(polled));
            drop(runtime);
            sleeper.join().unwrap();
            block_on(unpolled);
            block_on(ours.sleep_until(ours.now() + Duration::from_millis(1)));
            assert!(start.elapsed() >= waited_for);
        }
    }

    static SHARED: LazyLock<Pool<FromFn<Connect>>> =
        LazyLock::new(|| trivial().max_size(2).max_lifetime(None).build().unwrap());

    /// As in a test suite, where each test has a runtime and the pool is in a `static`.
    #[test]
    fn pool_in_a_static_outlives_runtime_after_runtime() {
        for round in 0..4 {
            let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let first = SHARED.acquire().await.unwrap();
                let second = SHARED.acquire().await.unwrap();
                let late = SHARED.acquire_timeout(Duration::from_millis(20)).await;
                assert!(late.unwrap_err().is_timed_out(), "round {round}");
                watertight::PooledConnection::discard(first);
                drop(second);
            });
            drop(runtime);
        }
        assert_eq!(SHARED.status().in_use, 0);
        assert_eq!(SHARED.status().closing, 0);
    }

    #[test]
    fn waiter_is_served_although_the_runtime_dies_under_it() {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        let pool = runtime.block_on(async {
            let connect = || async {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok::<_, io::Error>(1)
            };
            Pool::from_fn(connect)
                .max_size(1)
                .connect_timeout(None)
                .build()
        });
        let pool = pool.unwrap();
        let adopted = pool.clone();
        let waiter = thread::spawn(move || pool.sync().acquire_timeout(Duration::from_secs(60)));
        while adopted.status().connecting == 0 {
            thread::yield_now();
        }
        drop(runtime);
        // The attempt went with the runtime; the waiter runs one of its own, which cannot sleep
        // on a runtime that is gone and panics. Both cost an attempt, never the place.
        while adopted.adopt(2).is_err() {
            thread::yield_now();
        }
        assert_eq!(*waiter.join().unwrap().unwrap(), 2);
    }

    /// Needs tokio's reactor and timer in every method.
    struct Reactor(SocketAddr);

    impl Manager for Reactor {
        type Connection = TcpStream;
        type Error = io::Error;

        async fn connect(&self) -> io::Result<TcpStream> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            TcpStream::connect(self.0).await
        }

        async fn check(&self, stream: &mut TcpStream, _: &Metrics) -> io::Result<()> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.write_all(b"?").await?;
            stream.read_u8().await.map(drop)
        }

        fn inspect(&self, _: &mut TcpStream) -> Condition {
            Condition::Dirty
        }

        async fn recycle(&self, stream: &mut TcpStream) -> io::Result<()> {
            tokio::time::timeout(Duration::from_secs(20), async {
                stream.write_all(b"!").await?;
                stream.read_u8().await.map(drop)
            })
            .await?
        }

        async fn close(&self, mut stream: TcpStream) {
            let _ = stream.shutdown().await;
        }
    }

    /// Echoes whatever comes, until the process ends.
    fn echo_server() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((mut stream, _)) = listener.accept().await {
                    tokio::spawn(async move {
                        let (mut read, mut write) = stream.split();
                        let _ = tokio::io::copy(&mut read, &mut write).await;
                    });
                }
            });
        });
        address
    }

    #[test]
    fn manager_that_needs_a_reactor_works_from_a_plain_thread() {
        let pool = SyncPool::builder(Reactor(echo_server()))
            .max_size(2)
            .check_policy(CheckPolicy::Always)
            .runtime(TokioRuntime::background())
            .build()
            .unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        drop(pool.acquire().unwrap());
                    }
                });
            }
        });
        pool.release(pool.acquire().unwrap());
        let closes = pool.statistics().closes;
        assert_eq!(
            closes.total(),
            0,
            "all checks and recyclings went well: {closes:?}"
        );
        assert_eq!(pool.statistics().connects, 2);
        pool.close();
    }

    /// Threads of the runtime that block in an acquire hold up their tasks, not the pool.
    #[test]
    fn blocking_acquire_in_a_task_does_not_dead_lock_a_multi_thread_runtime() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let connect = || async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, io::Error>(())
            };
            let pool = Pool::from_fn(connect).max_size(1).build().unwrap();
            let blocking = pool.sync();
            let task = tokio::spawn(async move { blocking.acquire().map(drop) });
            task.await.unwrap().unwrap();
            pool.close().await;
        });
    }

    /// On a single thread nothing else can run meanwhile: the deadline ends it.
    #[test]
    fn blocking_acquire_on_the_only_thread_ends_at_its_deadline() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pool = trivial().max_size(1).build().unwrap();
            let _held = pool.acquire().await.unwrap();
            let limit = Duration::from_millis(50);
            let late = pool.sync().acquire_timeout(limit).unwrap_err();
            assert!(late.is_timed_out(), "{late:?}");
        });
    }

    #[test]
    fn tasks_and_threads_share_one_queue() {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pool = trivial().max_size(1).build().unwrap();
            let held = pool.acquire().await.unwrap();
            let order = Arc::new(std::sync::Mutex::new(Vec::new()));
            let mut ends = Vec::new();
            for turn in 0..6 {
                let (pool, order) = (pool.clone(), Arc::clone(&order));
                let waiting = pool.status().waiting;
                let handle = pool.clone();
                ends.push(match turn % 2 {
                    0 => tokio::spawn(async move {
                        let _conn = handle.acquire().await.unwrap();
                        order.lock().unwrap().push(turn);
                    }),
                    _ => tokio::task::spawn_blocking(move || {
                        let _conn = handle.sync().acquire().unwrap();
                        order.lock().unwrap().push(turn);
                    }),
                });
                while pool.status().waiting == waiting {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            drop(held);
            for end in ends {
                end.await.unwrap();
            }
            assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
        });
    }
}
