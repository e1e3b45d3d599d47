//! Waiting, its deadline, and giving up.

use std::error::Error;
use std::time::Duration;

use futures_lite::future::poll_once;
use watertight::{AcquireError, Backoff, CheckPolicy, ConnectError, ConnectPolicy, Phase};

use crate::support::{Gate, LawPool, World, err, hang, join, laws, ok, permanent};

laws! {
    every_mode:
        acquire_without_patience_queues_nothing,
        idle_one_needs_no_patience,
        waiter_that_timed_out_leaves_no_trace,
        one_deadline_covers_wait_check_and_connect,
        hung_connect_costs_the_caller_no_more_than_its_deadline,
        hung_check_costs_no_more_than_its_time_out,
        crowd_of_late_waiters_fails_in_time,
        those_in_time_are_served_and_the_others_are_not,
        release_beats_a_failing_connect,
        return_serves_before_the_connect_does,
        connect_serves_before_the_return_does,
        release_serves_the_waiter_at_once,
        each_waiter_fails_at_its_own_deadline,
        errors_can_be_told_apart,
        endless_patience_is_legal;
    tasks_only:
        acquire_without_patience_answers_at_its_first_poll,
        cancelled_waiters_leave_no_trace,
        cancelled_caller_leaves_its_connect_to_the_pool,
        cancelled_caller_leaves_its_connect_to_the_next,
        hand_off_is_never_to_the_expired,
        hand_off_in_heavy_traffic_is_never_to_the_expired;
}

/// Law 15.
async fn acquire_without_patience_queues_nothing(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let before = pool.statistics();
    let error = pool.acquire_timeout(Duration::ZERO).await.unwrap_err();
    assert!(matches!(
        error,
        AcquireError::TimedOut {
            phase: Phase::Wait,
            cause: None,
            ..
        }
    ));
    assert!(pool.try_acquire().is_none());
    assert_eq!(pool.status().waiting, 0);
    assert_eq!(pool.statistics().waits, before.waits);
    drop(held);
}

/// Laws 15, 24 and 147.
async fn acquire_without_patience_answers_at_its_first_poll(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    // A scoped pin each: the future must be gone before the next begins.
    let answer = poll_once(Box::pin(pool.acquire_timeout(Duration::ZERO))).await;
    assert!(answer.is_some_and(|result| result.is_err()));
    w.settle().await;
    assert_eq!(w.connects().calls(), 0);
    let held = pool.acquire().await.unwrap();
    let answer = poll_once(Box::pin(pool.acquire_timeout(Duration::ZERO))).await;
    assert!(answer.is_some_and(|result| result.is_err()));
    drop(held);
}

/// Laws 16 and 24.
async fn idle_one_needs_no_patience(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Always));
    drop(pool.acquire().await.unwrap());
    drop(pool.acquire_timeout(Duration::ZERO).await.unwrap());
    drop(pool.try_acquire().unwrap());
    assert_eq!(w.connects().calls(), 1);
    assert_eq!(w.checks().calls(), 0);
}

/// Law 18.
async fn waiter_that_timed_out_leaves_no_trace(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let watch = w.stopwatch();
    let error = pool.acquire_timeout(w.ms(100)).await.unwrap_err();
    watch.assert_at(100);
    assert!(error.is_timed_out());
    drop(held);
    let status = pool.status();
    assert_eq!((status.idle, status.waiting), (1, 0));
    drop(pool.try_acquire().unwrap());
}

/// Law 19 and guarantee 4.
async fn one_deadline_covers_wait_check_and_connect(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Always));
    let held = pool.acquire().await.unwrap();
    w.checks().always(err().after(w.ms(300)));
    w.connects().always(hang());
    let watch = w.stopwatch();
    let waiter = w.acquiring_within(&pool, 1000);
    w.sleep(500).await;
    drop(held);
    let error = waiter.await.unwrap_err();
    watch.assert_at(1000);
    // On a busy machine the check may take until the deadline.
    if w.virtual_time().is_some() {
        assert!(matches!(
            error,
            AcquireError::TimedOut {
                phase: Phase::Connect,
                ..
            }
        ));
        assert_eq!(w.connects().calls(), 2);
    }
    assert_eq!(w.checks().calls(), 1);
}

/// Law 21.
async fn hung_connect_costs_the_caller_no_more_than_its_deadline(w: World) {
    w.connects().always(hang());
    let pool = w.pool(|b| b.max_size(1).connect_timeout(w.ms(700)));
    let watch = w.stopwatch();
    let error = pool.acquire_timeout(w.ms(200)).await.unwrap_err();
    watch.assert_at(200);
    assert!(error.is_timed_out());
    pool.close().await;
    watch.assert_at(700);
    assert_eq!(w.ledger().count().made, 0);
}

