//! How many connections there are.

use std::time::Duration;

use futures_lite::future::yield_now;
use watertight::{Backoff, BuildError, CheckPolicy, ConnectPolicy};

use crate::support::{Gate, World, join, laws, ok};

laws! {
    every_mode:
        twenty_tasks_share_four_connections,
        connect_under_way_takes_a_place,
        one_task_needs_one_connection,
        slow_refill_makes_no_more_than_it_must,
        hundred_workers_never_exceed_the_limit,
        burst_that_is_over_starts_no_more_connects,
        new_pool_connects_to_nothing,
        new_pool_fills_to_min_idle,
        loans_are_replaced_up_to_min_idle_and_max_size,
        returns_beyond_max_idle_are_closed,
        pool_that_keeps_none_idle_serves_all,
        bad_settings_are_errors,
        slow_fill_does_not_hold_up_the_build,
        growth_serves_as_many_waiters,
        shrink_closes_idle_ones_at_once_and_lent_ones_on_return,
        connect_that_a_shrink_made_surplus_is_closed,
        pool_of_size_zero_holds_everyone_up;
    virtual_only:
        slow_server_that_was_expected_gets_one_connect,
        slow_server_that_was_not_expected_gets_others_beside_it;
}

/// Law 1.
async fn twenty_tasks_share_four_connections(w: World) {
    w.connects().always(ok().after(w.ms(5)));
    let pool = w.pool(|b| b.max_size(4));
    let tasks = (0..20).map(|_| {
        let (world, pool) = (w.clone(), pool.clone());
        w.spawn(async move {
            let _conn = pool.acquire().await.unwrap();
            world.sleep(500).await;
        })
    });
    join(tasks.collect::<Vec<_>>()).await;
    assert_eq!(w.connects().calls(), 4);
    assert_eq!(w.ledger().peak(), 4);
}

/// Law 2.
async fn connect_under_way_takes_a_place(w: World) {
    let gate = Gate::new();
    w.connects().next([ok().at(&gate)]);
    let pool = w.pool(|b| b.max_size(1));
    let first = w.waiter(&pool).await;
    let second = w.waiter(&pool).await;
    w.settle().await;
    assert_eq!(w.connects().calls(), 1);
    assert_eq!(pool.status().size, 1);
    gate.open();
    drop(first.await.unwrap());
    drop(second.await.unwrap());
    assert_eq!(w.connects().calls(), 1);
}

/// Law 3.
async fn one_task_needs_one_connection(w: World) {
    let pool = w.pool(|b| b.max_size(10));
    for _ in 0..1000 {
        drop(pool.acquire().await.unwrap());
    }
    assert_eq!(w.connects().calls(), 1);
}

/// Law 3, beside a refill that is slow: what is under way is counted.
async fn slow_refill_makes_no_more_than_it_must(w: World) {
    w.connects().always(ok().after(w.ms(300)));
    let pool = w.pool(|b| b.max_size(10).min_idle(1));
    for _ in 0..w.times(100, 10) {
        drop(pool.acquire().await.unwrap());
        w.sleep(10).await;
    }
    w.until_time(300, || pool.status().connecting == 0).await;
    assert_eq!(w.connects().calls(), 2);
}

/// Connects that a pool wants for one to be idle when each takes eight seconds.
async fn connects_of_eight_seconds(w: &World, limit: u64) -> usize {
    w.connects().always(ok().after(Duration::from_secs(8)));
    let limit = Duration::from_secs(limit);
    let pool = w.pool(|b| b.max_size(10).min_idle(1).connect_timeout(limit));
    w.sleep(20_000).await;
    assert!(pool.status().idle >= 1);
    w.connects().calls()
}

/// Law 3: whoever sets a long time-out gets no second connect beside a slow one.
async fn slow_server_that_was_expected_gets_one_connect(w: World) {
    assert_eq!(connects_of_eight_seconds(&w, 90).await, 1);
}

/// Guarantee 6: what takes longer than expected may be hung, so another is begun each second.
async fn slow_server_that_was_not_expected_gets_others_beside_it(w: World) {
    assert_eq!(connects_of_eight_seconds(&w, 10).await, 8);
}

