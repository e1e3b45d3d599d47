//! Closing.

use futures_lite::future::poll_once;
use watertight::{AcquireError, CheckPolicy, Condition};

use crate::support::{At, Gate, World, err, hang, join, laws, ok, panics};

laws! {
    every_mode:
        closed_pool_lends_nothing,
        waiters_learn_of_the_closing_at_once,
        closing_ends_when_all_are_closed,
        closing_disturbs_no_holder,
        connect_under_way_is_closed_when_it_ends,
        refill_under_way_does_not_hold_up_the_closing_for_ever,
        check_under_way_ends_in_closed,
        everybody_may_close,
        close_that_goes_wrong_does_not_hold_up_the_others,
        holder_is_severed_after_the_grace_period,
        grace_is_not_used_up_if_all_is_well,
        last_handle_closes_the_pool,
        last_handle_dropped_with_everything_hung_frees_all_in_time,
        guard_outlives_the_last_handle,
        slow_end_does_not_hold_up_another_start,
        closing_is_announced;
    tasks_only:
        closing_begins_with_the_call,
        closing_goes_on_without_its_caller;
    virtual_only:
        what_has_not_begun_when_the_pool_is_closed_does_not_begin,
        check_that_has_not_begun_when_the_pool_is_closed_does_not_begin,
        recycling_that_has_not_begun_when_the_pool_is_closed_does_not_begin;
}

/// Laws 165 and 180.
async fn closed_pool_lends_nothing(w: World) {
    let pool = w.pool(|b| b.max_size(3));
    drop(pool.acquire_many(2).await);
    pool.close().await;
    assert!(pool.is_closed() && pool.status().closed);
    assert!(matches!(pool.acquire().await, Err(AcquireError::Closed)));
    let impatient = pool.acquire_timeout(w.ms(0)).await;
    assert!(matches!(impatient, Err(AcquireError::Closed)));
    assert!(pool.try_acquire().is_none());
    assert!(matches!(pool.fill().await, Err(AcquireError::Closed)));
    assert!(pool.adopt(w.connection_from_elsewhere()).is_err());
    assert_eq!(w.connects().calls(), 2);
}

/// Law 166.
async fn waiters_learn_of_the_closing_at_once(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let mut waiters = Vec::new();
    for _ in 0..3 {
        waiters.push(w.waiter(&pool).await);
    }
    let watch = w.stopwatch();
    let closing = w.spawn(pool.close());
    for result in join(waiters).await {
        assert!(matches!(result, Err(AcquireError::Closed)));
    }
    watch.assert_at(0);
    drop(held);
    closing.await;
}

/// Law 167.
async fn closing_begins_with_the_call(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let mut held = pool.acquire_many(2).await;
    held.pop();
    let mut closing = pool.close();
    assert!(pool.is_closed());
    assert!(poll_once(&mut closing).await.is_none());
    let patience = async {
        w.sleep(200).await;
        false
    };
    let done = async {
        closing.as_mut().await;
        true
    };
    assert!(!futures_lite::future::or(done, patience).await);
    drop(held);
    closing.await;
}

/// Law 168 and guarantee 9.
async fn closing_ends_when_all_are_closed(w: World) {
    w.closes().always(ok().after(w.ms(100)));
    let pool = w.pool(|b| b.max_size(4));
    let mut held = pool.acquire_many(4).await;
    held.truncate(2);
    let watch = w.stopwatch();
    let closing = w.spawn(pool.close());
    w.sleep(300).await;
    drop(held);
    closing.await;
    watch.assert_at(400);
    assert_eq!(w.ledger().count().closed, 4);
    assert_eq!(pool.statistics().closes.shutdown, 4);
}

/// Laws 169 and 180.
async fn closing_disturbs_no_holder(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let mut held = pool.acquire().await.unwrap();
    let closing = w.spawn(pool.close());
    w.until(|| pool.is_closed()).await;
    w.sleep(1000).await;
    assert!(
        pool.acquire().await.unwrap_err().is_closed(),
        "others get nothing meanwhile"
    );
    assert!(pool.try_acquire().is_none());
    assert_eq!(w.ledger().place(0), At::Holder);
    held.session.push_str("still mine");
    drop(held);
    closing.await;
}

