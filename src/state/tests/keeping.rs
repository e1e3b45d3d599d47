//! When the keeper is asked to look, and when it is left alone.

use super::*;

fn lose(pool: &mut Pool, stage: Stage, ms: u64) -> Fx {
    fx(|fx| pool.given_back(stage, 0, CloseReason::Shutdown, true, at(ms), fx)).1
}

#[test]
fn the_keeper_is_nudged_only_for_what_is_due_before_it_wakes() {
    let mut pool = pool(|_| {});
    for (ms, nudged) in [(9, true), (9, false), (10, false), (8, true)] {
        let (_, noted) = fx(|fx| pool.note_due(at(ms), fx));
        assert_eq!(noted.nudge, nudged, "{ms}");
    }
    assert_eq!(pool.keeper_until, at(8));
}

#[test]
fn the_keeper_looks_when_something_is_due_sooner_or_the_pool_is_closed() {
    let mut pool = pool(|_| {});
    pool.keeper_until = at(10);
    assert!(!pool.wants_keeper_before(at(9)));
    assert!(!pool.wants_keeper_before(at(10)));
    assert!(pool.wants_keeper_before(at(11)));
    let _ = fx(|fx| pool.close(fx));
    assert!(pool.wants_keeper_before(at(9)));
}

#[test]
fn a_keeper_that_is_gone_is_asked_for_again_unless_the_pool_is_closed() {
    for closed in [false, true] {
        let mut pool = pool(|_| {});
        assert!(!fx(|fx| pool.hurry(at(0), fx)).1.revive, "it is there");
        let (_, gone) = fx(|fx| pool.keeper_gone(fx));
        assert!(gone.progress && !pool.is_kept());
        if closed {
            let _ = fx(|fx| pool.close(fx));
        }
        assert_eq!(fx(|fx| pool.hurry(at(0), fx)).1.revive, !closed);
        assert_eq!(pool.is_kept(), !closed);
    }
}

#[test]
fn the_first_who_waits_is_woken_when_the_keeper_goes() {
    let mut pool = pool(|config| config.max_size = 1);
    let _live = lent(&mut pool, 1);
    assert!(fx(|fx| pool.keeper_gone(fx)).1.wake.is_none());
    pool.clock.keeper_back();
    let _ = wait(&mut pool, 0, 1000);
    assert!(fx(|fx| pool.keeper_gone(fx)).1.wake.is_some());
}

#[test]
fn attempts_are_watched_only_for_those_who_wait_or_for_min_idle() {
    for (waits, min_idle, watched) in [(false, 0, false), (true, 0, true), (false, 1, true)] {
        let mut pool = pool(|config| config.min_idle = min_idle);
        let (key, _begun) = wait(&mut pool, 0, 100_000);
        if !waits {
            let _ = fx(|fx| pool.cancel(key, at(1), fx));
        }
        pool.keeper_until = Moment::NEVER;
        let due = fx(|fx| pool.advance(at(2), fx)).0;
        let expected = if watched { at(1000) } else { Moment::NEVER };
        assert_eq!(due, expected, "{waits} {min_idle}");
        assert_eq!(pool.keeper_until, expected, "{waits} {min_idle}");
    }
}

#[test]
fn the_schedule_is_nothing_to_wake_for_when_nobody_wants_an_attempt() {
    let mut pool = pool(|_| {});
    let live = lent(&mut pool, 1).remove(0);
    let (key, begun) = wait(&mut pool, 0, 1000);
    let _ = refuse(&mut pool, &begun, 1);
    assert!(pool.retry.is_failing());
    let _ = fx(|fx| pool.cancel(key, at(2), fx));
    pool.config.idle_timeout = None;
    pool.config.max_lifetime = None;
    pool.keeper_until = Moment::NEVER;
    let (due, _) = fx(|fx| pool.advance(at(3), fx));
    assert_eq!((due, pool.keeper_until), (Moment::NEVER, Moment::NEVER));
    drop(live);
}

