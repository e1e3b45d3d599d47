//! What time does to connections and attempts, while others are about their business.

use std::time::Duration;

use crate::support::{explore, queued};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn connection_is_lent_or_idle_for_too_long_but_not_both() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool.idle_timeout(SECOND));
        world.warm(&pool, 1);
        world.let_time_pass();
        let caller = pool.clone();
        world.blocked(async move { drop(caller.acquire().await.expect("served")) });
        // Time goes on until it is closed.
        world.finish(pool, 0);
    });
}

#[test]
fn attempt_that_may_be_late_serves_its_waiter_in_the_end() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool.connect_timeout(SECOND));
        let waiter = queued(&pool);
        world.let_time_pass();
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.finish(pool, 1);
    });
}

#[test]
fn blocking_call_that_is_given_up_on_leaves_nothing_behind() {
    explore(|world| {
        let pool = world.blocking_pool(1, |pool| pool.connect_timeout(SECOND));
        world.let_time_pass();
        let caller = pool.clone();
        world.blocked(async move { drop(caller.acquire().await.expect("served")) });
        world.finish(pool, 1);
    });
}

#[test]
fn outcome_of_a_blocking_call_that_comes_with_the_time_out_is_not_left_over() {
    explore(|world| {
        let pool = world.blocking_pool(1, |pool| {
            pool.connect_timeout(SECOND).acquire_timeout(SECOND)
        });
        world.let_time_pass();
        let caller = pool.clone();
        world.blocked(async move { drop(caller.acquire().await) });
        // What has not begun when a pool is closed does not begin.
        world.settle();
        // No later call takes what was left over.
        world.close(pool);
    });
}

#[test]
fn closing_pool_waits_for_a_blocking_call() {
    explore(|world| {
        let pool = world.blocking_pool(1, |pool| pool);
        let (caller, closing) = (pool.clone(), pool.clone());
        world.blocked(async move { drop(caller.acquire().await) });
        world.blocked(async move { closing.close().await });
        world.finish(pool, 0);
    });
}