/// Law 170.
async fn connect_under_way_is_closed_when_it_ends(w: World) {
    let gate = Gate::new();
    w.connects().next([ok().at(&gate)]);
    let pool = w.pool(|b| b.max_size(1));
    let caller = w.waiter(&pool).await;
    w.until(|| w.ledger().count().connecting == 1).await;
    let closing = w.spawn(pool.close());
    assert!(matches!(caller.await, Err(AcquireError::Closed)));
    assert_eq!(pool.status().size, 1);
    gate.open();
    closing.await;
    assert_eq!(w.ledger().count().closed, 1);
}

/// Law 171.
async fn refill_under_way_does_not_hold_up_the_closing_for_ever(w: World) {
    w.connects().next([ok().after(w.ms(200)), hang(), err()]);
    let pool = w.pool(|b| b.min_idle(3).connect_timeout(w.ms(500)));
    w.until(|| w.connects().calls() >= 3).await;
    let watch = w.stopwatch();
    pool.close().await;
    watch.assert_within(0, 500);
    assert_eq!(pool.status().size, 0);
    assert_eq!(w.ledger().count().closed, w.ledger().count().made);
}

/// As law 170, for a check.
async fn check_under_way_ends_in_closed(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Always));
    drop(pool.acquire().await.unwrap());
    let gate = Gate::new();
    w.checks().next([ok().at(&gate)]);
    let caller = w.waiter(&pool).await;
    w.until(|| w.checks().calls() == 1).await;
    let closing = w.spawn(pool.close());
    assert!(matches!(caller.await, Err(AcquireError::Closed)));
    gate.open();
    closing.await;
    assert_eq!(pool.statistics().closes.shutdown, 1);
}

/// Law 173.
async fn everybody_may_close(w: World) {
    let pool = w.pool(|b| b.max_size(5));
    let held = pool.acquire_many(5).await;
    let closings: Vec<_> = (0..10)
        .map(|_| {
            let pool = pool.clone();
            w.spawn(async move { pool.close().await })
        })
        .collect();
    w.until(|| pool.is_closed()).await;
    drop(held);
    join(closings).await;
    pool.close().await;
    assert_eq!(w.ledger().closes_begun(), 5);
}

/// Law 174.
async fn close_that_goes_wrong_does_not_hold_up_the_others(w: World) {
    let pool = w.pool(|b| b.max_size(5).close_timeout(w.ms(300)));
    drop(pool.acquire_many(5).await);
    w.closes().next([err(), panics(), hang()]);
    let watch = w.stopwatch();
    pool.close().await;
    watch.assert_at(300);
    assert_eq!(w.ledger().closes_begun(), 5);
    assert_eq!(w.ledger().count().closed, 5);
}

/// Law 175.
async fn holder_is_severed_after_the_grace_period(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire_many(2).await;
    let watch = w.stopwatch();
    assert_eq!(pool.close_within(w.ms(300)).await, 2);
    watch.assert_at(300);
    drop(held);
    w.until(|| pool.statistics().closes.total() == 2).await;
    assert_eq!(pool.status().size, 0);
}

/// Law 175.
async fn grace_is_not_used_up_if_all_is_well(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    drop(pool.acquire_many(2).await);
    let watch = w.stopwatch();
    assert_eq!(pool.close_within(w.ms(1_000_000)).await, 0);
    watch.assert_at(0);
}

/// Law 176.
async fn last_handle_closes_the_pool(w: World) {
    let pool = w.lone_pool(|b| b.max_size(3).min_idle(1));
    drop(pool.acquire_many(2).await);
    let clone = pool.clone();
    drop(pool);
    w.settle().await;
    assert_eq!(w.ledger().closes_begun(), 0);
    drop(clone.acquire().await.unwrap());
    drop(clone);
    w.until(|| w.ledger().managers() == 0).await;
    assert_eq!(w.ledger().closes_begun(), w.ledger().count().made);
    if let Some(runtime) = w.virtual_time() {
        assert_eq!((runtime.tasks(), runtime.timers()), (0, 0));
    }
}

