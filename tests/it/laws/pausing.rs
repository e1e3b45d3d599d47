//! Pausing and resuming.

use std::time::Duration;

use futures_lite::future::poll_once;
use watertight::{AcquireError, ConnectPolicy, PausePolicy, Phase, Pool};

use crate::support::{Gate, LawPool, Step, World, err, hang, join, laws, ok, permanent};

laws! {
    every_mode:
        paused_pool_lends_nothing_until_it_is_resumed,
        pauses_cost_those_with_patience_nothing,
        paused_pool_may_turn_callers_away,
        deadline_runs_on_in_a_pause,
        pause_is_complete_when_all_have_come_back,
        those_who_wait_are_served_in_their_order_after_a_pause,
        connect_under_way_ends_idle_in_a_pause,
        paused_pool_begins_no_connects_for_those_who_wait,
        attempts_that_fail_in_a_pause_are_no_answer,
        permanent_failure_in_a_pause_is_no_answer,
        deadlines_in_a_pause_breed_no_connects,
        paused_pool_can_be_closed,
        pauses_do_not_add_up;
    tasks_only:
        pause_begins_with_the_call_and_outlives_its_caller;
}

fn pause(pool: &LawPool) {
    drop(Pool::pause(pool));
}

/// Law 140.
async fn paused_pool_lends_nothing_until_it_is_resumed(w: World) {
    let pool = w.pool(|b| b.max_size(3));
    let mut held = pool.acquire_many(3).await;
    held.truncate(1);
    pause(&pool);
    assert!(pool.status().paused);
    assert!(pool.try_acquire().is_none());
    let impatient = pool.acquire_timeout(Duration::ZERO).await;
    assert!(impatient.unwrap_err().is_timed_out());
    let waiter = w.waiter(&pool).await;
    drop(held);
    w.until(|| pool.status().idle == 3).await;
    assert_eq!(pool.status().waiting, 1);
    let watch = w.stopwatch();
    pool.resume();
    drop(waiter.await.unwrap());
    watch.assert_at(0);
    assert!(!pool.status().paused);
    assert_eq!(w.connects().calls(), 3);
}

/// Law 141.
async fn pauses_cost_those_with_patience_nothing(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let (world, user) = (w.clone(), pool.clone());
    let uses = w.spawn(async move {
        for _ in 0..50 {
            let _conn = user.acquire().await.unwrap();
            world.sleep(10).await;
        }
    });
    for _ in 0..5 {
        pause(&pool);
        w.sleep(100).await;
        pool.resume();
        w.sleep(100).await;
    }
    uses.await;
    assert_eq!(w.connects().calls(), 1);
}

/// Law 142.
async fn paused_pool_may_turn_callers_away(w: World) {
    let pool = w.pool(|b| b.max_size(1).pause_policy(PausePolicy::FailFast));
    let held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    pause(&pool);
    let error = pool.acquire().await.unwrap_err();
    assert!(error.is_paused() && matches!(error, AcquireError::Paused));
    assert!(error.to_string().contains("paused"));
    let impatient = pool.acquire_timeout(Duration::ZERO).await;
    assert!(impatient.unwrap_err().is_paused());
    assert!(pool.try_acquire().is_none());
    assert_eq!(pool.statistics().rejections.paused, 3);
    drop(held);
    pool.resume();
    drop(waiter.await.unwrap());
    assert_eq!(pool.statistics().timeouts.total(), 0);
}

/// Law 143.
async fn deadline_runs_on_in_a_pause(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    drop(pool.acquire().await.unwrap());
    pause(&pool);
    let watch = w.stopwatch();
    let error = pool.acquire_timeout(w.ms(200)).await.unwrap_err();
    assert!(error.is_timed_out());
    assert!(error.to_string().contains("paused"), "{error}");
    watch.assert_at(200);
    pool.resume();
    drop(pool.acquire().await.unwrap());
}

/// Law 144.
async fn pause_is_complete_when_all_have_come_back(w: World) {
    let gate = Gate::new();
    w.recycles().next([ok().at(&gate)]);
    let pool = w.pool(|b| b.max_size(2));
    let mut held = pool.acquire_many(2).await;
    held[0].condition = watertight::Condition::Dirty;
    let pausing = w.spawn(pool.pause());
    w.until(|| pool.status().paused).await;
    let last = held.pop();
    drop(held);
    w.until(|| pool.status().recycling == 1).await;
    let quiet = || pool.status().in_use + pool.status().recycling == 0;
    drop(last);
    w.settle().await;
    assert!(!quiet(), "one is still being recycled");
    gate.open();
    pausing.await;
    assert!(quiet());
    pool.pause().await; // At once, for it is.
    pool.resume();
}

