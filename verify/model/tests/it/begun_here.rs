//! Checks that begin on the task of the caller who is to get the connection.

use watertight::{CheckPolicy, Pool};

use crate::support::{
    Maker, Script, World, assert_served_or_closed, block_on, explore, explore_crowd, held, queued,
};

/// One place, whose connection is idle and has to be checked.
fn pool(world: &World, script: Script) -> Pool<Maker> {
    world.runtime.is_home_to_callers();
    let pool = world.scripted_pool(1, script, |pool| pool.check_policy(CheckPolicy::Always));
    world.warm(&pool, 1);
    pool
}

/// Two callers at the same time: who comes second waits for the other's check, or for his return.
fn two_callers(world: &World, script: Script) {
    let pool = pool(world, script);
    for _ in 0..2 {
        let caller = pool.clone();
        world.thread(move || drop(block_on(caller.acquire()).expect("served")));
    }
    world.finish(pool, 1);
}

#[test]
fn check_that_is_over_at_once_serves_whoever_is_first() {
    explore(|world| {
        let script = Script {
            prompt_checks: true,
            ..Script::default()
        };
        two_callers(world, script);
    });
}

#[test]
fn check_that_takes_longer_goes_on_in_a_task() {
    explore_crowd(|world| two_callers(world, Script::default()));
}

#[test]
fn check_that_fails_makes_room_for_a_connect() {
    explore_crowd(|world| {
        let script = Script {
            prompt_checks: true,
            failing_checks: 1,
            ..Script::default()
        };
        two_callers(world, script);
    });
}

#[test]
fn caller_who_began_a_check_may_go_away() {
    explore(|world| {
        let pool = pool(world, Script::default());
        let (first, second) = (queued(&pool), pool.clone());
        world.thread(move || drop(first));
        world.blocked(async move { drop(second.acquire().await.expect("served")) });
        world.finish(pool, 1);
    });
}

#[test]
fn close_meets_a_check_that_a_caller_begins() {
    explore(|world| {
        let pool = pool(world, Script::default());
        let (caller, closing) = (pool.clone(), pool.clone());
        world.thread(move || assert_served_or_closed(&block_on(caller.acquire())));
        world.thread(move || block_on(closing.close()));
        world.close(pool);
    });
}

#[test]
fn check_that_is_lost_when_it_is_handed_on_gives_its_place_back() {
    explore(|world| {
        let pool = pool(world, Script::default());
        let caller = pool.clone();
        world.blocked(async move { drop(caller.acquire().await.expect("served")) });
        world.shut_runtime_down();
        world.finish(pool, 1);
    });
}

#[test]
fn return_during_a_check_serves_its_caller() {
    explore_crowd(|world| {
        world.runtime.is_home_to_callers();
        let pool = world.pool(2, |pool| pool.check_policy(CheckPolicy::Always));
        // Without waiting nothing is checked.
        world.warm(&pool, 2);
        let guard = held(&pool);
        let caller = pool.clone();
        world.thread(move || drop(guard));
        world.blocked(async move { drop(caller.acquire().await.expect("served")) });
        world.finish(pool, 2);
    });
}
