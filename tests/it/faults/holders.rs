//! Holders that die: aborted tasks, threads that end, thread-locals that are destroyed, and guards
//! that end up elsewhere.

use std::cell::RefCell;
use std::thread;

use watertight::{Pool, PooledConnection};

use super::tally::{Tallied, tallied};
#[cfg(any(feature = "smol", feature = "tokio"))]
use super::wait_until;
use super::{Site, faults};

type Guard = PooledConnection<Tallied>;

/// A pool of one, and a way to see that nothing is left of it.
async fn with_a_pool_of_one(site: &Site, body: impl AsyncFnOnce(Pool<Tallied>)) {
    let (tally, builder) = tallied();
    let pool = builder.max_size(1).runtime(site.runtime()).build().unwrap();
    body(pool.clone()).await;
    drop(site.acquire(&pool).await.unwrap());
    let status = pool.status();
    assert_eq!((status.in_use, status.waiting), (0, 0), "{status:?}");
    pool.close().await;
    assert_eq!((tally.live(), tally.most()), (0, 1), "{tally:?}");
}

/// One waits while a thread holds the only connection and ends, well or badly.
async fn thread_that_ends_while_holding_serves_the_waiter(site: Site) {
    for panics in [false, true] {
        with_a_pool_of_one(&site, async |pool| {
            let guard = site.acquire(&pool).await.unwrap();
            let waiter = {
                let (site, pool) = (site.clone(), pool.clone());
                site.clone()
                    .spawn(async move { site.acquire(&pool).await.map(drop) })
            };
            site.until(|| pool.status().waiting == 1).await;
            let holder = thread::spawn(move || {
                let _guard = guard;
                if panics {
                    std::panic::resume_unwind(Box::new("the holder panics"));
                }
            });
            waiter.await.unwrap();
            assert_eq!(holder.join().is_err(), panics);
            let closes = pool.statistics().closes;
            assert_eq!(
                (closes.discarded, closes.total()),
                (panics.into(), panics.into())
            );
        })
        .await;
    }
}

thread_local! {
    static HELD: RefCell<Vec<Guard>> = const { RefCell::new(Vec::new()) };
}

/// Enters a runtime of tokio's, if there is one, so that its own thread-local exists.
fn touch_tokio() {
    let _ = tokio::runtime::Handle::try_current();
    drop(
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .enter(),
    );
}

/// A guard in a thread-local comes back when the thread ends: whatever state it is in, before or
/// after the runtime's own thread-locals are gone, and also if the thread panicked.
async fn guard_in_a_thread_local_comes_back_when_its_thread_ends(site: Site) {
    for (tokio_first, dirty, panics) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, false),
        (false, true, true),
        (true, false, true),
    ] {
        with_a_pool_of_one(&site, async |pool| {
            let mut guard = site.acquire(&pool).await.unwrap();
            guard.dirty = dirty;
            let holder = thread::spawn(move || {
                if tokio_first {
                    touch_tokio();
                }
                HELD.with_borrow_mut(|held| held.push(guard));
                touch_tokio();
                if panics {
                    std::panic::resume_unwind(Box::new("the holder panics"));
                }
            });
            assert_eq!(holder.join().is_err(), panics);
            assert_eq!(pool.status().in_use, 0);
        })
        .await;
    }
}

/// The pool itself, and a guard of it, are in the thread-locals of a worker of the very runtime
/// that they need, which ends.
#[cfg(feature = "tokio")]
#[test]
fn pool_in_a_thread_local_of_a_worker_ends_with_it() {
    thread_local! {
        static POOLS: RefCell<Vec<(Pool<Tallied>, Guard)>> = const { RefCell::new(Vec::new()) };
    }
    for dirty in [false, true] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (tally, builder) = tallied();
        let kept = runtime.spawn(async move {
            let pool = builder.max_size(1).build().unwrap();
            let mut guard = pool.acquire().await.unwrap();
            guard.dirty = dirty;
            POOLS.with_borrow_mut(|pools| pools.push((pool, guard)));
        });
        futures_lite::future::block_on(kept).unwrap();
        assert_eq!(tally.live(), 1);
        drop(runtime);
        wait_until(|| tally.live() == 0);
    }
}

