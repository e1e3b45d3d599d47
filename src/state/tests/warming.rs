//! Filling, looking through the idle ones, probing them, and settings that change.

use super::*;
use crate::error::BuildError;

fn warmth(pool: &mut Pool, failed_before: u64) -> &'static str {
    match pool.warmth(failed_before, at(0)) {
        Warmth::Warm => "warm",
        Warmth::Cold => "cold",
        Warmth::Drive(_) => "drive",
        Warmth::Failed(_) => "failed",
        Warmth::Closed => "closed",
    }
}

/// A pool with so many places, at least so many idle, and these in use.
fn filling(max_size: usize, min_idle: usize, used: &[Stage]) -> Pool {
    let mut pool = pool(|config| {
        config.max_size = max_size;
        config.min_idle = min_idle;
    });
    for &stage in used {
        pool.stages.enter(stage);
    }
    pool
}

const CONNECTING: Stage = Stage::Connecting(AttemptId::FIRST);

#[test]
fn a_pool_is_warm_with_as_many_as_are_idle_or_about_to_be() {
    let used = [Stage::Recycling, Stage::Checking(None)];
    let mut pool = filling(8, 3, &used);
    assert_eq!(warmth(&mut pool, 0), "cold");
    let live = pool.admit(7, 0, 0, at(0));
    pool.idle.push_back(live);
    assert_eq!(warmth(&mut pool, 0), "warm");
    pool.config.min_idle = 4;
    assert_eq!(warmth(&mut pool, 0), "cold");
    let _ = fx(|fx| pool.close(fx));
    assert_eq!(warmth(&mut pool, 0), "closed");
}

#[test]
fn a_pool_with_no_place_for_more_is_as_warm_as_it_can_be_unless_one_is_coming() {
    let lent = Stage::Lent;
    assert_eq!(warmth(&mut filling(2, 2, &[lent, lent]), 0), "warm");
    assert_eq!(warmth(&mut filling(2, 2, &[lent, CONNECTING]), 0), "cold");
    assert_eq!(warmth(&mut filling(3, 2, &[lent, lent]), 0), "cold");
    let mut pool = filling(2, 2, &[lent]);
    pool.driverless = 1;
    assert_eq!(warmth(&mut pool, 0), "cold");
}

#[test]
fn what_is_coming_to_a_pool_that_has_shrunk_makes_it_no_warmer() {
    let lent = Stage::Lent;
    let mut pool = filling(4, 4, &[lent, lent, CONNECTING]);
    assert_eq!(warmth(&mut pool, 0), "cold");
    let _ = fx(|fx| pool.resize(2, at(0), fx));
    assert_eq!(warmth(&mut pool, 0), "warm", "there is no place for it");
}

#[test]
fn one_who_fills_hears_of_attempts_that_have_failed_since() {
    let mut pool = filling(2, 1, &[]);
    let (failed_before, begun) = fx(|fx| pool.begin_fill(at(0), fx));
    assert_eq!(failed_before, 0);
    let _ = refuse(&mut pool, &begun, 0);
    assert_eq!(warmth(&mut pool, 0), "failed");
    assert_eq!(warmth(&mut pool, 1), "cold");
    assert_eq!(warmth(&mut pool, 2), "cold");
    for failed in 1..5 {
        let (failed_before, _) = fx(|fx| pool.begin_fill(at(0), fx));
        assert_eq!((failed_before, pool.fillers), (failed, failed as usize + 1));
        let begun = fx(|fx| pool.advance(at(failed * 10_000), fx)).1;
        let _ = refuse(&mut pool, &begun, failed * 10_000);
    }
    for left in (0..5).rev() {
        pool.end_fill();
        assert_eq!(pool.fillers, left);
    }
}

