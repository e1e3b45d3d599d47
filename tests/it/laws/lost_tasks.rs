//! A runtime that drops the pool's tasks, or dies.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_lite::future::poll_once;
use watertight::{Backoff, Condition, ConnectPolicy, Timer};

use crate::support::{World, err, hang, ok};

/// Guarantee 11.
#[test]
fn connect_that_the_runtime_dropped_is_run_by_its_caller() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        runtime.drop_spawned(true);
        let conn = runtime.block_on(pool.acquire()).unwrap();
        drop(conn);
        assert_eq!(runtime.elapsed(), Duration::ZERO);
        assert_eq!(w.connects().calls(), 1);
        assert_eq!(pool.status().idle, 1);
    });
}

/// Guarantee 11.
#[test]
fn waiters_of_a_dead_runtime_serve_themselves() {
    World::by_hand(|w, runtime| {
        w.connects().next([hang(), ok().after(w.ms(100))]);
        let pool = w.pool(|b| b.max_size(1));
        runtime.block_on(async {
            let waiter = pool.acquire();
            let kill = async {
                w.until(|| w.connects().calls() == 1).await;
                runtime.kill();
                std::future::pending().await
            };
            let conn = futures_lite::future::or(waiter, kill).await;
            drop(conn.unwrap());
        });
        assert_eq!(runtime.elapsed(), w.ms(100));
        assert_eq!(w.connects().calls(), 2);
    });
}

/// Law 127 and guarantee 11: whoever waits for the end of a reset sees to it, if nobody else does.
#[test]
fn spread_reset_comes_to_its_end_without_a_keeper() {
    for dies_at in [0, 300] {
        World::by_hand(|w, runtime| {
            let pool = w.pool(|b| b.max_size(4));
            let held = runtime.block_on(pool.acquire_many(4));
            drop(held);
            pool.reset_over(w.ms(1000));
            let kill = async {
                w.sleep(dies_at).await;
                runtime.kill();
                w.sleep(500 - dies_at).await;
                // Somewhere in the middle.
                assert!((1..4).contains(&pool.status().size));
                std::future::pending().await
            };
            runtime.block_on(futures_lite::future::or(pool.wait_reset(), kill));
            assert_eq!(pool.status().size, 0);
            assert_eq!(pool.statistics().closes.reset, 4);
            let took = runtime.elapsed();
            assert!(took > w.ms(500) && took <= w.ms(1000), "{took:?}");
        });
    }
}

/// Law 127 and guarantee 11: what was lent when the wait began is due at a moment that nobody could
/// know yet.
#[test]
fn spread_reset_without_a_keeper_heeds_what_comes_back_during_the_wait() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(4).idle_timeout(None).max_lifetime(None));
        let held = runtime.block_on(pool.acquire_many(4));
        runtime.kill();
        pool.reset_over(w.ms(1000));
        let give_back = async move {
            w.sleep(1).await;
            drop(held);
            std::future::pending().await
        };
        runtime.block_on(futures_lite::future::or(pool.wait_reset(), give_back));
        assert_eq!(pool.status().size, 0);
        assert_eq!(pool.statistics().closes.reset, 4);
        let took = runtime.elapsed();
        assert!(took > w.ms(500) && took <= w.ms(1000), "{took:?}");
    });
}

/// Guarantee 11.
#[test]
fn guard_outlives_the_runtime() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2));
        let held = runtime.block_on(pool.acquire_many(2));
        runtime.kill();
        drop(held);
        assert_eq!(pool.status().idle, 2);
        let conn = runtime.block_on(pool.acquire()).unwrap();
        conn.discard();
        assert_eq!(pool.status().size, 1);
    });
}

/// Law 77 and guarantee 11: nobody keeps time, and yet none is lent that is too old.
#[test]
fn expired_connection_is_not_lent_on_a_dead_runtime() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1).max_lifetime(w.ms(1000)));
        drop(runtime.block_on(pool.acquire()).unwrap());
        runtime.kill();
        runtime.advance(w.ms(1000));
        let conn = runtime.block_on(pool.acquire()).unwrap();
        assert_eq!(conn.id(), 1);
        assert_eq!(conn.metrics().created_at(), runtime.now());
    });
}

/// Guarantee 11: who runs the attempts keeps their schedule as well.
#[test]
fn waiter_of_a_dead_runtime_keeps_the_schedule() {
    World::by_hand(|w, runtime| {
        w.connects().next([hang(), err(), ok()]);
        let schedule = Backoff::new(w.ms(100), w.ms(1000));
        let pool = w.pool(|b| b.max_size(1).connect_policy(ConnectPolicy::Retry(schedule)));
        runtime.block_on(async {
            let waiter = pool.acquire();
            let kill = async {
                w.until(|| w.connects().calls() == 1).await;
                runtime.kill();
                std::future::pending().await
            };
            drop(futures_lite::future::or(waiter, kill).await.unwrap());
        });
        assert_eq!(runtime.elapsed(), w.ms(100));
        assert_eq!(w.connects().calls(), 3);
    });
}