/// A guard is used and dropped on other runtimes and threads than its own.
async fn guard_can_be_dropped_on_any_thread_and_runtime(site: Site) {
    with_a_pool_of_one(&site, async |pool| {
        for dirty in [false, true] {
            let mut guard = site.acquire(&pool).await.unwrap();
            guard.dirty = dirty;
            // It travels: a thread, a runtime of tokio's, and smol's.
            let guard = thread::spawn(move || guard).join().unwrap();
            let on_tokio = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async move {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    guard
                })
            });
            let guard = on_tokio.join().unwrap();
            smol::spawn(async move {
                futures_lite::future::yield_now().await;
                PooledConnection::release(guard).await;
            })
            .await;
            let status = pool.status();
            assert_eq!((status.idle, status.size), (1, 1), "{status:?}");
        }
        assert_eq!(pool.statistics().connects, 1, "always the same");
    })
    .await;
}

/// A task that waits and one that holds are aborted by the runtime's own means.
#[cfg(feature = "tokio")]
#[test]
fn tokio_task_aborted_while_holding_serves_the_waiter() {
    for builder in [
        tokio::runtime::Builder::new_multi_thread,
        tokio::runtime::Builder::new_current_thread as fn() -> _,
    ] {
        let runtime = builder().enable_all().build().unwrap();
        runtime.block_on(async {
            let (tally, builder) = tallied();
            let pool = builder.max_size(1).build().unwrap();
            for _ in 0..100 {
                let hold = |pool: Pool<Tallied>| async move {
                    let _guard = pool.acquire().await.unwrap();
                    std::future::pending::<()>().await;
                };
                let holder = tokio::spawn(hold(pool.clone()));
                while pool.status().in_use == 0 {
                    tokio::task::yield_now().await;
                }
                let quitter = tokio::spawn(hold(pool.clone()));
                while pool.status().waiting == 0 {
                    tokio::task::yield_now().await;
                }
                let waiter = tokio::spawn({
                    let pool = pool.clone();
                    async move { pool.acquire().await.map(drop) }
                });
                while pool.status().waiting == 1 {
                    tokio::task::yield_now().await;
                }
                holder.abort();
                quitter.abort();
                waiter.await.unwrap().unwrap();
                assert!(holder.await.unwrap_err().is_cancelled());
                assert!(quitter.await.unwrap_err().is_cancelled());
            }
            assert_eq!(tally.made(), 1, "always the same");
            assert_eq!(pool.status().in_use, 0);
        });
    }
}

/// As above: a smol task is aborted by being dropped.
#[cfg(feature = "smol")]
#[test]
fn smol_task_dropped_while_holding_serves_the_waiter() {
    futures_lite::future::block_on(async {
        let (tally, builder) = tallied();
        let pool = builder
            .max_size(1)
            .runtime(watertight::SmolRuntime::new())
            .build()
            .unwrap();
        for _ in 0..100 {
            let hold = |pool: Pool<Tallied>| async move {
                let _guard = pool.acquire().await.unwrap();
                std::future::pending::<()>().await;
            };
            let holder = smol::spawn(hold(pool.clone()));
            wait_until(|| pool.status().in_use == 1);
            let quitter = smol::spawn(hold(pool.clone()));
            wait_until(|| pool.status().waiting == 1);
            let waiter = smol::spawn({
                let pool = pool.clone();
                async move { pool.acquire().await.map(drop) }
            });
            wait_until(|| pool.status().waiting == 2);
            drop(holder);
            drop(quitter);
            waiter.await.unwrap();
        }
        assert_eq!(tally.made(), 1, "always the same");
        wait_until(|| pool.status().in_use == 0);
    });
}

faults!(
    thread_that_ends_while_holding_serves_the_waiter,
    guard_in_a_thread_local_comes_back_when_its_thread_ends,
    guard_can_be_dropped_on_any_thread_and_runtime,
);