#[test]
fn a_refill_that_is_not_wanted_any_more_is_nothing_to_wake_for() {
    let mut pool = pool(|config| {
        config.min_idle = 1;
        config.idle_timeout = None;
        config.max_lifetime = None;
    });
    let (_, begun) = fx(|fx| pool.hurry(at(0), fx));
    let _ = lose(&mut pool, attempt(&begun), 1);
    let (adopted, _) = fx(|fx| pool.adopt(9, at(2), fx));
    assert!(adopted.is_ok() && pool.idle.len() == 1);
    assert!(pool.refill_after > at(3));
    pool.keeper_until = Moment::NEVER;
    let (due, _) = fx(|fx| pool.advance(at(3), fx));
    assert_eq!((due, pool.keeper_until), (Moment::NEVER, Moment::NEVER));
    let (lend, wanted) = fx(|fx| pool.lend_at(at(4), true, fx));
    assert!(matches!(lend, Lend::Connection(_)));
    assert!(wanted.nudge && wanted.connect.is_empty());
    assert_eq!(pool.keeper_until, at(11), "when the delay is over");
}

#[test]
fn a_refill_waits_for_the_schedule_once_its_delay_is_over() {
    let mut pool = pool(|config| {
        config.min_idle = 1;
        config.idle_timeout = None;
        config.max_lifetime = None;
    });
    let (_, begun) = fx(|fx| pool.hurry(at(0), fx));
    let _ = refuse(&mut pool, &begun, 40);
    pool.refill_after = at(45);
    assert_eq!(pool.next_due(at(44)), at(45));
    assert_eq!(pool.next_due(at(45)), at(50), "when the schedule says");
}

#[test]
fn those_who_fill_hear_of_a_lost_attempt_only_when_nobody_is_to_run_it() {
    let mut pool = pool(|_| {});
    let (key, begun) = wait(&mut pool, 0, 1000);
    let _ = lose(&mut pool, attempt(&begun), 1);
    assert_eq!(pool.driverless, 1);
    let (_, calm) = fx(|fx| pool.advance(at(1), fx));
    assert!(!calm.progress, "its waiter is to run it");
    let (_, gone) = fx(|fx| pool.cancel(key, at(2), fx));
    assert!(gone.progress && pool.driverless == 0);
    let (_, calm) = fx(|fx| pool.advance(at(3), fx));
    assert!(!calm.progress, "nothing has happened");
}

#[test]
fn an_attempt_is_run_by_as_many_as_lost_one() {
    let mut pool = pool(|_| {});
    let (first, begun) = wait(&mut pool, 0, 1000);
    let (second, _) = wait(&mut pool, 0, 1000);
    let _ = lose(&mut pool, attempt(&begun), 1);
    let _ = fx(|fx| pool.advance(at(1), fx));
    drive(&mut pool, first, 1);
    assert!(pool.drive(second, at(1)).is_none(), "there was but one");
    assert_eq!(asleep(&mut pool, 2), at(1000), "when the other is overdue");
    assert!(matches!(pool.poll_waiter(first, None), Turn::Wait(due) if due < Moment::NEVER));
    pool.stopped_driving(first);
    let turn = pool.poll_waiter(first, None);
    assert!(
        matches!(turn, Turn::Wait(Moment::NEVER)),
        "the keeper knows of the rest: {turn:?}"
    );
}

#[test]
fn without_a_keeper_the_first_who_waits_is_woken_by_all_that_happens() {
    let mut pool = pool(|config| config.max_size = 1);
    let _live = lent(&mut pool, 1);
    let (key, _) = wait(&mut pool, 0, 1000);
    let (_, kept) = fx(|fx| pool.resize(1, at(1), fx));
    assert!(kept.wake.is_none(), "the keeper sees to it");
    let _ = fx(|fx| pool.keeper_gone(fx));
    let _ = waker().map(|waker| pool.leave_waker(key, waker));
    let (_, alone) = fx(|fx| pool.resize(1, at(1), fx));
    assert!(alone.wake.is_some());
}

#[test]
fn a_lost_task_wakes_the_keeper_and_those_who_are_to_run_what_it_ran() {
    let mut pool = pool(|_| {});
    let live = lent(&mut pool, 1).remove(0);
    let broken = Verdict::Condemned(CloseReason::Broken);
    let _ = fx(|fx| pool.returned(live, broken, at(1), fx));
    pool.keeper_until = Moment::NEVER;
    assert!(lose(&mut pool, Stage::Closing, 2).nudge);
    let waiting: Vec<_> = (0..2).map(|_| wait(&mut pool, 3, 1000).1).collect();
    for begun in &waiting {
        let lost = lose(&mut pool, attempt(begun), 4);
        assert!(lost.wake.is_some(), "one after the other");
    }
}