/// Law 144, before anybody has awaited anything.
async fn pause_begins_with_the_call_and_outlives_its_caller(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let mut pausing = Box::pin(pool.pause());
    assert!(pool.status().paused);
    assert!(poll_once(&mut pausing).await.is_none());
    drop(pausing);
    drop(held);
    assert!(pool.try_acquire().is_none());
    // One who waits for it learns that the pause is over.
    let held = {
        pool.resume();
        pool.acquire().await.unwrap()
    };
    let mut pausing = Box::pin(pool.pause());
    assert!(poll_once(&mut pausing).await.is_none());
    pool.resume();
    pausing.await;
    drop(held);
}

/// Laws 45 and 140.
async fn those_who_wait_are_served_in_their_order_after_a_pause(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let early = w.waiter(&pool).await;
    pause(&pool);
    let late = w.waiter(&pool).await;
    drop(held);
    w.until(|| pool.status().idle == 1).await;
    assert_eq!(pool.status().waiting, 2);
    pool.resume();
    let first = early.await.unwrap();
    w.settle().await;
    assert_eq!(pool.status().waiting, 1);
    drop(first);
    drop(late.await.unwrap());
}

/// Laws 27 and 140.
async fn connect_under_way_ends_idle_in_a_pause(w: World) {
    let gate = Gate::new();
    w.connects().next([ok().at(&gate)]);
    let pool = w.pool(|b| b.max_size(1));
    let waiter = w.waiter(&pool).await;
    w.until(|| w.connects().calls() == 1).await;
    pause(&pool);
    gate.open();
    w.until(|| pool.status().idle == 1).await;
    assert_eq!(pool.status().waiting, 1);
    pool.resume();
    drop(waiter.await.unwrap());
}

/// Law 140.
async fn paused_pool_begins_no_connects_for_those_who_wait(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    pause(&pool);
    let waiters = [w.waiter(&pool).await, w.waiter(&pool).await];
    w.settle().await;
    assert_eq!(w.connects().calls(), 0);
    pool.resume();
    for conn in join(waiters).await {
        drop(conn.unwrap());
    }
}

/// Law 140: what is for the idle ones says nothing to those who wait out a pause.
async fn attempts_that_fail_in_a_pause_are_no_answer(w: World) {
    fail_in_a_pause(w, ConnectPolicy::FailFast, err()).await;
}

/// Law 140.
async fn permanent_failure_in_a_pause_is_no_answer(w: World) {
    fail_in_a_pause(w, ConnectPolicy::default(), permanent()).await;
}

async fn fail_in_a_pause(w: World, policy: ConnectPolicy, outcome: Step) {
    let gate = Gate::new();
    w.connects().next([outcome.at(&gate)]);
    let pool = w.pool(|b| b.max_size(1).min_idle(1).connect_policy(policy));
    let waiter = w.waiter(&pool).await;
    pause(&pool);
    gate.open();
    w.until(|| pool.statistics().failed_connects > 0).await;
    w.settle().await;
    assert_eq!(pool.status().waiting, 1);
    pool.resume();
    drop(waiter.await.unwrap());
}

/// Laws 140 and 143: he who is late in a pause did not wait for the attempt that is under way.
async fn deadlines_in_a_pause_breed_no_connects(w: World) {
    w.connects().next([hang()]);
    let pool = w.pool(|b| b.max_size(10).min_idle(1));
    pause(&pool);
    let waiters: Vec<_> = (0..5).map(|_| w.acquiring_within(&pool, 200)).collect();
    for late in join(waiters).await {
        let Err(AcquireError::TimedOut { phase, .. }) = late else {
            panic!("{late:?}");
        };
        assert_eq!(phase, Phase::Wait);
    }
    assert_eq!(w.connects().calls(), 1);
}

/// Laws 144 and 166.
async fn paused_pool_can_be_closed(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let pausing = w.spawn(pool.pause());
    w.until(|| pool.status().paused).await;
    let waiter = w.waiter(&pool).await;
    let closing = w.spawn(pool.close());
    assert!(waiter.await.unwrap_err().is_closed());
    pausing.await;
    drop(held);
    closing.await;
    pool.resume();
    assert!(pool.acquire().await.unwrap_err().is_closed());
}

/// Law 140.
async fn pauses_do_not_add_up(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    pause(&pool);
    pause(&pool);
    pool.resume();
    drop(pool.acquire().await.unwrap());
    pool.resume();
}
