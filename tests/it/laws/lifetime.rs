//! How old a connection gets, and how long it may be idle.

use std::time::Duration;

use watertight::{Builder, CheckPolicy};

use crate::support::{LawPool, World, hang, laws, ok};

laws! {
    every_mode:
        idle_one_is_closed_at_the_end_of_its_lifetime,
        never_used_one_is_closed_at_the_end_of_its_lifetime,
        lent_one_outlives_its_lifetime_but_does_not_come_back,
        idle_ones_beyond_min_idle_are_closed_longest_idle_first,
        adopted_one_that_nobody_wants_is_closed,
        connection_is_lent_as_often_as_it_may_be;
    // These need exact times, or a clock that nobody keeps.
    virtual_only:
        expired_one_is_not_lent_even_if_nobody_keeps_time,
        expired_ones_cause_no_error,
        busy_pool_lends_none_past_its_lifetime,
        nothing_expires_without_a_lifetime,
        lifetimes_are_spread_evenly,
        idle_time_counts_from_the_last_return,
        look_at_an_idle_one_does_not_make_it_younger,
        no_traffic_leaves_an_aged_one_behind,
        pool_shrinks_to_what_is_in_demand,
        pool_that_breathes_keeps_what_its_peaks_need,
        idle_pool_sets_no_timer,
        expired_one_is_closed_though_its_finder_is_turned_away;
}

/// Law 75.
async fn idle_one_is_closed_at_the_end_of_its_lifetime(w: World) {
    let pool = w.pool(|b| b.max_lifetime(w.ms(1000)).lifetime_jitter(0.0));
    let watch = w.stopwatch();
    drop(pool.acquire().await.unwrap());
    w.sleep(1000).await;
    w.until(|| pool.statistics().closes.total() == 1).await;
    watch.assert_at(1000);
    assert_eq!(pool.status().size, 0);
    assert_eq!(pool.statistics().closes.lifetime, 1);
}

/// Laws 75 and 92.
async fn never_used_one_is_closed_at_the_end_of_its_lifetime(w: World) {
    let pool = w.pool(|b| b.min_idle(3).max_lifetime(w.ms(1000)).lifetime_jitter(0.0));
    w.until(|| w.connects().calls() >= 3).await;
    w.sleep(1000).await;
    w.until(|| pool.statistics().closes.lifetime >= 3 && pool.status().idle == 3)
        .await;
    assert_eq!(pool.statistics().acquires, 0);
}

/// Law 76.
async fn lent_one_outlives_its_lifetime_but_does_not_come_back(w: World) {
    let pool = w.pool(|b| b.max_lifetime(w.ms(100)).lifetime_jitter(0.0));
    let held = pool.acquire().await.unwrap();
    w.sleep(300).await;
    assert_eq!(w.ledger().closes_begun(), 0);
    drop(held);
    w.until(|| pool.statistics().closes.total() == 1).await;
    assert_eq!(pool.status().idle, 0);
    assert_eq!(pool.statistics().closes.lifetime, 1);
}

/// Law 77.
async fn expired_one_is_not_lent_even_if_nobody_keeps_time(w: World) {
    let pool = w.pool(|b| b.max_lifetime(w.ms(1000)).lifetime_jitter(0.0));
    drop(pool.acquire().await.unwrap());
    w.sleep(500).await;
    stall(&w, 500);
    assert!(pool.try_acquire().is_none());
    assert_eq!(pool.acquire().await.unwrap().id(), 1);
}

/// Time passes, and no task gets to run.
fn stall(w: &World, milliseconds: u64) {
    let runtime = w.virtual_time().expect("the test is virtual");
    runtime.stall(Duration::from_millis(milliseconds));
}

/// Law 93.
async fn expired_ones_cause_no_error(w: World) {
    let pool = w.pool(|b| b.max_lifetime(w.ms(1000)).lifetime_jitter(0.0));
    drop(pool.acquire_many(5).await);
    w.sleep(500).await;
    stall(&w, 600);
    assert_eq!(pool.acquire().await.unwrap().id(), 5);
    w.settle().await;
    assert_eq!(pool.statistics().closes.lifetime, 5);
}