/// Guarantee 11: a waiter whose attempt has failed leaves the rest to those whose work it is.
#[test]
fn waiter_that_ran_an_attempt_is_not_woken_for_the_next() {
    World::by_hand(|w, runtime| {
        w.connects().next([err(), hang()]);
        let schedule = Backoff::new(w.ms(100), w.ms(1000));
        let pool = w.pool(|b| b.max_size(1).connect_policy(ConnectPolicy::Retry(schedule)));
        runtime.settle();
        let polls = Arc::new(AtomicUsize::new(0));
        let (waiting, counted) = (pool.clone(), Arc::clone(&polls));
        let tasks = runtime.clone();
        let timeout = w.ms(500);
        let waiter = w.spawn(async move {
            let mut acquire = Box::pin(waiting.acquire_timeout(timeout));
            let counting = std::future::poll_fn(|cx| {
                // The task that would connect is lost.
                tasks.drop_spawned(counted.fetch_add(1, Ordering::SeqCst) == 0);
                acquire.as_mut().poll(cx)
            });
            counting.await
        });
        runtime.settle();
        assert_eq!(w.connects().calls(), 1, "the waiter runs it");
        let before = polls.load(Ordering::SeqCst);
        runtime.advance(w.ms(200));
        assert_eq!(w.connects().calls(), 2, "the keeper sees to the next");
        assert_eq!(polls.load(Ordering::SeqCst), before);
        assert!(runtime.block_on(waiter).unwrap_err().is_timed_out());
    });
}

/// Guarantee 11: what comes back dirty is made clean again once tasks are run again.
#[test]
fn connection_is_recycled_though_the_first_keeper_was_lost() {
    World::by_hand(|w, runtime| {
        runtime.drop_spawned(true);
        let pool = w.pool(|b| b.max_size(1));
        runtime.drop_spawned(false);
        let mut conn = runtime.block_on(pool.acquire()).unwrap();
        conn.condition = Condition::Dirty;
        drop(conn);
        runtime.settle();
        assert_eq!((w.recycles().calls(), pool.status().idle), (1, 1));
        assert_eq!(pool.statistics().closes.total(), 0);
    });
}

/// Guarantee 11: nobody is left to make it clean again.
#[test]
fn dirty_connection_is_not_kept_when_the_keeper_is_gone() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        let mut conn = runtime.block_on(pool.acquire()).unwrap();
        runtime.kill();
        conn.condition = Condition::Dirty;
        drop(conn);
        assert_eq!((w.recycles().calls(), pool.status().size), (0, 0));
        assert_eq!(pool.statistics().closes.return_queue_full, 1);
    });
}

/// Guarantee 11: he who stands in for the keeper hears of a loan that begins after he looked.
#[test]
fn leak_is_reported_without_a_keeper_while_somebody_waits() {
    World::by_hand(|w, runtime| {
        runtime.drop_spawned(true);
        let pool = w.pool(|b| b.max_size(1).leak_threshold(w.ms(1000)));
        let held = runtime.block_on(pool.acquire()).unwrap();
        let mut first = Box::pin(pool.acquire());
        assert!(runtime.block_on(poll_once(&mut first)).is_none());
        runtime.drop_spawned(false);
        let second = w.acquiring_within(&pool, 5000);
        runtime.drop_spawned(true);
        runtime.settle();
        drop(held);
        // The second stands in now, and sees no loan.
        runtime.settle();
        let leaked = runtime.block_on(first).unwrap();
        runtime.advance(w.ms(2000));
        assert_eq!(pool.statistics().leaks, 1);
        drop(leaked);
        drop(runtime.block_on(second).unwrap());
    });
}

/// Guarantee 11: so does he who waits for the end of a reset.
#[test]
fn leak_is_reported_without_a_keeper_while_somebody_waits_for_a_reset() {
    World::by_hand(|w, runtime| {
        runtime.drop_spawned(true);
        let pool = w.pool(|b| b.max_size(2).leak_threshold(w.ms(1000)));
        let old = runtime.block_on(pool.acquire()).unwrap();
        pool.reset();
        runtime.drop_spawned(false);
        let renewed = w.spawn(pool.wait_reset());
        runtime.drop_spawned(true);
        drop(runtime.block_on(pool.acquire()).unwrap());
        runtime.advance(w.ms(1500));
        assert_eq!(pool.statistics().leaks, 1);
        let new = pool.try_acquire().unwrap();
        runtime.advance(w.ms(1500));
        assert_eq!(pool.statistics().leaks, 2);
        drop((old, new));
        runtime.block_on(renewed);
    });
}
