//! Changing settings while the pool runs.

use std::time::Duration;

use watertight::{BuildError, CheckPolicy, ConnectPolicy};

use crate::support::{World, hang, laws};

laws! {
    every_mode:
        new_default_time_out_holds_for_later_callers_only,
        raised_min_idle_fills_and_lowered_closes_nothing,
        bad_setting_leaves_the_pool_as_it_was,
        threads_have_the_same_setters;
    virtual_only:
        new_idle_timeout_holds_for_all_that_are_idle,
        new_limits_hold_for_what_begins_later,
        keepalive_can_be_switched_on;
}

/// Law 41.
async fn new_default_time_out_holds_for_later_callers_only(w: World) {
    let pool = w.pool(|b| b.max_size(1).acquire_timeout(w.ms(1000)));
    let held = pool.acquire().await.unwrap();
    let watch = w.stopwatch();
    let early = w.waiter(&pool).await;
    pool.set_acquire_timeout(w.ms(100)).unwrap();
    assert!(pool.acquire().await.unwrap_err().is_timed_out());
    watch.assert_at(100);
    assert!(early.await.unwrap_err().is_timed_out());
    watch.assert_at(1000);
    pool.set_acquire_timeout(None).unwrap();
    let patient = w.waiter(&pool).await;
    drop(held);
    drop(patient.await.unwrap());
}

/// Law 139.
async fn raised_min_idle_fills_and_lowered_closes_nothing(w: World) {
    let pool = w.pool(|b| b.max_size(5));
    pool.set_min_idle(3).unwrap();
    w.until(|| pool.status().idle == 3).await;
    pool.set_min_idle(1).unwrap();
    w.settle().await;
    assert_eq!(pool.status().idle, 3);
    assert_eq!(pool.statistics().closes.total(), 0);
    // More than there are places means all of them.
    pool.set_min_idle(9).unwrap();
    w.until(|| pool.status().idle == 5).await;
}

/// Law 13, at run time.
async fn bad_setting_leaves_the_pool_as_it_was(w: World) {
    let pool = w.pool(|b| b.max_size(2).max_idle(1).acquire_timeout(w.ms(1000)));
    let zero = pool.set_acquire_timeout(Duration::ZERO);
    let option = "acquire_timeout";
    assert_eq!(zero, Err(BuildError::Zero { option }));
    let (min_idle, max_idle) = (2, 1);
    let above = BuildError::MinIdleAboveMaxIdle { min_idle, max_idle };
    assert_eq!(pool.set_min_idle(2), Err(above));
    let _held = pool.acquire_many(2).await;
    let watch = w.stopwatch();
    assert!(pool.acquire().await.unwrap_err().is_timed_out());
    watch.assert_at(1000);
}

/// Laws 13, 41, 139 and 148, through the other face.
async fn threads_have_the_same_setters(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let threads = pool.sync();
    threads.set_min_idle(1).unwrap();
    w.until(|| pool.status().idle == 1).await;
    threads.set_min_idle(0).unwrap();
    let held = pool.acquire_many(2).await;
    threads.set_acquire_timeout(w.ms(100)).unwrap();
    let watch = w.stopwatch();
    assert!(pool.acquire().await.unwrap_err().is_timed_out());
    watch.assert_at(100);
    threads.set_max_waiters(0).unwrap();
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    let option = "keepalive";
    let zero = threads.set_keepalive(Duration::ZERO);
    assert_eq!(zero, Err(BuildError::Zero { option }));
    drop(held);
}

/// Law 83, with another time.
async fn new_idle_timeout_holds_for_all_that_are_idle(w: World) {
    let pool = w.pool(|b| b.max_size(3));
    drop(pool.acquire_many(3).await);
    w.sleep(10_000).await;
    pool.set_idle_timeout(w.ms(20_000)).unwrap();
    w.sleep(10_000).await;
    w.settle().await;
    assert_eq!(pool.statistics().closes.idle, 3);
    drop(pool.acquire().await.unwrap());
    w.sleep(15_000).await;
    pool.set_idle_timeout(w.ms(1_000)).unwrap();
    w.settle().await;
    assert_eq!(pool.status().size, 0, "it is over already");
    pool.set_idle_timeout(None).unwrap();
    drop(pool.acquire().await.unwrap());
    w.sleep(60 * 60 * 1000 / 4).await;
    assert_eq!(pool.status().idle, 1);
}

/// Laws 22 and 60, with other times.
async fn new_limits_hold_for_what_begins_later(w: World) {
    let pool = w.pool(|b| {
        b.max_size(1)
            .check_policy(CheckPolicy::Always)
            .connect_policy(ConnectPolicy::FailFast)
            .connect_timeout(w.ms(400))
    });
    w.connects().next([hang(), hang()]);
    let watch = w.stopwatch();
    let waiter = w.waiter(&pool).await;
    w.until(|| w.connects().calls() == 1).await;
    pool.set_connect_timeout(w.ms(50)).unwrap();
    pool.set_check_timeout(w.ms(70)).unwrap();
    pool.set_max_lifetime(w.ms(5000)).unwrap();
    assert!(waiter.await.is_err());
    watch.assert_at(400);
    let watch = w.stopwatch();
    assert!(pool.acquire().await.is_err());
    watch.assert_at(50);
    drop(pool.acquire().await.unwrap());
    w.checks().next([hang()]);
    let watch = w.stopwatch();
    drop(pool.acquire().await.unwrap());
    watch.assert_at(70);
    assert_eq!(pool.statistics().closes.check_failed, 1);
    w.sleep(5000).await;
    w.settle().await;
    assert_eq!(pool.statistics().closes.lifetime, 1);
}

/// Law 88, switched on later.
async fn keepalive_can_be_switched_on(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    drop(pool.acquire().await.unwrap());
    w.sleep(10_000).await;
    pool.set_keepalive(w.ms(30_000)).unwrap();
    w.sleep(20_000).await;
    w.settle().await;
    assert_eq!(w.checks().calls(), 1);
    pool.set_keepalive(None).unwrap();
    w.sleep(100_000).await;
    assert_eq!(w.checks().calls(), 1);
}