/// Law 22 and guarantee 12.
async fn hung_check_costs_no_more_than_its_time_out(w: World) {
    let pool = w.pool(|b| {
        b.max_size(1)
            .check_policy(CheckPolicy::Always)
            .check_timeout(w.ms(100))
    });
    drop(pool.acquire().await.unwrap());
    w.checks().next([hang()]);
    let watch = w.stopwatch();
    let conn = pool.acquire_timeout(w.ms(5000)).await.unwrap();
    watch.assert_at(100);
    assert_eq!(conn.id(), 1);
    assert_eq!(w.ledger().closes_of(0), 1);
    assert_eq!(pool.statistics().closes.check_failed, 1);
}

/// Law 25.
async fn cancelled_waiters_leave_no_trace(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let mut waiters = Vec::new();
    for _ in 0..10 {
        waiters.push(w.waiter(&pool).await);
    }
    for waiter in waiters {
        waiter.abort().await;
    }
    drop(held);
    let status = pool.status();
    assert_eq!((status.idle, status.waiting), (1, 0));
    drop(pool.try_acquire().unwrap());
    assert_eq!(pool.statistics().cancellations, 10);
}

/// Law 27 and guarantee 5.
async fn cancelled_caller_leaves_its_connect_to_the_pool(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let gate = Gate::new();
    w.connects().next([ok().at(&gate)]);
    let caller = w.waiter(&pool).await;
    w.until(|| w.connects().calls() == 1).await;
    caller.abort().await;
    assert_eq!(pool.status().connecting, 1);
    gate.open();
    w.until(|| pool.status().idle == 1).await;
    assert_eq!(pool.status().size, 1);
    drop(pool.acquire().await.unwrap());
    assert_eq!(w.connects().calls(), 1);
}

/// Law 28 and guarantee 5.
async fn cancelled_caller_leaves_its_connect_to_the_next(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let gate = Gate::new();
    w.connects().next([ok().at(&gate)]);
    let first = w.waiter(&pool).await;
    let second = w.waiter(&pool).await;
    first.abort().await;
    gate.open();
    drop(second.await.unwrap());
    assert_eq!(w.connects().calls(), 1);
}

/// Law 29.
async fn hand_off_is_never_to_the_expired(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    hand_over_past_an_expired_waiter(&w, &pool).await;
}

/// Law 29, where the pool has a coarse time at hand and need not read the clock.
async fn hand_off_in_heavy_traffic_is_never_to_the_expired(w: World) {
    let pool = w.pool(|b| {
        b.max_size(1)
            .check_policy(CheckPolicy::IdleFor(w.ms(10_000)))
    });
    for _ in 0..20 {
        drop(pool.acquire().await.unwrap());
        w.sleep(50).await;
    }
    hand_over_past_an_expired_waiter(&w, &pool).await;
}

async fn hand_over_past_an_expired_waiter(w: &World, pool: &LawPool) {
    let held = pool.acquire().await.unwrap();
    let mut late = Box::pin(pool.acquire_timeout(w.ms(100)));
    let mut patient = Box::pin(pool.acquire());
    assert!(poll_once(&mut late).await.is_none());
    assert!(poll_once(&mut patient).await.is_none());
    w.sleep(150).await;
    drop(held);
    let conn = poll_once(&mut patient).await.expect("it is its turn");
    assert!(conn.is_ok());
    let error = poll_once(&mut late).await.expect("it is over").unwrap_err();
    assert!(error.is_timed_out());
    assert_eq!(pool.statistics().timeouts.wait, 1);
}

/// Law 30.
async fn crowd_of_late_waiters_fails_in_time(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let watch = w.stopwatch();
    let crowd: Vec<_> = (0..w.times(1000, 100))
        .map(|_| w.acquiring_within(&pool, 1000))
        .collect();
    let size = crowd.len() as u64;
    for late in join(crowd).await {
        assert!(late.unwrap_err().is_timed_out());
    }
    watch.assert_at(1000);
    let waiter = w.waiter(&pool).await;
    drop(held);
    drop(waiter.await.unwrap());
    if w.virtual_time().is_some() {
        watch.assert_at(1000);
    }
    assert_eq!(pool.statistics().timeouts.total(), size);
}