/// Law 4 and guarantee 2.
async fn hundred_workers_never_exceed_the_limit(w: World) {
    let pool = w.pool(|b| b.max_size(5));
    let cycles = w.times(100, 10);
    let workers = (0..100).map(|worker| {
        let (world, pool) = (w.clone(), pool.clone());
        let mut rng = fastrand::Rng::with_seed(worker);
        w.spawn(async move {
            for _ in 0..cycles {
                let _conn = pool.acquire().await.unwrap();
                match rng.u64(0..=3) {
                    0 => yield_now().await,
                    hold => world.sleep(hold).await,
                }
            }
        })
    });
    join(workers.collect::<Vec<_>>()).await;
    assert!(w.ledger().peak() <= 5);
    assert_eq!(pool.statistics().acquires, 100 * cycles as u64);
}

/// Law 7.
async fn burst_that_is_over_starts_no_more_connects(w: World) {
    let pool = w.pool(|b| b.max_size(100));
    drop(pool.acquire().await.unwrap());
    w.connects().always(ok().after(w.ms(250)));
    let tasks = (0..50).map(|_| {
        let pool = pool.clone();
        w.spawn(async move {
            for _ in 0..100 {
                let _conn = pool.acquire().await.unwrap();
                yield_now().await;
            }
        })
    });
    join(tasks.collect::<Vec<_>>()).await;
    let begun = w.connects().calls();
    assert!(begun <= 50, "{begun} connects for 50 tasks");
    w.sleep(1000).await;
    assert_eq!(w.connects().calls(), begun);
}

/// Law 8.
async fn new_pool_connects_to_nothing(w: World) {
    let pool = w.pool(|b| b);
    w.settle().await;
    assert_eq!(w.connects().calls(), 0);
    assert_eq!(pool.status().size, 0);
    drop(pool.acquire().await.unwrap());
    assert_eq!(w.connects().calls(), 1);
}

/// Law 9.
async fn new_pool_fills_to_min_idle(w: World) {
    let pool = w.pool(|b| b.min_idle(5).max_size(10));
    w.until(|| pool.status().idle == 5).await;
    w.settle().await;
    assert_eq!(w.connects().calls(), 5);
}

/// Law 10.
async fn loans_are_replaced_up_to_min_idle_and_max_size(w: World) {
    let pool = w.pool(|b| b.min_idle(5).max_size(10));
    w.until(|| pool.status().idle == 5).await;
    let held = pool.acquire_many(7).await;
    w.until(|| pool.status().idle == 3).await;
    assert_eq!(pool.status().size, 10);
    drop(held);
    w.settle().await;
    assert_eq!(pool.status().idle, 10);
    assert_eq!(w.connects().calls(), 10);
}

/// Law 11.
async fn returns_beyond_max_idle_are_closed(w: World) {
    let pool = w.pool(|b| b.max_idle(2).max_size(5));
    let held = pool.acquire_many(5).await;
    drop(held);
    w.until(|| pool.statistics().closes.total() == 3).await;
    assert_eq!(pool.status().idle, 2);
    assert_eq!(pool.statistics().closes.idle, 3);
}

/// Law 12.
async fn pool_that_keeps_none_idle_serves_all(w: World) {
    let pool = w.pool(|b| b.max_idle(0).max_size(2));
    let cycles = w.times(500, 50);
    let tasks = (0..20).map(|_| {
        let pool = pool.clone();
        w.spawn(async move {
            for _ in 0..cycles {
                let _conn = pool.acquire().await.unwrap();
                yield_now().await;
            }
        })
    });
    join(tasks.collect::<Vec<_>>()).await;
    w.until(|| pool.status().size == 0).await;
    assert_eq!(pool.statistics().acquires, 20 * cycles as u64);
}

