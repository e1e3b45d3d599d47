//! Resets.

use std::time::Duration;

use watertight::{CheckPolicy, Condition, ConnectPolicy, PooledConnection};

use crate::support::{Gate, LawPool, World, err, hang, join, laws, ok, permanent};

laws! {
    every_mode:
        reset_closes_idle_ones_now_and_lent_ones_on_return,
        reset_covers_connects_under_way,
        reset_covers_a_refill_under_way,
        reset_serves_those_who_counted_on_an_old_connect,
        connect_of_before_a_reset_fails_for_nobody,
        reset_covers_checks_and_recyclings_under_way,
        reset_fills_to_min_idle_again,
        retired_one_is_closed_after_its_loan,
        reset_under_load_never_exceeds_the_limit,
        waiting_for_a_reset_ends_with_the_last_old_one,
        detached_one_does_not_hold_up_the_end_of_a_reset,
        failed_check_condemns_all_that_were_made_before;
    virtual_only:
        reset_can_be_spread,
        spread_reset_covers_what_is_lent_and_what_is_in_the_making,
        earlier_reset_is_not_softened_by_a_later_one,
        failed_check_frees_those_who_count_on_another_of_the_same_generation,
        failed_check_spares_what_was_made_after_it;
    tasks_only:
        reset_of_a_closed_pool_changes_nothing;
}

/// Law 121.
async fn reset_closes_idle_ones_now_and_lent_ones_on_return(w: World) {
    let pool = w.pool(|b| b.max_size(5));
    let mut held = pool.acquire_many(5).await;
    held.truncate(2);
    w.until(|| pool.status().idle == 3).await;
    pool.reset();
    w.until(|| pool.statistics().closes.reset == 3).await;
    assert_eq!(pool.status().in_use, 2);
    assert_eq!(pool.status().idle, 0);
    // A new one is made although an old one is about to come back.
    let new = pool.acquire().await.unwrap();
    assert_eq!(new.id(), 5);
    drop(new);
    drop(held);
    w.until(|| pool.statistics().closes.reset == 5).await;
    assert_eq!(pool.acquire().await.unwrap().id(), 5, "a new one is kept");
}

/// Law 122, for a connect that a caller waits for.
async fn reset_covers_connects_under_way(w: World) {
    let gate = Gate::new();
    w.connects().next([ok().at(&gate)]);
    let pool = w.pool(|b| b.max_size(1));
    let waiter = w.waiter(&pool).await;
    w.until(|| w.connects().calls() == 1).await;
    pool.reset();
    gate.open();
    assert_eq!(waiter.await.unwrap().id(), 1);
    assert_eq!(pool.statistics().closes.reset, 1);
}

/// Law 122, for a refill.
async fn reset_covers_a_refill_under_way(w: World) {
    let gate = Gate::new();
    w.connects().next([ok().at(&gate), ok().at(&gate)]);
    let pool = w.pool(|b| b.max_size(2).min_idle(2));
    w.until(|| w.connects().calls() == 2).await;
    pool.reset();
    gate.open();
    w.until(|| pool.status().idle == 2 && pool.statistics().closes.reset == 2)
        .await;
    assert_eq!(w.connects().calls(), 4);
}

/// Law 122: nobody waits for a connect that can no longer serve him.
async fn reset_serves_those_who_counted_on_an_old_connect(w: World) {
    w.connects().next([hang()]);
    let pool = w.pool(|b| b.max_size(2));
    let waiter = w.waiter(&pool).await;
    w.until(|| w.connects().calls() == 1).await;
    let watch = w.stopwatch();
    pool.reset();
    drop(waiter.await.unwrap());
    watch.assert_at(0);
}

/// Law 122: what an old server says is no answer for those who wait for the new one.
async fn connect_of_before_a_reset_fails_for_nobody(w: World) {
    for policy in [ConnectPolicy::FailFast, ConnectPolicy::default()] {
        let gate = Gate::new();
        w.connects().next([permanent().at(&gate)]);
        let pool = w.pool(|b| b.max_size(1).min_idle(1).connect_policy(policy));
        let waiter = w.waiter(&pool).await;
        w.until(|| pool.status().connecting == 1).await;
        pool.reset();
        gate.open();
        drop(waiter.await.unwrap());
        assert_eq!(pool.statistics().failed_connects, 1);
        pool.close().await;
    }
}

