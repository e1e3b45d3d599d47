//! A pool's runtime ends, in whichever way, while its connections are out.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use watertight::{CheckPolicy, Pool, PooledConnection, Runtime};

use super::mortal::Mortal;
#[cfg(feature = "tokio")]
use super::mortal::on_tokio;
use super::tally::{Tallied, Tally, tallied};
use super::{PATIENCE, Stopwatch, is_long, wait_until};

/// Makes a test of each body for each kind of runtime, which tries every way of ending.
macro_rules! runtimes_end {
    ($($body:ident),+ $(,)?) => {
        $(mod $body {
            use super::{$body as body, Mortal};

            #[cfg(feature = "tokio")]
            #[test]
            fn on_tokio_multi_thread() {
                for ending in super::on_tokio::ENDINGS {
                    body(|| Mortal::tokio(super::on_tokio::multi_thread, ending));
                }
            }

            #[cfg(feature = "tokio")]
            #[test]
            fn on_tokio_current_thread() {
                for ending in super::on_tokio::ENDINGS {
                    body(|| Mortal::tokio(super::on_tokio::current_thread, ending));
                }
            }

            #[test]
            fn on_an_executor_of_smols() {
                body(Mortal::executor);
            }
        })+
    };
}

runtimes_end!(
    pool_with_a_place_in_every_stage_outlives_its_runtime,
    tasks_that_die_with_their_runtime_give_everything_back,
    close_ends_when_the_runtime_takes_hung_closes_with_it,
    pool_built_on_a_dead_runtime_works,
);

type Guard = PooledConnection<Tallied>;

fn pool_with_a_place_in_every_stage_outlives_its_runtime(make: impl Fn() -> Mortal) {
    let mortal = make();
    let (tally, pool) = hangable(&mortal, 5);
    let lent = occupy_every_stage(&pool, &tally);
    let waiters = three_who_wait_elsewhere(&pool);
    // One is served by a check that hangs, one by a connect that hangs, one by nobody.
    wait_until(|| tally.hung() == [1, 1, 1, 1] && pool.status().waiting == 3);
    let status = pool.status();
    assert_eq!((status.size, status.in_use), (5, 1), "{status:?}");

    tally.hang(false);
    mortal.end();
    let served: Vec<Guard> = waiters
        .into_iter()
        .map(|waiter| waiter.join().unwrap())
        .collect();
    wait_until(|| tally.hung() == [0; 4]);
    assert_eq!(pool.status().in_use, 4);

    // Guards come back on plain threads.
    for guard in served.into_iter().chain([lent]) {
        thread::spawn(|| drop(guard)).join().unwrap();
    }
    let status = pool.status();
    assert_eq!((status.in_use, status.waiting), (0, 0), "{status:?}");
    goes_on(&pool, &tally);
    serves_the_next_runtime(&pool);
    assert!(tally.most() <= 5, "{tally:?}");
    block_on(pool.close());
    assert_eq!(tally.live(), 0, "{tally:?}");
}

fn hangable(mortal: &Mortal, max_size: usize) -> (Arc<Tally>, Pool<Tallied>) {
    let (tally, builder) = tallied();
    let pool = builder
        .max_size(max_size)
        .check_policy(CheckPolicy::Always)
        .acquire_timeout(PATIENCE)
        .connect_timeout(None)
        .check_timeout(None)
        .recycle_timeout(None)
        .close_timeout(None)
        .runtime(Arc::clone(&mortal.runtime))
        .build();
    (tally, pool.unwrap())
}

/// One is lent, one idle, one being recycled, one being closed; whatever begins now hangs.
fn occupy_every_stage(pool: &Pool<Tallied>, tally: &Tally) -> Guard {
    let [lent, idle, mut dirty, broken] = [(); 4].map(|()| pool.sync().acquire().unwrap());
    tally.hang(true);
    dirty.dirty = true;
    drop(dirty);
    PooledConnection::discard(broken);
    drop(idle);
    lent
}

/// On a thread through the sync facade, on a thread as a future, and on another runtime.
fn three_who_wait_elsewhere(pool: &Pool<Tallied>) -> [thread::JoinHandle<Guard>; 3] {
    let [one, two, three] = [(); 3].map(|()| pool.clone());
    [
        thread::spawn(move || one.sync().acquire().unwrap()),
        thread::spawn(move || block_on(two.acquire()).unwrap()),
        thread::spawn(move || {
            let elsewhere = smol::spawn(async move { three.acquire().await });
            block_on(elsewhere).unwrap()
        }),
    ]
}

/// All places can be had, deadlines hold, and what is discarded is closed.
fn goes_on(pool: &Pool<Tallied>, tally: &Tally) {
    let max = pool.status().max_size;
    let mut held: Vec<Guard> = (0..max).map(|_| pool.sync().acquire().unwrap()).collect();
    let timeout = Duration::from_millis(30);
    let watch = Stopwatch::start();
    assert!(
        block_on(pool.acquire_timeout(timeout))
            .unwrap_err()
            .is_timed_out()
    );
    watch.assert_at(timeout);
    let watch = Stopwatch::start();
    assert!(
        pool.sync()
            .acquire_timeout(timeout)
            .unwrap_err()
            .is_timed_out()
    );
    watch.assert_at(timeout);
    PooledConnection::discard(held.pop().unwrap());
    assert_eq!((pool.status().size, tally.live()), (max - 1, max - 1));
    held[0].dirty = true;
    drop(held);
    assert_eq!(pool.status().in_use, 0);
}