#[test]
fn one_who_fills_connects_himself_only_if_nobody_else_does_and_there_is_room() {
    let gone = |mut pool: Pool| {
        let _ = fx(|fx| pool.keeper_gone(fx));
        pool
    };
    assert_eq!(
        warmth(&mut filling(8, 2, &[]), 0),
        "cold",
        "the keeper does"
    );
    let mut pool = gone(filling(8, 2, &[]));
    assert_eq!(warmth(&mut pool, 0), "drive");
    assert_eq!(warmth(&mut pool, 0), "cold", "one at a time");
    let overdue = pool.fills_again_at(at(0));
    assert_eq!(overdue, at(1000));
    assert!(matches!(pool.warmth(0, overdue), Warmth::Drive(_)));
    assert!(matches!(pool.warmth(0, overdue), Warmth::Cold));
    let mut pool = gone(filling(2, 2, &[Stage::Lent, Stage::Closing]));
    assert_eq!(warmth(&mut pool, 0), "cold", "there will be a place");
    let mut pool = gone(filling(2, 2, &[Stage::Lent, CONNECTING]));
    assert_eq!(warmth(&mut pool, 0), "cold", "there is no place");
    let mut pool = gone(filling(8, 2, &[CONNECTING]));
    pool.config.connect_concurrency = Some(1);
    assert_eq!(warmth(&mut pool, 0), "cold", "that is the limit");
    pool.config.connect_concurrency = Some(2);
    assert_eq!(warmth(&mut pool, 0), "drive");
}

#[test]
fn idle_ones_are_taken_aside_by_their_numbers() {
    let mut pool = pool(|config| config.max_size = 3);
    for live in lent(&mut pool, 3) {
        let _ = give_back(&mut pool, live, 1);
    }
    assert_eq!(pool.idle_ids(), [0, 1, 2]);
    let live = pool.borrow_idle(1).expect("it is idle");
    assert_eq!((live.id(), live.connection), (1, 2));
    assert_eq!(pool.idle_ids(), [0, 2]);
    assert!(pool.borrow_idle(1).is_none(), "it is away");
    assert_eq!(pool.stages.checking, 1);
    let (rejected, put_back) = fx(|fx| pool.passed(live, Stage::Checking(None), false, at(2), fx));
    assert!(rejected.is_none() && put_back.progress);
    assert_eq!(pool.idle_ids(), [0, 1, 2], "it has its old place");
}

/// A pool with two idle ones, that probes one at a time after 100 ms.
fn probing() -> Pool {
    let mut pool = pool(|config| {
        config.keepalive = Some(Duration::from_millis(100));
        config.keepalive_concurrency = 1;
        config.idle_timeout = None;
        config.max_lifetime = None;
    });
    for live in lent(&mut pool, 2) {
        let _ = give_back(&mut pool, live, 0);
    }
    pool
}

#[test]
fn the_next_probe_is_due_when_the_one_before_has_ended() {
    for ends in ["passed", "condemned", "lost"] {
        let mut pool = probing();
        assert_eq!(pool.next_due(at(0)), at(100));
        assert!(fx(|fx| pool.advance(at(99), fx)).1.check.is_empty());
        let (due, mut begun) = fx(|fx| pool.keep(at(100), fx));
        assert_eq!(begun.check.len(), 1, "one at a time");
        assert!(due > at(100), "not before that has ended");
        pool.keeper_until = due;
        let (live, id) = begun.check.remove(0);
        let from = Stage::Checking(Some(id));
        let (_, over) = fx(|fx| match ends {
            "passed" => drop(pool.passed(live, from, true, at(120), fx)),
            "condemned" => pool.condemned(from, 0, at(120), fx),
            _ => pool.given_back(from, 0, CloseReason::CheckFailed, true, at(120), fx),
        });
        assert!(over.nudge, "{ends}");
        assert!(pool.keeper_until <= at(120), "{ends}");
        let (_, next) = fx(|fx| pool.keep(at(120), fx));
        assert_eq!(next.check.len(), 1, "{ends}");
    }
}

#[test]
fn nothing_is_probed_while_somebody_waits_or_the_pool_is_paused() {
    let mut pool = probing();
    let _ = fx(|fx| pool.pause(at(1), fx));
    assert_eq!(pool.next_due(at(0)), Moment::NEVER);
    let (key, _) = wait(&mut pool, 1, 10_000);
    let _ = fx(|fx| pool.advance(at(200), fx));
    assert_eq!(pool.stages.checking, 0);
    let _ = fx(|fx| pool.cancel(key, at(200), fx));
    assert!(fx(|fx| pool.keep(at(200), fx)).0 > at(201));
    let (_, resumed) = fx(|fx| pool.resume(at(201), fx));
    assert!(resumed.nudge && pool.keeper_until <= at(201));
}

fn reconfigure(
    pool: &mut Pool,
    ms: u64,
    change: impl FnOnce(&mut Config),
) -> (Result<(), BuildError>, Fx) {
    fx(|fx| pool.reconfigure(change, at(ms), fx))
}

