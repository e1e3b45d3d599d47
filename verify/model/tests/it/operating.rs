//! What an operator does, and a queue that is full, against everything else.

use std::sync::Arc;

use watertight::{Condition, Pool};

use crate::support::{block_on, explore, explore_crowd, held, queued};

/// The pool is paused, whenever that is complete.
fn pause<M: watertight::Manager>(pool: &Pool<M>) {
    drop(pool.pause());
}

#[test]
fn pause_and_hand_off_lose_no_connection() {
    explore_crowd(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        let operator = pool.clone();
        world.thread(move || {
            block_on(operator.pause());
            let status = operator.status();
            assert_eq!((status.paused, status.in_use), (true, 0), "{status:?}");
            operator.resume();
        });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn pause_is_complete_when_what_comes_back_is_recycled() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let mut guard = held(&pool);
        guard.condition = Condition::Dirty;
        let operator = pool.clone();
        world.thread(move || {
            block_on(operator.pause());
            let status = operator.status();
            assert_eq!((status.in_use, status.recycling), (0, 0), "{status:?}");
        });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn pause_is_over_when_the_pool_closes() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        world.blocked(pool.pause());
        let closing = pool.clone();
        world.thread(move || drop(closing.close()));
        world.settle();
        drop(guard);
        world.finish(pool, 0);
    });
}

#[test]
fn newcomer_is_served_when_the_pool_is_resumed() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        pause(&pool);
        let (newcomer, operator) = (pool.clone(), pool.clone());
        world.blocked(async move { drop(newcomer.acquire().await.expect("served")) });
        world.thread(move || operator.resume());
        world.finish(pool, 1);
    });
}

#[test]
fn resumed_pool_passes_the_turn_of_a_cancelled_waiter_on() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        pause(&pool);
        let (first, second) = (queued(&pool), queued(&pool));
        let operator = pool.clone();
        world.thread(move || operator.resume());
        world.thread(move || drop(first));
        world.task(async move { drop(second.await.expect("served")) });
        world.finish(pool, 1);
    });
}

#[test]
fn reset_and_return_leave_nothing_of_before() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        world.thread(move || drop(guard));
        let (operator, ledger) = (pool.clone(), Arc::clone(&world.ledger));
        world.thread(move || {
            operator.reset();
            block_on(operator.wait_reset());
            assert!(ledger.is_done_with(0), "something old is left");
        });
        world.finish(pool, 0);
    });
}

#[test]
fn reset_and_connect_in_flight_leave_nothing_of_before() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        let (operator, ledger) = (pool.clone(), Arc::clone(&world.ledger));
        world.thread(move || {
            let begun = ledger.attempts();
            operator.reset();
            block_on(operator.wait_reset());
            assert!(ledger.is_done_with(begun), "something old is left");
        });
        world.settle();
        assert_eq!(pool.status().waiting, 0);
        world.close(pool);
    });
}

#[test]
fn full_queue_has_room_again_when_its_last_is_served() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool.max_waiters(1));
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        let newcomer = pool.clone();
        world.blocked(async move {
            match newcomer.acquire().await {
                Ok(guard) => drop(guard),
                Err(error) => assert!(error.is_queue_full(), "{error:?}"),
            }
        });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}
