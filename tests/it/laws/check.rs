//! Checking a connection before it is lent.

use watertight::CheckPolicy;

use crate::support::{Gate, World, err, hang, join, laws, ok, panics};

laws! {
    every_mode:
        failed_check_moves_on_to_the_next_candidate,
        failed_checks_end_in_a_new_connection,
        panicking_check_costs_one_connection,
        hung_check_holds_up_nobody_else,
        hung_check_does_not_hold_up_those_who_come_later,
        fresh_connection_is_not_checked,
        cautious_pool_checks_every_loan,
        trusting_pool_checks_none,
        stale_one_is_checked_once,
        checks_run_in_parallel,
        healthy_ones_survive_the_failure_of_others;
    // "Not older than the window" is an upper bound, which a busy machine may miss.
    virtual_only:
        recently_used_one_is_not_checked,
        check_that_outlives_its_caller_serves_the_next,
        stale_one_is_checked_after_much_traffic_as_well;
}

/// Law 94.
async fn recently_used_one_is_not_checked(w: World) {
    let pool = w.pool(|b| b.check_policy(CheckPolicy::IdleFor(w.ms(1000))));
    for wait in [0, 500, 1000] {
        drop(pool.acquire().await.unwrap());
        w.sleep(wait).await;
        drop(pool.acquire().await.unwrap());
        assert_eq!(w.checks().calls(), 0, "after {wait} ms");
    }
    w.sleep(1101).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(w.checks().calls(), 1);
    assert_eq!(w.connects().calls(), 1);
}

/// Law 94.
async fn stale_one_is_checked_once(w: World) {
    let pool = w.pool(|b| b.check_policy(CheckPolicy::IdleFor(w.ms(200))));
    drop(pool.acquire().await.unwrap());
    w.sleep(300).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(w.checks().calls(), 1);
    assert_eq!(w.connects().calls(), 1);
}

/// Law 95.
async fn failed_check_moves_on_to_the_next_candidate(w: World) {
    let pool = w.pool(|b| b.max_size(2).check_policy(CheckPolicy::Always));
    drop(pool.acquire_many(2).await);
    w.checks().next([err()]);
    let watch = w.stopwatch();
    let conn = pool.acquire().await.unwrap();
    assert!(conn.id() < 2);
    watch.assert_at(0);
    assert_eq!(w.checks().calls(), 2);
    w.until(|| pool.statistics().closes.total() == 1).await;
    assert_eq!(w.ledger().closes_of(1 - conn.id()), 1);
}

/// Law 95.
async fn failed_checks_end_in_a_new_connection(w: World) {
    let pool = w.pool(|b| b.max_size(3).check_policy(CheckPolicy::Always));
    drop(pool.acquire_many(3).await);
    w.checks().always(err());
    assert_eq!(pool.acquire().await.unwrap().id(), 3);
    w.until(|| pool.statistics().closes.check_failed == 3).await;
    assert_eq!(w.checks().calls(), 3);
}

/// Law 96.
async fn panicking_check_costs_one_connection(w: World) {
    let pool = w.pool(|b| b.max_size(2).check_policy(CheckPolicy::Always));
    drop(pool.acquire_many(2).await);
    w.checks().next([panics()]);
    assert!(pool.acquire().await.unwrap().id() < 2);
    w.until(|| pool.statistics().closes.check_failed == 1).await;
    assert_eq!(pool.status().size, 1);
}

/// Laws 22 and 59, for checks.
async fn hung_check_holds_up_nobody_else(w: World) {
    let pool = w.pool(|b| b.max_size(2).check_policy(CheckPolicy::Always));
    drop(pool.acquire_many(2).await);
    w.checks().next([hang()]);
    let first = w.waiter(&pool).await;
    let second = w.acquiring(&pool);
    // The check for the second serves the first, and its return the second.
    drop(first.await.unwrap());
    drop(second.await.unwrap());
    assert_eq!(pool.status().checking, 1);
}

/// Law 100.
async fn fresh_connection_is_not_checked(w: World) {
    let pool = w.pool(|b| b.check_policy(CheckPolicy::Always));
    let held = pool.acquire_many(3).await;
    assert_eq!(w.checks().calls(), 0);
    drop(held);
}

/// `CheckPolicy::Always`.
async fn cautious_pool_checks_every_loan(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Always));
    for _ in 0..10 {
        drop(pool.acquire().await.unwrap());
    }
    assert_eq!(w.checks().calls(), 9);
    assert_eq!(w.connects().calls(), 1);
}

/// `CheckPolicy::Never`.
async fn trusting_pool_checks_none(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Never));
    for _ in 0..3 {
        drop(pool.acquire().await.unwrap());
        w.sleep(1500).await;
    }
    assert_eq!(w.checks().calls(), 0);
}

/// As law 74.
async fn checks_run_in_parallel(w: World) {
    let pool = w.pool(|b| b.max_size(5).check_policy(CheckPolicy::Always));
    drop(pool.acquire_many(5).await);
    let gate = Gate::new();
    w.checks().always(ok().at(&gate));
    let callers: Vec<_> = (0..5).map(|_| w.acquiring(&pool)).collect();
    w.until(|| pool.status().checking == 5).await;
    gate.open();
    w.until(|| pool.statistics().acquires == 10).await;
    join(callers).await;
    assert_eq!(w.connects().calls(), 5);
}

/// Law 208.
async fn healthy_ones_survive_the_failure_of_others(w: World) {
    let pool = w.pool(|b| b.max_size(3).check_policy(CheckPolicy::Always));
    drop(pool.acquire_many(3).await);
    w.checks().next([err()]);
    drop(pool.acquire().await.unwrap());
    w.until(|| pool.statistics().closes.total() == 1).await;
    assert_eq!(pool.status().idle, 2);
    assert_eq!(pool.statistics().closes.total(), 1);
}

/// As laws 27 and 28, for a check.
async fn check_that_outlives_its_caller_serves_the_next(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Always));
    drop(pool.acquire().await.unwrap());
    w.checks().always(ok().after(w.ms(300)));
    let watch = w.stopwatch();
    let first = w.waiter(&pool).await;
    w.sleep(100).await;
    let second = w.waiter(&pool).await;
    first.abort().await;
    assert_eq!(second.await.unwrap().id(), 0);
    watch.assert_at(300);
    assert_eq!(w.checks().calls(), 1);
}

/// Law 59, for checks.
async fn hung_check_does_not_hold_up_those_who_come_later(w: World) {
    let pool = w.pool(|b| b.max_size(2).check_policy(CheckPolicy::Always));
    drop(pool.acquire().await.unwrap());
    w.checks().next([hang()]);
    let error = pool.acquire_timeout(w.ms(200)).await.unwrap_err();
    assert!(error.is_timed_out());
    let conn = pool.acquire_timeout(w.ms(1000)).await;
    assert!(conn.is_ok(), "{conn:?}");
}

/// Law 94: what was known while there was traffic is not believed for ever.
async fn stale_one_is_checked_after_much_traffic_as_well(w: World) {
    let pool = w.pool(|b| {
        b.max_size(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .check_policy(CheckPolicy::IdleFor(w.ms(1000)))
    });
    let held = pool.acquire().await.unwrap();
    // The keeper has nothing left to wake for.
    w.sleep(20_000).await;
    drop(held);
    for _ in 0..100 {
        drop(pool.acquire().await.unwrap());
    }
    assert_eq!(w.checks().calls(), 0);
    w.sleep(5000).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(w.checks().calls(), 1);
}