#[test]
fn a_place_that_is_lost_wakes_the_first_who_waits_for_it() {
    let mut pool = pool(|config| config.max_size = 1);
    let live = lent(&mut pool, 1).remove(0);
    let broken = Verdict::Condemned(CloseReason::Broken);
    let _ = fx(|fx| pool.returned(live, broken, at(1), fx));
    let _ = wait(&mut pool, 2, 1000);
    let lost = lose(&mut pool, Stage::Closing, 3);
    assert!(lost.wake.is_some() && lost.connect.is_empty());
}

#[test]
fn nobody_is_woken_in_a_pause_to_run_an_attempt() {
    for lost_before in [true, false] {
        let mut pool = pool(|_| {});
        let (key, begun) = wait(&mut pool, 0, 1000);
        if lost_before {
            let _ = lose(&mut pool, attempt(&begun), 1);
            assert_eq!(pool.driverless, 1);
            let _ = fx(|fx| pool.pause(at(1), fx));
        } else {
            let _ = fx(|fx| pool.pause(at(1), fx));
            let _ = lose(&mut pool, attempt(&begun), 1);
        }
        assert_eq!(pool.driverless, 0);
        let _ = waker().map(|waker| pool.leave_waker(key, waker));
        let (_, paused) = fx(|fx| pool.advance(at(2), fx));
        assert!(paused.wake.is_none() && paused.connect.is_empty());
        let (_, resumed) = fx(|fx| pool.resume(at(3), fx));
        assert_eq!(resumed.connect.len(), 1, "it is begun anew");
    }
}

#[test]
fn nothing_is_due_any_more_once_the_pool_is_closed() {
    let mut pool = pool(|config| config.min_idle = 1);
    let (_, begun) = fx(|fx| pool.hurry(at(0), fx));
    let _ = refuse(&mut pool, &begun, 1);
    assert!(pool.next_due(at(1)) < Moment::NEVER);
    let _ = fx(|fx| pool.close(fx));
    assert_eq!(pool.next_due(at(1)), Moment::NEVER);
}

#[test]
fn the_keeper_is_not_nudged_for_what_it_has_just_seen() {
    let mut pool = pool(|_| {});
    let _ = wait(&mut pool, 0, 1000);
    pool.keeper_until = Moment::NEVER;
    let (due, kept) = fx(|fx| pool.keep(at(1), fx));
    assert!(due < Moment::NEVER && !kept.nudge);
}

#[test]
fn those_who_wait_for_the_end_or_for_places_hear_of_both() {
    let mut pool = pool(|_| {});
    assert!(fx(|fx| pool.resize(3, at(0), fx)).1.progress);
    let (_, closed) = fx(|fx| pool.close(fx));
    assert!(closed.progress && closed.drained && closed.nudge);
}

#[test]
fn one_who_fills_does_not_inherit_a_long_delay() {
    let mut pool = pool(|config| config.min_idle = 1);
    let (_, mut begun) = fx(|fx| pool.hurry(at(0), fx));
    for round in 0..12 {
        let _ = refuse(&mut pool, &begun, round * 1000);
        begun = fx(|fx| pool.advance(at((round + 1) * 1000), fx)).1;
    }
    let _ = refuse(&mut pool, &begun, 12_000);
    assert!(pool.retry.due() > at(12_010));
    let _ = fx(|fx| pool.hurry(at(12_000), fx));
    assert_eq!(pool.retry.due(), at(12_010));
}

#[test]
fn traffic_asks_the_keeper_to_keep_the_time() {
    let mut pool = pool(|config| {
        config.max_size = 1;
        config.idle_timeout = None;
        config.max_lifetime = None;
    });
    let _live = lent(&mut pool, 1);
    assert_eq!(asleep(&mut pool, 0), Moment::NEVER);
    for ms in 1..=8 {
        let (_, read) = fx(|fx| pool.lend_at(at(ms), false, fx));
        assert_eq!(read.nudge, ms == 8, "{ms}");
    }
    assert_eq!(pool.keeper_until, at(8));
    assert_eq!(asleep(&mut pool, 8), at(1008), "a tick later");
    assert_eq!(asleep(&mut pool, 1008), Moment::NEVER, "it was quiet");
}