/// Law 122, for all that is on its way back.
async fn reset_covers_checks_and_recyclings_under_way(w: World) {
    let gate = Gate::new();
    w.checks().next([ok().at(&gate)]);
    w.recycles().next([ok().at(&gate)]);
    let pool = w.pool(|b| b.max_size(2).check_policy(CheckPolicy::Always));
    let mut held = pool.acquire_many(2).await;
    held[0].condition = Condition::Dirty;
    drop(held);
    w.until(|| pool.status().recycling == 1 && pool.status().idle == 1)
        .await;
    let waiter = w.waiter(&pool).await;
    w.until(|| pool.status().checking == 1).await;
    pool.reset();
    gate.open();
    assert_eq!(waiter.await.unwrap().id(), 2);
    w.until(|| pool.statistics().closes.reset == 2).await;
    pool.wait_reset().await;
}

/// Law 121, for those who want some idle.
async fn reset_fills_to_min_idle_again(w: World) {
    let pool = w.pool(|b| b.max_size(3).min_idle(2));
    pool.fill().await.unwrap();
    pool.reset();
    w.until(|| pool.statistics().closes.reset == 2 && pool.status().idle == 2)
        .await;
    assert_eq!(w.connects().calls(), 4);
}

/// Law 123.
async fn retired_one_is_closed_after_its_loan(w: World) {
    let pool = w.pool(|b| b.max_size(2).min_idle(1));
    let mut guard = pool.acquire().await.unwrap().into_guard();
    let id = guard.id();
    PooledConnection::retire(&mut guard);
    assert_eq!(guard.id(), id, "it works on");
    drop(guard);
    w.until(|| pool.statistics().closes.discarded == 1).await;
    w.until(|| pool.status().idle == 1).await;
    assert_ne!(pool.acquire().await.unwrap().id(), id);
}

/// Law 126.
async fn reset_under_load_never_exceeds_the_limit(w: World) {
    w.connects().always(ok().after(w.ms(3)));
    w.closes().always(ok().after(w.ms(2)));
    let pool = w.pool(|b| b.max_size(4));
    let users = (0..16).map(|n| {
        let (world, pool) = (w.clone(), pool.clone());
        w.spawn(async move {
            for round in 0..20 {
                let _conn = pool.acquire().await.unwrap();
                world.sleep((n + round) % 4).await;
            }
        })
    });
    let users: Vec<_> = users.collect();
    for round in 0..10 {
        w.sleep(7).await;
        match round % 2 {
            0 => pool.reset(),
            _ => pool.reset_over(w.ms(5)),
        }
    }
    join(users).await;
    pool.wait_reset().await;
    assert!(w.ledger().peak() <= 4);
    assert!(pool.statistics().closes.reset > 0);
}

/// Law 130.
async fn waiting_for_a_reset_ends_with_the_last_old_one(w: World) {
    let gate = Gate::new();
    w.closes().next([ok().at(&gate)]);
    let pool = w.pool(|b| b.max_size(2));
    pool.wait_reset().await; // Nothing is old.
    let held = pool.acquire().await.unwrap();
    pool.reset();
    let waiting = w.spawn(pool.wait_reset());
    drop(pool.acquire().await.unwrap());
    drop(held);
    w.until(|| pool.status().closing == 1).await;
    w.settle().await;
    assert_eq!(pool.statistics().closes.reset, 0, "it is being closed");
    gate.open();
    waiting.await;
    assert_eq!(pool.statistics().closes.reset, 1);
    assert_eq!(pool.status().idle, 1, "the new one stays");
}

/// Law 130, for those that never come back.
async fn detached_one_does_not_hold_up_the_end_of_a_reset(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire().await.unwrap();
    pool.reset();
    let waiting = w.spawn(pool.wait_reset());
    drop(held.detach());
    waiting.await;
}

/// Law 97, as far as it can be seen on every clock.
async fn failed_check_condemns_all_that_were_made_before(w: World) {
    let pool = w.pool(|b| {
        b.max_size(10)
            .check_policy(CheckPolicy::Always)
            .reset_on_failed_check(true)
    });
    drop(pool.acquire_many(10).await);
    w.checks().next([err().after(w.ms(200))]);
    let watch = w.stopwatch();
    let conn = pool.acquire().await.unwrap();
    watch.assert_at(200);
    assert_eq!(conn.id(), 10);
    drop(conn);
    w.until(|| pool.statistics().closes.total() == 10).await;
    assert_eq!(pool.statistics().closes.check_failed, 1);
    assert_eq!(pool.statistics().closes.reset, 9);
    assert_eq!(w.checks().calls(), 1);
    drop(pool.acquire().await.unwrap());
}