/// Law 32.
async fn those_in_time_are_served_and_the_others_are_not(w: World) {
    let pool = w.pool(|b| b.max_size(10));
    // Held until the others have given up, which is twice their time-out or more.
    let over = Gate::new();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (pool, over, patience) = (pool.clone(), over.clone(), w.ms(1000));
            w.spawn(async move {
                match pool.acquire_timeout(patience).await {
                    Ok(_conn) => over.passed().await,
                    Err(error) => assert!(error.is_timed_out()),
                }
            })
        })
        .collect();
    w.sleep(2000).await;
    w.until(|| pool.statistics().timeouts.total() == 10).await;
    over.open();
    join(tasks).await;
    assert_eq!(pool.statistics().acquires, 10);
    assert_eq!(pool.statistics().timeouts.total(), 10);
}

/// Law 33.
async fn release_beats_a_failing_connect(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire().await.unwrap();
    w.connects().always(err());
    let watch = w.stopwatch();
    let waiter = w.acquiring_within(&pool, 1000);
    w.until(|| pool.statistics().failed_connects > 0).await;
    w.sleep(250).await;
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 0);
    watch.assert_within(250, 999);
}

/// Law 34.
async fn return_serves_before_the_connect_does(w: World) {
    let (pool, held, gate) = one_held_and_one_in_the_making(&w).await;
    let waiter = w.waiter(&pool).await;
    w.until(|| w.ledger().count().connecting == 1).await;
    drop(held);
    let conn = waiter.await.unwrap();
    assert_eq!(conn.id(), 0);
    gate.open();
    w.until(|| pool.status().idle == 1).await;
    assert_eq!(w.connects().calls(), 2);
}

/// Law 35.
async fn connect_serves_before_the_return_does(w: World) {
    let (pool, held, gate) = one_held_and_one_in_the_making(&w).await;
    let waiter = w.waiter(&pool).await;
    w.until(|| w.ledger().count().connecting == 1).await;
    gate.open();
    assert_eq!(waiter.await.unwrap().id(), 1);
    drop(held);
}

/// The second connect ends when the gate is opened.
async fn one_held_and_one_in_the_making(w: &World) -> (LawPool, crate::support::Lent, Gate) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire().await.unwrap();
    let gate = Gate::new();
    w.connects().next([ok().at(&gate)]);
    (pool, held, gate)
}

/// Law 39.
async fn release_serves_the_waiter_at_once(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire_many(2).await;
    let watch = w.stopwatch();
    let waiter = w.acquiring_within(&pool, 2800);
    w.sleep(800).await;
    drop(held);
    drop(waiter.await.unwrap());
    watch.assert_at(800);
}

/// Law 40.
async fn each_waiter_fails_at_its_own_deadline(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let watch = w.stopwatch();
    let patient = w.acquiring_within(&pool, 1000);
    let hasty = w.acquiring_within(&pool, 100);
    assert!(hasty.await.unwrap_err().is_timed_out());
    watch.assert_at(100);
    assert!(patient.await.unwrap_err().is_timed_out());
    watch.assert_at(1000);
    drop(held);
}

/// Law 44.
async fn errors_can_be_told_apart(w: World) {
    w.connects().next([permanent()]);
    let backoff = Backoff::new(w.ms(20), w.ms(160));
    let pool = w.pool(|b| b.max_size(1).connect_policy(ConnectPolicy::Retry(backoff)));
    let error = pool.acquire().await.unwrap_err();
    let AcquireError::Connect(ConnectError::Failed(cause)) = &error else {
        panic!("{error:?}");
    };
    assert!(cause.permanent);
    assert_eq!(
        error.source().unwrap().to_string(),
        "the attempt to connect failed"
    );
    let held = pool.acquire().await.unwrap();
    let error = pool.acquire_timeout(w.ms(10)).await.unwrap_err();
    let AcquireError::TimedOut { status, waited, .. } = error else {
        panic!("{error:?}");
    };
    assert!(waited >= w.ms(10));
    assert_eq!((status.in_use, status.waiting), (1, 1));
    drop(held);
    pool.close().await;
    assert!(matches!(pool.acquire().await, Err(AcquireError::Closed)));
}

/// Guarantee 15: no duration is too long.
async fn endless_patience_is_legal(w: World) {
    let pool = w.pool(|b| {
        b.max_size(1)
            .acquire_timeout(Duration::MAX)
            .connect_timeout(Duration::MAX)
            .idle_timeout(Duration::MAX)
            .max_lifetime(Duration::MAX)
            .check_policy(CheckPolicy::IdleFor(Duration::MAX))
    });
    let held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    drop(held);
    drop(waiter.await.unwrap());
    drop(pool.acquire_timeout(Duration::MAX).await.unwrap());
    assert_eq!(w.connects().calls(), 1);
}