/// Another runtime is started, and its tasks use the pool.
fn serves_the_next_runtime(pool: &Pool<Tallied>) {
    #[cfg(feature = "tokio")]
    for flavor in on_tokio::FLAVORS {
        let next = flavor().enable_all().build().unwrap();
        next.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..8 {
                tasks.spawn(borrow_now_and_then(pool.clone()));
            }
            tasks.join_all().await;
        });
    }
    let tasks: Vec<_> = (0..8)
        .map(|_| smol::spawn(borrow_now_and_then(pool.clone())))
        .collect();
    for task in tasks {
        block_on(task);
    }
    assert_eq!(pool.status().in_use, 0);
}

async fn borrow_now_and_then(pool: Pool<Tallied>) {
    for _ in 0..10 {
        let conn = pool.acquire().await.unwrap();
        futures_lite::future::yield_now().await;
        drop(conn);
    }
}

/// The runtime ends in the middle of traffic, inside and outside.
fn tasks_that_die_with_their_runtime_give_everything_back(make: impl Fn() -> Mortal) {
    let rounds = if is_long() { 50 } else { 3 };
    for _ in 0..rounds {
        let mortal = make();
        let (tally, pool) = hangable(&mortal, 3);
        for n in 0..16 {
            mortal
                .runtime
                .spawn(Box::pin(busy(pool.clone(), n, mortal.runtime.clone())));
        }
        let outside: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                thread::spawn(move || {
                    for _ in 0..100 {
                        drop(pool.sync().acquire().unwrap());
                    }
                })
            })
            .collect();
        wait_until(|| pool.statistics().acquires > 200);
        mortal.end();
        for thread in outside {
            thread.join().unwrap();
        }
        wait_until(|| pool.status().in_use == 0 && pool.status().waiting == 0);
        goes_on(&pool, &tally);
        assert!(tally.most() <= 3, "{tally:?}");
        block_on(pool.close());
        assert_eq!(tally.live(), 0, "{tally:?}");
    }
}

/// Borrows for ever, and gives back in every way.
async fn busy(pool: Pool<Tallied>, n: usize, runtime: Arc<dyn Runtime>) {
    for turn in n.. {
        let Ok(mut conn) = pool.acquire().await else {
            return;
        };
        if turn % 3 == 0 {
            runtime
                .sleep_until(runtime.now() + Duration::from_micros(200))
                .await;
        }
        conn.dirty = turn % 5 == 0;
        match turn % 7 {
            0 => PooledConnection::discard(conn),
            1 => PooledConnection::release(conn).await,
            2 => {
                conn.disown();
                drop(PooledConnection::detach(conn));
            }
            _ => drop(conn),
        }
    }
}

fn close_ends_when_the_runtime_takes_hung_closes_with_it(make: impl Fn() -> Mortal) {
    let mortal = make();
    let (tally, pool) = hangable(&mortal, 5);
    let lent = occupy_every_stage(&pool, &tally);
    let waiter = {
        let pool = pool.clone();
        thread::spawn(move || pool.sync().acquire().map(drop))
    };
    wait_until(|| tally.hung()[1..] == [1, 1, 1]);
    let grace = Duration::from_millis(30);
    let watch = Stopwatch::start();
    assert_eq!(
        block_on(pool.close_within(grace)),
        4,
        "all but the free one"
    );
    watch.assert_at(grace);
    assert!(waiter.join().unwrap().unwrap_err().is_closed());

    let closing = {
        let pool = pool.clone();
        thread::spawn(move || pool.sync().close())
    };
    mortal.end();
    wait_until(|| tally.live() == 1);
    assert!(!closing.is_finished(), "one is lent");
    drop(lent);
    closing.join().unwrap();
    assert_eq!((pool.status().size, tally.live()), (0, 0));
}

fn pool_built_on_a_dead_runtime_works(make: impl Fn() -> Mortal) {
    let mortal = make();
    let runtime = Arc::clone(&mortal.runtime);
    mortal.end();
    let (tally, builder) = tallied();
    let pool = builder.max_size(3).min_idle(1).runtime(runtime).build();
    let pool = pool.unwrap();
    goes_on(&pool, &tally);
    serves_the_next_runtime(&pool);
    drop(pool);
    assert_eq!(tally.live(), 0, "{tally:?}");
}

/// Guards and the last handle are dropped where blocking is allowed, by a runtime that has begun
/// to end.
#[cfg(feature = "tokio")]
#[test]
fn last_handle_and_guards_are_dropped_in_spawn_blocking_during_the_end() {
    struct Flag(Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    for flavor in on_tokio::FLAVORS {
        for ending in on_tokio::ENDINGS {
            let runtime = flavor().enable_all().build().unwrap();
            let (tally, builder) = tallied();
            let pool = runtime.block_on(async { builder.max_size(3).build() });
            let pool = pool.unwrap();
            let [clean, mut dirty, broken] =
                [(); 3].map(|()| runtime.block_on(pool.acquire()).unwrap());
            let fallen = Flag(Arc::default());
            let has_fallen = Arc::clone(&fallen.0);
            runtime.spawn(async move {
                let _flag = fallen;
                std::future::pending::<()>().await;
            });
            runtime.spawn_blocking(move || {
                wait_until(|| has_fallen.load(std::sync::atomic::Ordering::SeqCst));
                dirty.dirty = true;
                drop(clean);
                drop(dirty);
                PooledConnection::discard(broken);
                drop(pool);
            });
            ending(runtime);
            wait_until(|| tally.live() == 0);
            assert_eq!(tally.made(), 3);
        }
    }
}