/// Law 77, under load.
async fn busy_pool_lends_none_past_its_lifetime(w: World) {
    let pool = w.pool(|b| b.max_size(2).max_lifetime(w.ms(1000)));
    for _ in 0..10_000 {
        let conn = pool.acquire().await.unwrap();
        let age = conn.metrics().age();
        assert!(age < w.ms(1000), "lent at the age of {age:?}");
        w.sleep(fastrand::Rng::with_seed(age.as_millis() as u64).u64(0..7))
            .await;
    }
}

/// Law 78. That zero is an error is tested with the settings.
async fn nothing_expires_without_a_lifetime(w: World) {
    let pool = w.pool(|b| b.max_lifetime(None).idle_timeout(None));
    drop(pool.acquire_many(3).await);
    w.sleep(20 * 60 * 60 * 1000).await;
    assert_eq!(pool.status().idle, 3);
}

/// Law 79.
async fn lifetimes_are_spread_evenly(w: World) {
    let pool = w.pool(|b| b.max_size(1000).min_idle(1000).max_lifetime(w.ms(10_000)));
    w.until(|| pool.status().idle == 1000).await;
    let born = w.now();
    w.sleep(10_000).await;
    w.settle().await;
    let mut tenths = [0; 10];
    for closed in &w.closes().call_times()[..1000] {
        let early = w.ms(10_000).saturating_sub(*closed - born);
        assert!(early <= w.ms(1000), "closed {early:?} early");
        tenths[(early.as_millis() / 100).min(9) as usize] += 1;
    }
    assert!(tenths.iter().all(|&n| n <= 200), "{tenths:?}");
}

/// Law 83.
async fn idle_ones_beyond_min_idle_are_closed_longest_idle_first(w: World) {
    let pool = w.pool(|b| b.max_size(5).min_idle(2).idle_timeout(w.ms(1000)));
    let mut held = pool.acquire_many(5).await;
    held.sort_by_key(|conn| conn.id());
    let watch = w.stopwatch();
    for conn in held {
        drop(conn);
        w.sleep(20).await;
    }
    w.sleep(1200).await;
    w.until(|| pool.status().idle == 2 && pool.statistics().closes.total() == 3)
        .await;
    watch.assert_within(1000, 1300);
    assert_eq!(idle_ids(&pool), [3, 4]);
    assert_eq!(pool.statistics().closes.idle, 3);
    w.sleep(1000).await;
    assert_eq!(pool.status().idle, 2);
}

fn idle_ids(pool: &LawPool) -> Vec<usize> {
    let mut ids = Vec::new();
    pool.retain(|conn, _| {
        ids.push(conn.id());
        true
    });
    ids
}

/// Law 84.
async fn idle_time_counts_from_the_last_return(w: World) {
    w.checks().always(ok().after(w.ms(300)));
    let pool = w.pool(|b| {
        b.idle_timeout(w.ms(1000))
            .check_policy(CheckPolicy::Always)
            .max_size(1)
    });
    drop(pool.acquire().await.unwrap());
    let returned = w.now();
    w.sleep(500).await;
    let caller = w.waiter(&pool).await;
    w.sleep(100).await;
    caller.abort().await;
    w.sleep(300).await;
    assert_eq!((w.checks().calls(), pool.status().idle), (1, 1));
    w.sleep(1000).await;
    let closed = w.closes().call_times();
    let idle = closed[0] - returned;
    assert!(idle >= w.ms(1000) && idle <= w.ms(1100), "{idle:?}");
}

/// Law 84, for `retain`.
async fn look_at_an_idle_one_does_not_make_it_younger(w: World) {
    let pool = w.pool(|b| b.max_size(1).idle_timeout(w.ms(1000)));
    drop(pool.acquire().await.unwrap());
    let watch = w.stopwatch();
    while pool.retain(|_, _| true) == 0 && pool.status().idle == 1 {
        w.sleep(50).await;
    }
    watch.assert_within(1000, 1150);
    assert_eq!(pool.statistics().closes.idle, 1);
}

