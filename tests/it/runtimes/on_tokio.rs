//! On tokio.

mod in_a_task;
#[cfg(unix)]
mod refused;

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::mpsc::channel;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use watertight::{CheckPolicy, Condition, FromFn, Manager, Metrics, TokioRuntime};

use super::*;

/// What has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

type Connect = fn() -> std::future::Ready<io::Result<u8>>;

fn trivial() -> watertight::Builder<FromFn<Connect>> {
    Pool::from_fn(|| std::future::ready(Ok(0)))
}

fn two_workers() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn tokio_without_its_timer_is_refused_when_the_pool_is_built() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let built = runtime.block_on(async { trivial().build() });
    assert_eq!(built.unwrap_err(), BuildError::NoTimer);
    let from_outside = TokioRuntime::new(runtime.handle().clone());
    let built = trivial().runtime(from_outside).build();
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

/// Guarantee 11.
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

/// Guarantee 11. One of its workers is stuck, so its timers are not stopped, but they go off no more.
#[test]
fn sleep_goes_on_when_its_runtime_cannot_be_shut_down() {
    let runtime = two_workers();
    let ours = TokioRuntime::new(runtime.handle().clone());
    let (unstick, stuck) = channel::<()>();
    let (tell, told) = channel();
    runtime.spawn(async move {
        tell.send(()).unwrap();
        let _ = stuck.recv();
    });
    told.recv().unwrap();
    let handle = runtime.handle().clone();
    let waited_for = Duration::from_millis(300);
    let start = Instant::now();
    let (done, woken) = channel();
    let (tell, told) = channel();
    let sleeper = thread::spawn(move || {
        handle.block_on(async {
            let mut sleep = ours.sleep_until(ours.now() + waited_for);
            assert!(futures_lite::future::poll_once(&mut sleep).await.is_none());
            tell.send(()).unwrap();
            sleep.await;
            done.send(Instant::now()).unwrap();
        });
    });
    told.recv().unwrap();
    runtime.shutdown_background();
    let end = woken.recv_timeout(PATIENCE);
    drop(unstick);
    sleeper.join().unwrap();
    assert!(end.expect("it is woken meanwhile") >= start + waited_for);
}

/// Nobody runs the runtime, so what is posted there would pile up.
#[test]
fn sleep_from_elsewhere_leaves_nothing_behind() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ours = TokioRuntime::new(runtime.handle().clone());
    for _ in 0..10 {
        block_on(ours.sleep_until(ours.now() + Duration::from_millis(1)));
    }
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);
}

/// From where there is no runtime, of one that is there and then is not.
#[test]
fn sleep_from_elsewhere_goes_on_though_the_clock_was_paused() {
    let paused = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    paused.block_on(async { tokio::time::sleep(Duration::from_secs(3600)).await });
    let ours = TokioRuntime::new(paused.handle().clone());
    let soon = || ours.now() + Duration::from_millis(1);
    block_on(ours.sleep_until(soon()));
    drop(paused);
    let at = soon();
    block_on(ours.sleep_until(at));
    assert!(ours.now() >= at, "time goes on");
}

static SHARED: LazyLock<Pool<FromFn<Connect>>> =
    LazyLock::new(|| trivial().max_size(2).max_lifetime(None).build().unwrap());

/// Guarantee 11. As in a test suite, where each test has a runtime and the pool is in a `static`.
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

/// Guarantee 11.
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
