//! Connecting, failing to, and recovering.

use std::time::{Duration, Instant};

use watertight::{AcquireError, Backoff, CheckPolicy, ConnectError, ConnectPolicy};

use crate::support::{Gate, LawPool, World, err, hang, join, laws, ok, panics, permanent};

laws! {
    every_mode:
        retry_serves_once_the_server_is_up,
        retry_gives_the_cause_at_the_deadline,
        failing_fast_gives_the_error_at_once,
        hung_connect_is_not_an_outage,
        hung_connect_does_not_hold_up_those_who_come_later,
        connect_that_timed_out_frees_its_place,
        connect_that_timed_out_is_the_cause,
        pool_recovers_from_zero_unattended,
        failed_start_leaves_nothing,
        fill_resolves_when_warm,
        pool_built_while_the_server_is_down_works_later,
        panicking_connect_gives_its_place_back,
        connects_run_in_parallel,
        connects_run_one_at_a_time_if_so_limited,
        permanent_error_answers_every_waiter,
        permanent_error_lets_waiters_hope_for_a_return;
    // On a real clock an attempt may be late, and the gaps between attempts with it.
    virtual_only:
        gaps_between_attempts_follow_the_schedule,
        success_starts_the_schedule_afresh,
        new_waiter_does_not_inherit_the_back_off,
        crowd_of_waiters_makes_no_herd_of_attempts;
}

fn retry(w: &World) -> ConnectPolicy {
    ConnectPolicy::Retry(Backoff::new(w.ms(20), w.ms(160)))
}

/// Law 36.
async fn retry_serves_once_the_server_is_up(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| b.max_size(1).connect_policy(retry(&w)));
    let watch = w.stopwatch();
    let waiter = w.acquiring_within(&pool, 2800);
    w.sleep(300).await;
    w.connects().always(ok());
    drop(waiter.await.unwrap());
    watch.assert_within(300, 460);
}

/// Law 37.
async fn retry_gives_the_cause_at_the_deadline(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| b.max_size(1).connect_policy(retry(&w)));
    let watch = w.stopwatch();
    let error = pool.acquire_timeout(w.ms(2800)).await.unwrap_err();
    watch.assert_at(2800);
    assert!(error.is_timed_out());
    let cause = error.connect_error().and_then(ConnectError::manager_error);
    assert!(cause.is_some_and(|refused| !refused.permanent));
    assert!(w.connects().calls() > 1);
}

/// Law 38.
async fn failing_fast_gives_the_error_at_once(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| b.max_size(1).connect_policy(ConnectPolicy::FailFast));
    let watch = w.stopwatch();
    let error = pool.acquire_timeout(w.ms(2800)).await.unwrap_err();
    watch.assert_at(0);
    assert!(matches!(
        error,
        AcquireError::Connect(ConnectError::Failed(_))
    ));
    assert_eq!(w.connects().calls(), 1);
    assert_eq!(pool.status().size, 0);
    w.connects().always(ok());
    drop(pool.acquire().await.unwrap());
}

/// Law 59 and guarantee 6.
async fn hung_connect_is_not_an_outage(w: World) {
    w.connects().next([hang()]);
    let pool = w.pool(|b| b.max_size(5));
    let gate = Gate::new();
    let callers: Vec<_> = (0..5)
        .map(|_| {
            let (pool, gate) = (pool.clone(), gate.clone());
            w.spawn(async move {
                let conn = pool.acquire().await.unwrap();
                gate.passed().await;
                conn.id()
            })
        })
        .collect();
    w.until(|| pool.status().in_use == 4).await;
    assert_eq!(pool.status().connecting, 1);
    // The one that is left is served by a return.
    gate.open();
    for id in join(callers).await {
        assert!(id < 4, "{id}");
    }
}

/// Law 59, for callers who come one at a time.
async fn hung_connect_does_not_hold_up_those_who_come_later(w: World) {
    w.connects().next([hang()]);
    let pool = w.pool(|b| b.max_size(5));
    let error = pool.acquire_timeout(w.ms(200)).await.unwrap_err();
    assert!(error.is_timed_out());
    let conn = pool.acquire_timeout(w.ms(1000)).await;
    assert!(conn.is_ok(), "{conn:?}");
}