#[test]
fn a_setting_that_changes_is_heeded_at_once_and_a_bad_one_changes_nothing() {
    let mut pool = pool(|config| config.max_size = 4);
    for live in lent(&mut pool, 2) {
        let _ = give_back(&mut pool, live, 0);
    }
    let bad = reconfigure(&mut pool, 50, |config| {
        config.idle_timeout = Some(Duration::from_millis(10));
        config.max_uses = Some(0);
    });
    assert!(bad.0.is_err() && bad.1.close.is_empty());
    assert_eq!(pool.config().max_uses, None);
    let (changed, later) = reconfigure(&mut pool, 50, |config| {
        config.idle_timeout = Some(Duration::from_millis(60));
    });
    assert!(changed.is_ok() && later.progress && later.close.is_empty());
    assert!(later.nudge && pool.keeper_until <= at(60));
    let (changed, now) = reconfigure(&mut pool, 50, |config| {
        config.idle_timeout = Some(Duration::from_millis(50));
    });
    assert!(changed.is_ok());
    assert_eq!(now.close.len(), 2);
    let shortest = Duration::from_millis(50);
    assert_eq!(pool.config().idle_timeout, Some(shortest));
    assert_eq!(
        pool.config().tick(),
        crate::config::Tick::Every(shortest / 10)
    );
    assert_eq!(pool.clock.latest(), pool.clock.now().after(shortest / 10));
    let (_, begun) = reconfigure(&mut pool, 51, |config| config.min_idle = 2);
    assert_eq!(begun.connect.len(), 2);
}

#[test]
fn what_a_shrink_has_made_of_the_size_is_no_bad_setting() {
    let mut pool = pool(|config| {
        config.max_size = 4;
        config.min_idle = 2;
    });
    let _ = fx(|fx| pool.resize(1, at(0), fx));
    let (changed, _) = reconfigure(&mut pool, 1, |config| config.max_uses = Some(9));
    assert!(changed.is_ok(), "{changed:?}");
    assert_eq!(
        (pool.config().max_size, pool.config().max_uses),
        (1, Some(9))
    );
}

#[test]
fn whoever_finds_an_expired_one_has_it_replaced() {
    let mut pool = pool(|config| {
        config.min_idle = 1;
        config.max_lifetime = Some(Duration::from_millis(100));
    });
    let (_, begun) = fx(|fx| pool.hurry(at(0), fx));
    let _ = connect(&mut pool, &begun, 1, 0);
    let (lend, found) = fx(|fx| pool.lend_at(at(100), false, fx));
    assert!(matches!(lend, Lend::Unavailable));
    assert_eq!((found.close.len(), found.connect.len()), (1, 1));
}

#[test]
fn one_who_fills_without_a_keeper_heeds_the_schedule() {
    let mut pool = filling(2, 2, &[]);
    let _ = fx(|fx| pool.keeper_gone(fx));
    let mut drive = |ms| {
        let warmth = pool.warmth(pool.retry.failures(), at(ms));
        let again = pool.fills_again_at(at(ms));
        if let Warmth::Drive(id) = warmth {
            let from = Stage::Connecting(id);
            let _ = fx(|fx| pool.connect_failed(from, ConnectError::TimedOut, false, at(ms), fx));
        }
        (matches!(warmth, Warmth::Drive(_)), again)
    };
    assert!(drive(0).0);
    let (drives, again) = drive(1);
    assert!(!drives);
    assert_eq!(again, at(10), "the first delay");
    assert!(drive(10).0);
}

/// It is an attempt like any other.
#[test]
fn what_one_who_fills_attempts_puts_off_the_next() {
    let mut pool = filling(2, 1, &[]);
    let (_, begun) = wait(&mut pool, 0, 9000);
    for id in begun.connect {
        let from = Stage::Connecting(id);
        let _ = fx(|fx| pool.connect_failed(from, ConnectError::TimedOut, false, at(0), fx));
    }
    let _ = fx(|fx| pool.keeper_gone(fx));
    let warmth = pool.warmth(pool.retry.failures(), at(10));
    assert!(
        matches!(warmth, Warmth::Drive(_)),
        "the first delay is over"
    );
    let (_, begun) = wait(&mut pool, 12, 9000);
    assert!(begun.connect.is_empty());
}
