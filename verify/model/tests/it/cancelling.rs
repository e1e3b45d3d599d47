//! Callers that go away, or are late.

use std::time::Duration;

use crate::support::{Acquired, block_on, explore, held, queued};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn cancelled_waiter_passes_its_turn_on() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let (first, second) = (queued(&pool), queued(&pool));
        world.thread(move || drop(guard));
        world.thread(move || drop(first));
        world.task(async move { drop(second.await.expect("served")) });
        world.finish(pool, 1);
    });
}

#[test]
fn waiter_behind_may_be_cancelled_as_well() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let (first, second) = (queued(&pool), queued(&pool));
        world.thread(move || drop(guard));
        world.thread(move || drop(second));
        world.task(async move { drop(first.await.expect("served")) });
        world.finish(pool, 1);
    });
}

#[test]
fn connection_of_a_cancelled_waiter_is_idle_again() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        world.thread(move || drop(guard));
        world.thread(move || drop(waiter));
        world.finish(pool, 1);
    });
}

#[test]
fn connection_made_for_a_cancelled_waiter_becomes_idle() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        let waiter = queued(&pool);
        world.thread(move || drop(waiter));
        world.finish(pool, 1);
    });
}

fn assert_served_or_late(answer: &Acquired) {
    let late = answer
        .as_ref()
        .err()
        .is_some_and(|error| error.is_timed_out());
    assert!(answer.is_ok() || late);
}

#[test]
fn deadline_and_hand_off_lose_no_connection() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool.acquire_timeout(SECOND));
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        world.let_time_pass();
        world.thread(move || assert_served_or_late(&block_on(waiter)));
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn turn_of_a_late_waiter_passes_on() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let hurried = pool.clone();
        let first = crate::support::begin(async move { hurried.acquire_timeout(SECOND).await });
        let second = queued(&pool);
        world.let_time_pass();
        world.task(async move { assert_served_or_late(&first.await) });
        world.task(async move { drop(second.await.expect("served")) });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn blocked_thread_is_served_or_late() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let blocked = pool.sync();
        world.let_time_pass();
        world.thread(move || assert_served_or_late(&blocked.acquire_timeout(SECOND)));
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}