/// Laws 13 and 78.
async fn bad_settings_are_errors(w: World) {
    let build = |builder: watertight::Builder<_>| builder.build().err();
    let min_idle_above_max_size = BuildError::MinIdleAboveMaxSize {
        min_idle: 3,
        max_size: 2,
    };
    let b = || w.builder();
    assert_eq!(build(b().max_size(0)), Some(BuildError::ZeroMaxSize));
    assert_eq!(
        build(b().min_idle(3).max_size(2)),
        Some(min_idle_above_max_size)
    );
    let zero = |option| Some(BuildError::Zero { option });
    let nothing = w.ms(0);
    assert_eq!(build(b().acquire_timeout(nothing)), zero("acquire_timeout"));
    assert_eq!(build(b().connect_timeout(nothing)), zero("connect_timeout"));
    assert_eq!(build(b().check_timeout(nothing)), zero("check_timeout"));
    assert_eq!(build(b().recycle_timeout(nothing)), zero("recycle_timeout"));
    assert_eq!(build(b().close_timeout(nothing)), zero("close_timeout"));
    assert_eq!(build(b().idle_timeout(nothing)), zero("idle_timeout"));
    assert_eq!(build(b().max_lifetime(nothing)), zero("max_lifetime"));
    assert_eq!(build(b().max_uses(0)), zero("max_uses"));
    assert_eq!(build(b().return_queue(0)), zero("return_queue"));
    let min_idle_above_max_idle = BuildError::MinIdleAboveMaxIdle {
        min_idle: 3,
        max_idle: 2,
    };
    assert_eq!(
        build(b().min_idle(3).max_idle(2)),
        Some(min_idle_above_max_idle)
    );
    for (first, cap) in [(w.ms(0), w.ms(10)), (w.ms(20), w.ms(10))] {
        let policy = ConnectPolicy::Retry(Backoff::new(first, cap));
        assert_eq!(build(b().connect_policy(policy)), Some(BuildError::Backoff));
    }
    let concurrency = build(b().connect_concurrency(0));
    assert_eq!(concurrency, zero("connect_concurrency"));
    for jitter in [1.0, -0.1, f64::NAN] {
        let error = build(b().lifetime_jitter(jitter));
        assert_eq!(error, Some(BuildError::LifetimeJitter), "{jitter}");
    }
    assert_eq!(w.ledger().managers(), 0, "and nothing is left of them");
}

/// Law 14.
async fn slow_fill_does_not_hold_up_the_build(w: World) {
    w.connects().always(ok().after(w.ms(300)));
    let watch = w.stopwatch();
    let pool = w.pool(|b| b.min_idle(3).connect_concurrency(1));
    assert_eq!(pool.status().idle, 0);
    let conn = pool.acquire().await.unwrap();
    watch.assert_at(300);
    assert_eq!(conn.id(), 0);
}

/// Law 132.
async fn growth_serves_as_many_waiters(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let mut waiters = Vec::new();
    for _ in 0..3 {
        waiters.push(w.waiter(&pool).await);
    }
    pool.resize(3);
    w.until(|| pool.status().in_use == 3).await;
    assert_eq!(pool.status().waiting, 1);
    assert_eq!(w.connects().calls(), 3);
    drop(held);
    for conn in join(waiters).await {
        drop(conn.unwrap());
    }
}

/// Law 133.
async fn shrink_closes_idle_ones_at_once_and_lent_ones_on_return(w: World) {
    let pool = w.pool(|b| b.max_size(5));
    let mut held = pool.acquire_many(5).await;
    held.truncate(3);
    assert_eq!(pool.status().idle, 2);
    pool.resize(2);
    w.until(|| pool.statistics().closes.total() == 2).await;
    assert_eq!(w.ledger().count().held, 3);
    held.pop();
    w.until(|| pool.statistics().closes.total() == 3).await;
    drop(held);
    assert_eq!(pool.status().idle, 2);
    assert_eq!(pool.statistics().closes.resize, 3);
}

/// Law 133, and L4.
async fn connect_that_a_shrink_made_surplus_is_closed(w: World) {
    let gate = Gate::new();
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire().await.unwrap();
    w.connects().next([ok().at(&gate)]);
    let waiter = w.waiter(&pool).await;
    w.until(|| w.ledger().count().connecting == 1).await;
    pool.resize(1);
    gate.open();
    w.until(|| pool.statistics().closes.total() == 1).await;
    assert_eq!(pool.status().waiting, 1);
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 0);
    assert_eq!(w.connects().calls(), 2);
}

/// Law 136.
async fn pool_of_size_zero_holds_everyone_up(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Never));
    drop(pool.acquire().await.unwrap());
    pool.resize(0);
    let error = pool.acquire_timeout(w.ms(200)).await.unwrap_err();
    assert!(error.is_timed_out());
    w.until(|| pool.status().size == 0).await;
    let waiter = w.waiter(&pool).await;
    pool.resize(1);
    drop(waiter.await.unwrap());
}