/// Law 97: nobody counts on a check of what is condemned.
async fn failed_check_frees_those_who_count_on_another_of_the_same_generation(w: World) {
    let pool = w.pool(|b| {
        b.max_size(3)
            .reset_on_failed_check(true)
            .check_policy(CheckPolicy::Always)
    });
    drop(pool.acquire_many(2).await);
    w.checks().next([err().after(w.ms(100)), hang()]);
    let waiters = [w.waiter(&pool).await, w.waiter(&pool).await];
    let watch = w.stopwatch();
    let held = join(waiters).await;
    watch.assert_at(100);
    drop(held);
}

/// Law 97, the end of it.
async fn failed_check_spares_what_was_made_after_it(w: World) {
    let gate = Gate::new();
    let pool = w.pool(|b| {
        b.max_size(3)
            .check_policy(CheckPolicy::Always)
            .reset_on_failed_check(true)
    });
    drop(pool.acquire_many(2).await);
    w.checks()
        .next([err().after(w.ms(100)), err().after(w.ms(200))]);
    w.connects().next([ok().at(&gate)]);
    let waiters = [
        w.waiter(&pool).await,
        w.waiter(&pool).await,
        w.waiter(&pool).await,
    ];
    w.until(|| w.connects().calls() == 3).await;
    w.sleep(100).await;
    w.until(|| pool.statistics().closes.check_failed == 1).await;
    // In the making when the check failed, so it may well be sound.
    gate.open();
    let conns = join(waiters).await;
    assert!(conns.iter().any(|conn| conn.as_ref().unwrap().id() == 2));
    drop(conns);
    w.sleep(300).await;
    assert_eq!(
        pool.statistics().closes.check_failed,
        2,
        "under way already"
    );
    assert_eq!(
        pool.status().idle,
        3,
        "the second failure says nothing of these"
    );
}

/// Law 127.
async fn reset_can_be_spread(w: World) {
    let pool = w.pool(|b| b.max_size(120).idle_timeout(None).max_lifetime(None));
    let mut held = pool.acquire_many(120).await;
    held.truncate(20);
    let reset_at = w.now();
    pool.reset_over(w.ms(10_000));
    w.sleep(1).await;
    assert!(pool.status().idle > 95, "few go at once");
    // Some that are made later stay.
    let later = pool.acquire_many(100).await;
    let later: Vec<_> = later.into_iter().filter(|conn| conn.id() >= 120).collect();
    let kept = later.len();
    drop(later);
    w.sleep(5_000).await;
    drop(held);
    w.sleep(5_000).await;
    w.settle().await;
    assert_eq!(pool.statistics().closes.reset, 120);
    assert_eq!(pool.status().idle, kept);
    let mut fifths = [0; 5];
    for closed in w.closes().call_times() {
        let after = (closed - reset_at).as_millis();
        fifths[usize::try_from(after / 2_001).unwrap()] += 1;
    }
    let even = |n: &usize| (10..50).contains(n);
    assert!(fifths.iter().all(even), "{fifths:?}");
    pool.wait_reset().await;
}

/// Law 127, for those that cannot be seen at the reset.
async fn spread_reset_covers_what_is_lent_and_what_is_in_the_making(w: World) {
    let gate = Gate::new();
    let pool = w.pool(|b| b.max_size(2).idle_timeout(None).max_lifetime(None));
    let held = pool.acquire().await.unwrap();
    w.connects().next([ok().at(&gate)]);
    let waiter = w.waiter(&pool).await;
    w.settle().await;
    pool.reset_over(w.ms(1000));
    gate.open();
    drop(waiter.await.unwrap());
    drop(held);
    w.settle().await;
    assert!(pool.status().idle > 0, "they may be used for a while");
    w.sleep(1000).await;
    w.settle().await;
    assert_eq!(pool.statistics().closes.reset, 2);
    assert_eq!(pool.status().size, 0);
}

/// Laws 121 and 127.
async fn earlier_reset_is_not_softened_by_a_later_one(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire().await.unwrap();
    pool.reset();
    let newer = pool.acquire().await.unwrap();
    pool.reset_over(Duration::from_secs(3600));
    drop(held);
    drop(newer);
    w.settle().await;
    assert_eq!(pool.statistics().closes.reset, 1);
    assert_eq!(pool.status().idle, 1);
    pool.reset();
    w.settle().await;
    assert_eq!(pool.statistics().closes.reset, 2);
}

/// Laws 121 and 165.
async fn reset_of_a_closed_pool_changes_nothing(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire().await.unwrap();
    let closing = pool.close();
    reset(&pool);
    drop(held);
    closing.await;
    assert_eq!(pool.statistics().closes.shutdown, 1);
    pool.wait_reset().await;
}

fn reset(pool: &LawPool) {
    pool.reset();
    pool.reset_over(Duration::MAX);
}
