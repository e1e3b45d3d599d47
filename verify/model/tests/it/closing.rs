//! The end of a pool, against everything else.

use std::sync::Arc;

use watertight::Condition;

use crate::support::{assert_served_or_closed, block_on, explore, explore_crowd, held, queued};

#[test]
fn last_handle_and_a_guard_may_go_together() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        world.thread(move || drop(pool));
        world.thread(move || drop(guard));
        world.over();
    });
}

#[test]
fn two_handles_dropped_together_shut_the_pool_down() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let other = pool.clone();
        world.thread(move || drop(pool));
        world.thread(move || drop(other));
        world.over();
    });
}

#[test]
fn connect_in_flight_is_closed_with_the_pool() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        let waiter = queued(&pool);
        world.blocked(async move { assert_served_or_closed(&waiter.await) });
        let (closing, ledger) = (pool.clone(), Arc::clone(&world.ledger));
        world.thread(move || {
            block_on(closing.close());
            assert_eq!(ledger.live(), 0, "closed, and yet something is left");
        });
        world.finish(pool, 0);
    });
}

#[test]
fn caller_is_served_or_told_that_the_pool_closes() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let (caller, closing) = (pool.clone(), pool.clone());
        world.blocked(async move { assert_served_or_closed(&caller.acquire().await) });
        world.thread(move || block_on(closing.close()));
        world.finish(pool, 0);
    });
}

#[test]
fn waiter_is_served_or_told_that_the_pool_closes() {
    explore_crowd(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        world.blocked(async move { assert_served_or_closed(&waiter.await) });
        let closing = pool.clone();
        world.thread(move || drop(guard));
        world.thread(move || block_on(closing.close()));
        world.finish(pool, 0);
    });
}

#[test]
fn close_waits_for_what_comes_back() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        world.thread(move || drop(guard));
        let (closing, ledger) = (pool.clone(), Arc::clone(&world.ledger));
        world.thread(move || {
            block_on(closing.close());
            assert_eq!(ledger.live(), 0, "closed, and yet something is left");
        });
        world.finish(pool, 0);
    });
}

#[test]
fn release_ends_though_the_pool_closes() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let mut guard = held(&pool);
        guard.condition = Condition::Dirty;
        world.blocked(watertight::PooledConnection::release(guard));
        let closing = pool.clone();
        world.thread(move || block_on(closing.close()));
        world.finish(pool, 0);
    });
}

#[test]
fn two_who_close_both_learn_of_the_end() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        for _ in 0..2 {
            let closing = pool.clone();
            world.thread(move || block_on(closing.close()));
        }
        world.finish(pool, 0);
    });
}

#[test]
fn holder_hears_that_the_pool_closes() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let closed = pool.closed();
        world.blocked(async move {
            closed.await;
            drop(guard);
        });
        let closing = pool.clone();
        world.thread(move || block_on(closing.close()));
        world.finish(pool, 0);
    });
}

#[test]
fn everybody_hears_that_the_last_handle_goes() {
    explore_crowd(|world| {
        let pool = world.pool(1, |pool| pool);
        for _ in 0..2 {
            world.blocked(pool.closed());
        }
        world.thread(move || drop(pool));
        world.over();
    });
}

#[test]
fn closing_pool_adopts_nothing_it_does_not_close() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        let (closing, adopting, conn) = (pool.clone(), pool.clone(), world.conn());
        let ledger = Arc::clone(&world.ledger);
        world.thread(move || {
            if let Err(conn) = adopting.adopt(conn) {
                ledger.detached(conn.id());
            }
        });
        world.thread(move || block_on(closing.close()));
        world.finish(pool, 0);
    });
}

#[test]
fn handle_is_upgraded_before_the_last_one_goes_or_not_at_all() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let weak = pool.downgrade();
        world.thread(move || drop(pool));
        world.thread(move || {
            if let Some(pool) = weak.upgrade() {
                drop(pool.try_acquire().expect("it is still open"));
            }
        });
        world.over();
    });
}