/// Law 60.
async fn connect_that_timed_out_frees_its_place(w: World) {
    w.connects().next([hang()]);
    let pool = w.pool(|b| {
        b.max_size(1)
            .connect_timeout(w.ms(200))
            .connect_policy(retry(&w))
    });
    let watch = w.stopwatch();
    let conn = pool.acquire_timeout(w.ms(1000)).await.unwrap();
    watch.assert_at(220);
    assert_eq!(pool.statistics().failed_connects, 1);
    assert_eq!(w.connects().calls(), 2);
    drop(conn);
}

/// Laws 37 and 60.
async fn connect_that_timed_out_is_the_cause(w: World) {
    w.connects().always(hang());
    let pool = w.pool(|b| b.max_size(1).connect_timeout(w.ms(100)));
    let error = pool.acquire_timeout(w.ms(400)).await.unwrap_err();
    assert!(matches!(
        error.connect_error(),
        Some(ConnectError::TimedOut)
    ));
}

/// Law 61 and guarantee 6.
async fn pool_recovers_from_zero_unattended(w: World) {
    let pool = w.pool(|b| {
        b.max_size(5)
            .min_idle(5)
            .check_policy(CheckPolicy::Always)
            .connect_policy(retry(&w))
    });
    w.until(|| pool.status().idle == 5).await;
    w.checks().always(err());
    w.connects().always(err());
    assert!(pool.acquire_timeout(w.ms(100)).await.is_err());
    w.until(|| pool.statistics().closes.total() == 5).await;
    w.sleep(w.times(10_000, 1_000) as u64).await;
    w.connects().always(ok());
    w.sleep(160).await;
    w.until(|| pool.status().idle == 5).await;
}

/// Law 67.
async fn failed_start_leaves_nothing(w: World) {
    w.connects().always(err());
    let pool = w.lone_pool(|b| b.min_idle(2).connect_policy(retry(&w)));
    let error = pool.fill().await.unwrap_err();
    assert!(matches!(
        error,
        AcquireError::Connect(ConnectError::Failed(_))
    ));
    drop(pool);
    w.until(|| w.ledger().managers() == 0).await;
    if let Some(runtime) = w.virtual_time() {
        assert_eq!((runtime.tasks(), runtime.timers()), (0, 0));
    }
}

/// Laws 14 and 67.
async fn fill_resolves_when_warm(w: World) {
    w.connects().always(ok().after(w.ms(100)));
    let pool = w.pool(|b| b.min_idle(3));
    let watch = w.stopwatch();
    pool.fill().await.unwrap();
    assert_eq!(pool.status().idle, 3);
    watch.assert_within(if w.virtual_time().is_some() { 100 } else { 0 }, 100);
}

/// Law 68.
async fn pool_built_while_the_server_is_down_works_later(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| b.max_size(3).min_idle(1).connect_policy(retry(&w)));
    w.until(|| pool.statistics().failed_connects > 0).await;
    assert!(pool.acquire_timeout(w.ms(300)).await.is_err());
    w.connects().always(ok());
    drop(pool.acquire().await.unwrap());
    w.sleep(160).await;
    w.until(|| pool.status().idle >= 1).await;
}

/// Law 69.
async fn panicking_connect_gives_its_place_back(w: World) {
    w.connects().next([panics(), panics()]);
    let pool = w.pool(|b| b.max_size(1).connect_policy(retry(&w)));
    drop(pool.acquire().await.unwrap());
    assert_eq!(pool.statistics().failed_connects, 2);
    let fast = w.sibling();
    fast.connects().next([panics()]);
    let pool = fast.pool(|b| b.max_size(1).connect_policy(ConnectPolicy::FailFast));
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(
        error,
        AcquireError::Connect(ConnectError::Panicked)
    ));
    drop(pool.acquire().await.unwrap());
}

/// Law 74.
async fn connects_run_in_parallel(w: World) {
    let gate = Gate::new();
    w.connects().always(ok().at(&gate));
    let pool = w.pool(|b| b.max_size(20));
    let callers: Vec<_> = (0..20).map(|_| w.acquiring(&pool)).collect();
    w.until(|| w.ledger().count().connecting == 20).await;
    gate.open();
    w.until(|| pool.status().in_use == 20).await;
    for conn in join(callers).await {
        drop(conn.unwrap());
    }
}

