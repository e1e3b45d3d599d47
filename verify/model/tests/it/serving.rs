//! A connection that comes back, and those who want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use watertight::CheckPolicy;

use crate::support::{Script, block_on, explore, held, queued};

#[test]
fn dropped_guard_serves_a_concurrent_acquire() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let other = pool.clone();
        world.blocked(async move { drop(other.acquire().await.expect("served")) });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn waiter_that_is_polled_again_is_woken_by_its_newest_waker() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn waiters_are_served_in_the_order_in_which_they_came() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let turns = Arc::new(AtomicUsize::new(0));
        for turn in 0..2 {
            let waiter = queued(&pool);
            let turns = Arc::clone(&turns);
            world.task(async move {
                let guard = waiter.await.expect("served");
                assert_eq!(turns.fetch_add(1, Ordering::Relaxed), turn);
                drop(guard);
            });
        }
        world.thread(move || drop(guard));
        world.finish(pool, 1);
        assert_eq!(turns.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn newcomer_does_not_take_what_comes_back_for_a_waiter() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        let served = Arc::new(AtomicBool::new(false));
        let was_served = Arc::clone(&served);
        world.blocked(async move {
            let guard = waiter.await.expect("served");
            served.store(true, Ordering::Relaxed);
            drop(guard);
        });
        let newcomer = pool.clone();
        world.thread(move || {
            if let Some(guard) = newcomer.try_acquire() {
                assert!(was_served.load(Ordering::Relaxed), "it was not his turn");
                drop(guard);
            }
        });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn newcomer_does_not_take_what_is_checked_for_a_waiter() {
    explore(|world| {
        let script = Script {
            failing_checks: 1,
            ..Script::default()
        };
        let pool = world.scripted_pool(2, script, |pool| pool.check_policy(CheckPolicy::Always));
        world.warm(&pool, 2);
        // Its check has been asked for, and the other connection is idle beside it.
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        let (newcomer, ledger) = (pool.clone(), Arc::clone(&world.ledger));
        world.thread(move || {
            let guard = newcomer.try_acquire();
            // While the first check has not begun, the waiter cannot have been served.
            assert!(
                guard.is_none() || ledger.checks() > 0,
                "it was not his turn"
            );
            drop(guard);
        });
        world.settle();
        assert_eq!(pool.status().waiting, 0);
        world.close(pool);
    });
}

#[test]
fn two_returns_serve_two_waiters() {
    explore(|world| {
        let pool = world.pool(2, |pool| pool);
        world.warm(&pool, 2);
        let guards = [held(&pool), held(&pool)];
        for _ in 0..2 {
            let waiter = queued(&pool);
            world.task(async move { drop(waiter.await.expect("served")) });
        }
        for guard in guards {
            world.thread(move || drop(guard));
        }
        world.finish(pool, 2);
    });
}

#[test]
fn blocked_thread_and_task_are_both_served() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let (thread, task) = (pool.sync(), pool.clone());
        world.thread(move || drop(thread.acquire().expect("served")));
        world.task(async move { drop(task.acquire().await.expect("served")) });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn connect_and_return_race_to_serve_one_waiter() {
    explore(|world| {
        let pool = world.pool(2, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        // Joining, it has asked for another connection.
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.thread(move || drop(guard));
        world.finish(pool, 2);
    });
}

#[test]
fn handles_on_several_threads_share_one_place() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        for _ in 0..2 {
            let other = pool.clone();
            world.thread(move || drop(block_on(other.acquire()).expect("served")));
        }
        world.finish(pool, 1);
    });
}

#[test]
fn adopted_connection_serves_a_concurrent_acquire() {
    explore(|world| {
        let script = Script {
            hanging_connects: 1,
            ..Script::default()
        };
        let pool = world.scripted_pool(2, script, |pool| pool);
        let (caller, adopting, conn) = (pool.clone(), pool.clone(), world.conn());
        world.blocked(async move { drop(caller.acquire().await.expect("served")) });
        world.thread(move || assert!(adopting.adopt(conn).is_ok()));
        world.settle();
        assert_eq!((pool.status().waiting, pool.status().idle), (0, 1));
        // The attempt that hangs would hold up the end.
        world.lose_tasks();
        world.close(pool);
    });
}

#[test]
fn retain_lets_go_of_nothing_that_is_lent() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let (caller, retaining) = (pool.clone(), pool.clone());
        world.blocked(async move { drop(caller.acquire().await.expect("served")) });
        world.thread(move || {
            retaining.retain(|_, _| false);
        });
        world.settle();
        let status = pool.status();
        assert_eq!((status.waiting, status.size), (0, status.idle));
        world.close(pool);
    });
}
