//! Looking after idle connections in the background.

use watertight::CheckPolicy;

use crate::support::{At, Gate, World, err, hang, laws, ok, panics};

laws! {
    every_mode:
        idle_one_is_checked_once_a_period,
        lent_one_is_not_checked,
        dead_one_is_found_without_an_acquire,
        check_that_goes_wrong_in_the_background_is_survived;
    virtual_only:
        only_so_many_are_checked_at_a_time,
        being_checked_is_not_being_used,
        all_of_a_large_pool_are_checked_in_time,
        condemned_generation_costs_one_check,
        use_puts_the_check_off,
        paused_pool_checks_nothing;
}

/// Law 88.
async fn idle_one_is_checked_once_a_period(w: World) {
    let pool = w.pool(|b| b.max_size(2).keepalive(w.ms(1000)).idle_timeout(None));
    drop(pool.acquire().await.unwrap());
    w.sleep(500).await;
    assert_eq!(w.checks().calls(), 0);
    let gate = Gate::new();
    w.checks().next([ok().at(&gate)]);
    w.until_time(500, || pool.status().checking == 1).await;
    assert!(pool.try_acquire().is_none(), "it is out of reach meanwhile");
    gate.open();
    w.until(|| pool.status().idle == 1).await;
    w.until_time(1000, || w.checks().calls() == 2).await;
    w.until_time(1000, || w.checks().calls() == 3).await;
    let times = w.checks().call_times();
    assert!(times.windows(2).all(|two| two[1] - two[0] >= w.ms(1000)));
    assert_eq!(w.connects().calls(), 1);
}

/// Law 89.
async fn lent_one_is_not_checked(w: World) {
    let pool = w.pool(|b| b.max_size(1).keepalive(w.ms(100)));
    let held = pool.acquire().await.unwrap();
    w.sleep(350).await;
    assert_eq!(w.checks().calls(), 0);
    drop(held);
    w.until_time(110, || w.checks().calls() == 1).await;
}

/// Laws 88 and 101.
async fn dead_one_is_found_without_an_acquire(w: World) {
    let pool = w.pool(|b| b.max_size(3).min_idle(2).keepalive(w.ms(100)));
    pool.fill().await.unwrap();
    w.checks().next([err()]);
    w.until_time(100, || pool.statistics().closes.check_failed == 1)
        .await;
    w.until(|| pool.status().idle == 2).await;
    assert_eq!(w.connects().calls(), 3);
    assert_eq!(pool.statistics().acquires, 0);
}

/// Law 103.
async fn check_that_goes_wrong_in_the_background_is_survived(w: World) {
    let pool = w.pool(|b| {
        b.max_size(3)
            .min_idle(3)
            .keepalive(w.ms(100))
            .check_timeout(w.ms(100))
    });
    pool.fill().await.unwrap();
    w.checks().next([panics(), hang(), err()]);
    w.until_time(220, || pool.statistics().closes.check_failed == 3)
        .await;
    w.until(|| pool.status().idle == 3).await;
    let checks = w.checks().calls();
    w.until_time(110, || w.checks().calls() > checks).await;
}

/// Law 90.
async fn only_so_many_are_checked_at_a_time(w: World) {
    let pool = w.pool(|b| {
        b.max_size(10)
            .keepalive(w.ms(1000))
            .keepalive_concurrency(3)
            .check_policy(CheckPolicy::Never)
    });
    drop(pool.acquire_many(10).await);
    w.checks().always(ok().after(w.ms(200)));
    w.sleep(1100).await;
    w.settle().await;
    assert_eq!((pool.status().checking, pool.status().idle), (3, 7));
    let watch = w.stopwatch();
    drop(pool.acquire().await.unwrap());
    watch.assert_at(0);
    assert_eq!(w.connects().calls(), 10);
}

/// Laws 84 and 88.
async fn being_checked_is_not_being_used(w: World) {
    let pool = w.pool(|b| b.max_size(1).keepalive(w.ms(300)).idle_timeout(w.ms(1000)));
    let watch = w.stopwatch();
    drop(pool.acquire().await.unwrap());
    w.until_time(1000, || pool.status().size == 0).await;
    watch.assert_at(1000);
    assert_eq!(w.checks().calls(), 3);
    assert_eq!(pool.statistics().closes.idle, 1);
}

/// Laws 88 and 90.
async fn all_of_a_large_pool_are_checked_in_time(w: World) {
    let pool = w.pool(|b| b.max_size(100).keepalive(w.ms(10_000)).idle_timeout(None));
    w.checks().always(ok().after(w.ms(20)));
    drop(pool.acquire_many(100).await);
    // One tick late at most, then four at a time, without a gap.
    w.sleep(10_000 + 1000 + 25 * 20).await;
    w.settle().await;
    assert_eq!(w.checks().calls(), 100);
    assert_eq!(pool.status().idle, 100);
    assert!((0..100).all(|id| w.ledger().place(id) == At::Pool));
}

/// Law 97, in the background.
async fn condemned_generation_costs_one_check(w: World) {
    let pool = w.pool(|b| {
        b.max_size(10)
            .min_idle(10)
            .keepalive(w.ms(1000))
            .keepalive_concurrency(1)
            .reset_on_failed_check(true)
    });
    pool.fill().await.unwrap();
    w.checks().next([err().after(w.ms(200))]);
    w.sleep(1000 + 200 + 50).await;
    w.settle().await;
    assert_eq!(w.checks().calls(), 1);
    assert_eq!(pool.statistics().closes.total(), 10);
    assert_eq!(pool.status().idle, 10);
}

/// Law 88: the period counts from the last use.
async fn use_puts_the_check_off(w: World) {
    let pool = w.pool(|b| {
        b.max_size(1)
            .keepalive(w.ms(1000))
            .check_policy(CheckPolicy::Never)
    });
    for _ in 0..10 {
        drop(pool.acquire().await.unwrap());
        w.sleep(800).await;
    }
    assert_eq!(w.checks().calls(), 0);
    w.sleep(400).await;
    assert_eq!(w.checks().calls(), 1);
}

/// Laws 88 and 144.
async fn paused_pool_checks_nothing(w: World) {
    let pool = w.pool(|b| b.max_size(1).keepalive(w.ms(1000)));
    drop(pool.acquire().await.unwrap());
    pool.pause().await;
    w.sleep(5000).await;
    assert_eq!(w.checks().calls(), 0);
    pool.resume();
    w.settle().await;
    assert_eq!(w.checks().calls(), 1, "what was due is made up for");
}