/// Law 176, though a connect, a check, a recycling and a close hang.
async fn last_handle_dropped_with_everything_hung_frees_all_in_time(w: World) {
    let pool = w.lone_pool(|b| {
        b.max_size(5)
            .check_policy(CheckPolicy::Always)
            .connect_timeout(w.ms(300))
            .check_timeout(w.ms(300))
            .recycle_timeout(w.ms(300))
            .close_timeout(w.ms(300))
    });
    let mut held = pool.acquire_many(4).await;
    w.closes().always(hang());
    w.recycles().always(hang());
    w.checks().always(hang());
    w.connects().always(hang());
    held.pop().unwrap().discard();
    held.pop().unwrap().condition = Condition::Dirty;
    held.pop();
    let callers = [
        w.acquiring_within(&pool, 200),
        w.acquiring_within(&pool, 200),
    ];
    w.until(|| w.ledger().count().connecting == 1 && w.checks().calls() == 1)
        .await;
    w.until(|| w.closes().calls() == 1 && w.recycles().calls() == 1)
        .await;
    let watch = w.stopwatch();
    for caller in callers {
        caller.abort().await;
    }
    drop((pool, held));
    w.sleep(600).await;
    w.until(|| w.ledger().managers() == 0).await;
    watch.assert_at(600);
    if let Some(runtime) = w.virtual_time() {
        assert_eq!((runtime.tasks(), runtime.timers()), (0, 0));
    }
}

/// Law 177.
async fn guard_outlives_the_last_handle(w: World) {
    let pool = w.lone_pool(|b| b.max_size(2));
    let mut held = pool.acquire_many(2).await;
    drop(pool);
    w.settle().await;
    assert_eq!(w.ledger().count().held, 2);
    held[0].session.push_str("still mine");
    drop(held);
    w.until(|| w.ledger().count().closed == 2).await;
    assert_eq!(w.ledger().closes_begun(), 2);
}

/// Law 179.
async fn slow_end_does_not_hold_up_another_start(w: World) {
    let gate = Gate::new();
    w.closes().always(ok().at(&gate));
    let old = w.pool(|b| b.max_size(1));
    drop(old.acquire().await.unwrap());
    let closing = w.spawn(old.close());
    w.until(|| w.ledger().closes_begun() == 1).await;
    let other = w.sibling();
    let new = other.pool(|b| b.max_size(1));
    drop(new.acquire().await.unwrap());
    new.close().await;
    assert_eq!(old.status().closing, 1);
    gate.open();
    closing.await;
}

/// `closed`.
async fn closing_is_announced(w: World) {
    let pool = w.lone_pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let announced = w.spawn(pool.closed());
    w.settle().await;
    drop(pool);
    announced.await;
    assert_eq!(w.ledger().place(0), At::Holder);
    drop(held);
}

/// Cancel safety of `close`.
async fn closing_goes_on_without_its_caller(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire_many(2).await;
    let mut closing = pool.close();
    assert!(poll_once(&mut closing).await.is_none());
    drop(closing);
    drop(held);
    w.until(|| pool.status().size == 0).await;
    assert_eq!(w.ledger().closes_begun(), 2);
}

/// Law 170: a task that was not polled yet has nothing to bring to an end.
async fn what_has_not_begun_when_the_pool_is_closed_does_not_begin(w: World) {
    w.connects().always(hang());
    let pool = w.pool(|b| b.min_idle(1).connect_timeout(None));
    assert_eq!(pool.status().connecting, 1);
    pool.close().await;
    assert_eq!(w.connects().calls(), 0);
}

/// Law 170, for what is not clean.
async fn recycling_that_has_not_begun_when_the_pool_is_closed_does_not_begin(w: World) {
    w.recycles().always(hang());
    let pool = w.pool(|b| b.max_size(1).recycle_timeout(None));
    let mut dirty = pool.acquire().await.unwrap();
    dirty.condition = Condition::Dirty;
    drop(dirty);
    assert_eq!(pool.status().recycling, 1);
    pool.close().await;
    assert_eq!(w.recycles().calls(), 0);
    assert_eq!(pool.statistics().closes.shutdown, 1);
}

/// Law 170, for a check.
async fn check_that_has_not_begun_when_the_pool_is_closed_does_not_begin(w: World) {
    w.checks().always(hang());
    let pool = w.pool(|b| {
        b.max_size(1)
            .check_policy(CheckPolicy::Always)
            .check_timeout(None)
    });
    drop(pool.acquire().await.unwrap());
    let mut waiter = Box::pin(pool.acquire());
    assert!(poll_once(&mut waiter).await.is_none());
    assert_eq!(pool.status().checking, 1);
    pool.close().await;
    assert_eq!(w.checks().calls(), 0);
    assert_eq!(pool.statistics().closes.shutdown, 1);
    assert!(waiter.await.unwrap_err().is_closed());
}