/// Law 74, limited.
async fn connects_run_one_at_a_time_if_so_limited(w: World) {
    w.connects().always(ok().after(w.ms(100)));
    let pool = w.pool(|b| b.max_size(3).connect_concurrency(1));
    let watch = w.stopwatch();
    let callers: Vec<_> = (0..3).map(|_| w.acquiring(&pool)).collect();
    w.until(|| pool.status().waiting > 0).await;
    assert!(pool.status().connecting <= 1);
    let conns = join(callers).await;
    watch.assert_at(300);
    assert_eq!(conns.len(), 3);
}

/// A permanent error that nothing live could make up for.
async fn permanent_error_answers_every_waiter(w: World) {
    let gate = Gate::new();
    w.connects().next([permanent().at(&gate)]);
    let pool = w.pool(|b| b.max_size(1).connect_policy(retry(&w)));
    let mut waiters = Vec::new();
    for _ in 0..3 {
        waiters.push(w.waiter(&pool).await);
    }
    gate.open();
    for result in join(waiters).await {
        assert!(matches!(result, Err(AcquireError::Connect(_))));
    }
    assert_eq!(w.connects().calls(), 1);
}

/// A permanent error while a connection is on loan.
async fn permanent_error_lets_waiters_hope_for_a_return(w: World) {
    let pool = w.pool(|b| b.max_size(2).connect_policy(retry(&w)));
    let held = pool.acquire().await.unwrap();
    w.connects().always(permanent());
    let waiter = w.acquiring(&pool);
    w.until(|| pool.statistics().failed_connects > 0).await;
    assert_eq!(pool.status().waiting, 1);
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 0);
}

/// A pool on which nobody waits and whose connects fail, for so long.
async fn outage(w: &World, backoff: Backoff, milliseconds: u64) -> LawPool {
    w.connects().always(err());
    let policy = ConnectPolicy::Retry(backoff);
    let pool = w.pool(|b| b.max_size(100).min_idle(1).connect_policy(policy));
    w.sleep(milliseconds).await;
    pool
}

fn gaps(calls: &[Instant]) -> Vec<Duration> {
    calls.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Laws 63 and 64.
async fn gaps_between_attempts_follow_the_schedule(w: World) {
    let (first, cap) = (w.ms(20), w.ms(160));
    let _pool = outage(&w, Backoff::new(first, cap), 100_000).await;
    let gaps = gaps(&w.connects().call_times());
    assert_eq!(gaps[0], first);
    assert!(gaps.len() > 600, "{} attempts", gaps.len());
    for pair in gaps.windows(2) {
        let longest = (pair[0] * 3).min(cap);
        assert!(pair[1] >= first && pair[1] <= longest, "{pair:?}");
    }
    assert!(gaps.iter().any(|&gap| gap >= cap / 3));
}

/// Law 63.
async fn success_starts_the_schedule_afresh(w: World) {
    let (first, cap) = (w.ms(20), w.ms(160));
    let pool = outage(&w, Backoff::new(first, cap), 5_000).await;
    w.connects().next([ok()]);
    w.sleep(160).await;
    assert_eq!(pool.status().idle, 1);
    let before = w.connects().calls();
    let held = pool.acquire().await.unwrap();
    w.sleep(60).await;
    let after = gaps(&w.connects().call_times()[before..]);
    assert_eq!(after[0], first);
    drop(held);
}

/// Guarantee 14.
async fn new_waiter_does_not_inherit_the_back_off(w: World) {
    let backoff = Backoff::new(w.ms(20), w.ms(600_000));
    let pool = outage(&w, backoff, 3_600_000).await;
    let calls = w.connects().call_times();
    let since = w.now() - calls[calls.len() - 1];
    assert!(since > w.ms(20), "an attempt {since:?} ago");
    w.connects().always(ok());
    let watch = w.stopwatch();
    drop(pool.acquire().await.unwrap());
    watch.assert_at(0);
}

/// Guarantee 14: as many attempts as one new waiter would cause, however many there are.
async fn crowd_of_waiters_makes_no_herd_of_attempts(w: World) {
    let backoff = Backoff::new(w.ms(100), w.ms(600_000));
    let pool = outage(&w, backoff, 3_600_000).await;
    let before = w.connects().calls();
    let crowd: Vec<_> = (0..100).map(|_| w.acquiring_within(&pool, 1_000)).collect();
    for result in join(crowd).await {
        assert!(result.unwrap_err().is_timed_out());
    }
    let attempts = w.connects().calls() - before;
    assert!((1..=10).contains(&attempts), "{attempts} attempts");
}