/// Laws 75 and 83, whatever went before: the coarse clock forgets nobody.
async fn no_traffic_leaves_an_aged_one_behind(w: World) {
    let mut rng = fastrand::Rng::with_seed(83);
    for round in 0..300 {
        let pool = w.lone_pool(|b| {
            let b = b.max_size(3).max_lifetime(None).idle_timeout(None);
            match round % 2 {
                0 => b.idle_timeout(w.ms(1000)),
                _ => b.max_lifetime(w.ms(1000)),
            }
        });
        for _ in 0..rng.usize(1..30) {
            let held = pool.acquire_many(rng.usize(1..=3)).await;
            let pauses = [0, 1, 5, 50, 99, 100, 101, 250];
            w.sleep(pauses[rng.usize(..pauses.len())]).await;
            drop(held);
            w.sleep(pauses[rng.usize(..pauses.len())]).await;
        }
        w.sleep(1200).await;
        w.settle().await;
        assert_eq!(pool.status().size, 0, "round {round}");
    }
}

/// Law 87.
async fn pool_shrinks_to_what_is_in_demand(w: World) {
    let pool = w.pool(|b| b.max_size(10).idle_timeout(w.ms(1000)));
    drop(pool.acquire_many(10).await);
    for _ in 0..40 {
        let _conn = pool.acquire().await.unwrap();
        w.sleep(50).await;
    }
    w.settle().await;
    assert_eq!(pool.status().size, 1);
    assert_eq!(pool.statistics().closes.idle, 9);
}

/// Law 87: what goes is what the highest demand of a whole idle time had no use for.
async fn pool_that_breathes_keeps_what_its_peaks_need(w: World) {
    let pool = w.pool(|b| b.max_size(8).idle_timeout(w.ms(1000)));
    drop(pool.acquire_many(8).await);
    for _ in 0..10 {
        drop(pool.acquire_many(5).await);
        for _ in 0..8 {
            let _conn = pool.acquire().await.unwrap();
            w.sleep(100).await;
        }
    }
    assert_eq!(pool.status().size, 5);
    assert_eq!(w.connects().calls(), 8);
    // The last peak was 800 ms ago. Those that only it needed go 1,000 ms after it, and no earlier.
    let _conn = pool.acquire().await.unwrap();
    w.sleep(199).await;
    w.settle().await;
    assert_eq!(pool.status().size, 5);
    w.until_time(101, || pool.status().size == 1).await;
}

/// Laws 83 and 92.
async fn adopted_one_that_nobody_wants_is_closed(w: World) {
    let ages = |b: Builder<_>| b.max_lifetime(None).idle_timeout(w.ms(300));
    let pool = w.pool(|b| ages(b).max_size(1));
    // Until then there was nothing to wake up for.
    w.sleep(1000).await;
    let watch = w.stopwatch();
    pool.adopt(w.connection_from_elsewhere()).unwrap();
    assert_eq!(pool.status().idle, 1);
    let refused = pool.adopt(w.connection_from_elsewhere());
    assert!(refused.is_err());
    w.sleep(400).await;
    w.until(|| pool.statistics().closes.total() == 1).await;
    watch.assert_within(300, 400);
    assert_eq!(pool.statistics().adopted, 1);
}

/// `max_uses`.
async fn connection_is_lent_as_often_as_it_may_be(w: World) {
    let pool = w.pool(|b| b.max_size(1).max_uses(3));
    for use_ in 0..9 {
        let conn = pool.acquire().await.unwrap();
        assert_eq!(conn.id(), use_ / 3);
        assert_eq!(conn.metrics().uses(), use_ as u64 % 3 + 1);
    }
    w.until(|| pool.statistics().closes.uses == 3).await;
}

/// Guarantee 10: a pool on which nothing is due does not wake up.
async fn idle_pool_sets_no_timer(w: World) {
    let pool = w.pool(|b| b.max_lifetime(None).idle_timeout(None));
    drop(pool.acquire_many(3).await);
    w.sleep(5_000).await;
    let runtime = w.virtual_time().expect("the test is virtual");
    assert_eq!(runtime.timers(), 0);
    assert_eq!(runtime.tasks(), 1, "the keeper");
    w.checks().always(hang());
    drop(pool.try_acquire().unwrap());
}

/// Law 77: he has no time to wait for its place.
async fn expired_one_is_closed_though_its_finder_is_turned_away(w: World) {
    let pool = w.pool(|b| {
        b.max_size(1)
            .max_waiters(0)
            .max_lifetime(w.ms(1000))
            .lifetime_jitter(0.0)
    });
    drop(pool.acquire().await.unwrap());
    w.sleep(500).await;
    stall(&w, 500);
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    w.until(|| pool.statistics().closes.lifetime == 1).await;
    assert_eq!(pool.status().size, 0);
}
