//! Who joins the queue, who leaves it, and what is counted of it.

use super::*;

/// Gives a dirty connection back, which is then in [`Stage::Recycling`].
fn give_back_dirty(pool: &mut Pool, live: Conn) -> Conn {
    let (returned, _) = fx(|fx| pool.returned(live, Verdict::Dirty, at(1), fx));
    match returned {
        Returned::Recycle(live) => live,
        other => panic!("not recycled but {other:?}"),
    }
}

/// Gives a broken connection back, which is then in [`Stage::Closing`].
fn break_one(pool: &mut Pool, live: Conn) {
    let broken = Verdict::Condemned(CloseReason::Broken);
    let (returned, _) = fx(|fx| pool.returned(live, broken, at(1), fx));
    assert!(matches!(returned, Returned::Close(..)));
}

fn is_turned_away(pool: &mut Pool, ms: u64) -> bool {
    let (joined, _) = fx(|fx| pool.join(at(ms), at(1000), &mut waker(), fx));
    matches!(joined, Join::Rejected(Refusal::QueueFull))
}

#[test]
fn nobody_for_whom_there_may_be_a_place_counts_as_one_too_many() {
    let mut pool = pool(|config| {
        config.max_size = 8;
        config.max_waiters = Some(1);
    });
    let mut held = lent(&mut pool, 6);
    for _ in 0..2 {
        let _ = give_back_dirty(&mut pool, held.remove(0));
    }
    break_one(&mut pool, held.remove(0));
    for _ in 0..3 {
        assert!(
            !is_turned_away(&mut pool, 2),
            "two for whom there is a place"
        );
    }
    assert!(is_turned_away(&mut pool, 2));
    let rejections = pool.statistics().rejections;
    assert_eq!((rejections.queue_full, rejections.total()), (1, 1));
    let _ = fx(|fx| pool.given_back(Stage::Closing, 0, CloseReason::Broken, false, at(3), fx));
    assert!(!is_turned_away(&mut pool, 4), "there is one more now");
    assert!(is_turned_away(&mut pool, 4));
}

#[test]
fn a_queue_without_a_limit_is_never_full() {
    let mut pool = pool(|config| config.max_size = 1);
    for _ in 0..100 {
        assert!(!is_turned_away(&mut pool, 2));
    }
}

#[test]
fn one_who_would_not_wait_for_a_check_does_not_overtake_those_who_do() {
    let mut pool = pool(|config| config.check_policy = CheckPolicy::Always);
    for live in lent(&mut pool, 2) {
        let _ = give_back(&mut pool, live, 1);
    }
    let (_, begun) = wait(&mut pool, 2, 1000);
    assert_eq!((begun.check.len(), pool.idle.len()), (1, 1));
    let (lend, _) = fx(|fx| pool.lend_at(at(2), false, fx));
    assert!(matches!(lend, Lend::Unavailable));
}

#[test]
fn what_has_been_idle_for_exactly_the_window_is_fit() {
    for (ms, fit) in [(150, true), (151, false)] {
        let mut pool = pool(|config| {
            config.check_policy = CheckPolicy::IdleFor(Duration::from_millis(100));
        });
        let live = lent(&mut pool, 1).remove(0);
        let _ = give_back(&mut pool, live, 50);
        let (lend, _) = fx(|fx| pool.lend_at(at(ms), true, fx));
        assert_eq!(matches!(lend, Lend::Connection(_)), fit, "{ms}");
    }
}

#[test]
fn what_was_recycled_or_looked_at_is_checked_all_the_same_by_those_who_always_check() {
    for from in [Stage::Recycling, Stage::Checking(None)] {
        let mut pool = pool(|config| {
            config.max_size = 1;
            config.check_policy = CheckPolicy::Always;
        });
        let live = lent(&mut pool, 1).remove(0);
        let live = match from {
            Stage::Recycling => give_back_dirty(&mut pool, live),
            _ => {
                let _ = give_back(&mut pool, live, 1);
                pool.borrow_idle(0).expect("it is idle")
            }
        };
        let _ = wait(&mut pool, 2, 1000);
        let verified = from == Stage::Recycling;
        let (rejected, begun) = fx(|fx| pool.passed(live, from, verified, at(3), fx));
        assert!(rejected.is_none());
        assert_eq!(begun.check.len(), 1, "{from:?}");
    }
}

#[test]
fn a_waiter_that_was_served_in_the_last_moment_is_not_late() {
    let mut pool = pool(|config| config.max_size = 1);
    let live = lent(&mut pool, 1).remove(0);
    let (key, _) = wait(&mut pool, 1, 10);
    let _ = give_back(&mut pool, live, 9);
    let (timed, _) = fx(|fx| pool.time_out(key, at(10), fx));
    assert!(matches!(
        timed,
        TimeOut::Served(Outcome::Connection(live)) if live.connection == 1
    ));
    let statistics = pool.statistics();
    assert_eq!((statistics.acquires, statistics.timeouts.total()), (2, 0));
}

/// The phase in which a waiter misses its deadline.
fn miss(pool: &mut Pool, key: usize, ms: u64) -> Phase {
    let (timed, _) = fx(|fx| pool.time_out(key, at(ms), fx));
    match timed {
        TimeOut::Missed(missed, _) => missed.phase,
        TimeOut::Served(outcome) => panic!("{outcome:?}"),
    }
}

#[test]
fn a_missed_deadline_counts_for_its_phase_and_casts_doubt_on_what_was_counted_on() {
    let mut pool = pool(|config| {
        config.max_size = 3;
        config.check_policy = CheckPolicy::Always;
    });
    let mut held = lent(&mut pool, 2);
    let _ = give_back(&mut pool, held.remove(0), 0);
    let keys: Vec<_> = (0..3).map(|_| wait(&mut pool, 1, 10).0).collect();
    assert_eq!((pool.stages.checking, pool.stages.connecting), (1, 1));
    assert_eq!(pool.attempts.promising(at(10)), 2);
    assert_eq!(miss(&mut pool, keys[2], 10), Phase::Wait);
    assert_eq!(pool.attempts.promising(at(10)), 2, "it counted on neither");
    assert_eq!(miss(&mut pool, keys[1], 10), Phase::Connect);
    assert_eq!(pool.attempts.promising(at(10)), 1);
    assert_eq!(miss(&mut pool, keys[0], 10), Phase::Check);
    assert_eq!(pool.attempts.promising(at(10)), 0);
    for _ in 0..2 {
        let _ = pool.refused(at(10));
    }
    let timeouts = pool.statistics().timeouts;
    assert_eq!((timeouts.wait, timeouts.check, timeouts.connect), (3, 1, 1));
}

#[test]
fn waits_loans_and_cancellations_are_counted_each_time() {
    let mut pool = pool(|config| config.max_size = 1);
    let mut live = lent(&mut pool, 1).remove(0);
    for round in 1..4 {
        let (gone, _) = wait(&mut pool, round, 1000);
        let (key, _) = wait(&mut pool, round, 1000);
        let _ = fx(|fx| pool.cancel(gone, at(round), fx));
        let _ = give_back(&mut pool, live, round);
        live = served(&mut pool, key);
        let statistics = pool.statistics();
        assert_eq!(statistics.cancellations, round);
        assert_eq!(statistics.acquires, round + 1);
        assert_eq!(statistics.waits, 2 * round + 1);
    }
    assert_eq!(live.uses, 4);
}

#[test]
fn attempts_are_counted_by_how_they_end() {
    let mut pool = pool(|config| {
        config.max_size = 8;
        config.connect_policy = ConnectPolicy::FailFast;
    });
    for number in 1..4 {
        let (_, begun) = wait(&mut pool, number, 1000);
        let _ = refuse(&mut pool, &begun, number);
        assert_eq!(pool.statistics().failed_connects, number);
    }
    let (_, begun) = fx(|fx| pool.advance(at(100_000), fx));
    assert!(begun.connect.is_empty(), "each has got its error");
    for number in 1..4u32 {
        let (_, begun) = wait(&mut pool, 100_000, 1_000_000);
        let _ = connect(&mut pool, &begun, number, 100_000);
        assert_eq!(pool.statistics().connects, u64::from(number));
    }
}

fn adopt(pool: &mut Pool, connection: u32) -> Result<(), u32> {
    let (adopted, _) = fx(|fx| pool.adopt(connection, at(1), fx));
    adopted.map(drop)
}

#[test]
fn one_is_adopted_if_there_is_a_place_and_a_use_for_it() {
    let mut pool = pool(|config| {
        config.max_size = 3;
        config.max_idle = Some(1);
    });
    assert_eq!(adopt(&mut pool, 1), Ok(()));
    assert_eq!(adopt(&mut pool, 2), Err(2), "one may be idle");
    assert_eq!(pool.statistics().adopted, 1);
    let mut held = Vec::new();
    let (lend, _) = fx(|fx| pool.lend_at(at(1), true, fx));
    held.extend(matches!(lend, Lend::Connection(_)).then_some(()));
    assert_eq!(held.len(), 1);
    assert_eq!(adopt(&mut pool, 2), Ok(()));
    assert_eq!(pool.statistics().adopted, 2);
    assert_eq!((pool.idle.len(), pool.size()), (1, 2));
}

#[test]
fn none_is_adopted_by_a_pool_that_is_full_or_closed() {
    let mut pool = pool(|config| config.max_size = 1);
    let live = lent(&mut pool, 1).remove(0);
    assert_eq!(adopt(&mut pool, 2), Err(2));
    let _ = fx(|fx| pool.detached(0, at(1), fx));
    drop(live);
    let _ = fx(|fx| pool.close(fx));
    assert_eq!(adopt(&mut pool, 3), Err(3));
    assert_eq!(pool.size(), 0);
    assert_eq!(pool.statistics().adopted, 0);
}

#[test]
fn none_is_adopted_in_the_place_of_one_that_is_being_made() {
    let mut pool = pool(|config| config.max_size = 1);
    let (key, begun) = wait(&mut pool, 0, 1000);
    assert_eq!(adopt(&mut pool, 7), Err(7));
    let _ = connect(&mut pool, &begun, 1, 2);
    assert_eq!(served(&mut pool, key).connection, 1);
}

#[test]
fn one_is_adopted_for_those_who_wait_though_none_may_be_idle() {
    for paused in [false, true] {
        let mut pool = pool(|config| config.max_idle = Some(0));
        let (key, _) = wait(&mut pool, 0, 1000);
        if paused {
            let _ = fx(|fx| pool.pause(at(1), fx));
            assert_eq!(adopt(&mut pool, 7), Err(7), "nobody is served");
            continue;
        }
        assert_eq!(adopt(&mut pool, 7), Ok(()));
        assert_eq!(served(&mut pool, key).connection, 7);
    }
}

#[test]
fn one_that_only_those_wanted_who_are_late_is_not_adopted() {
    let mut pool = pool(|config| config.max_idle = Some(0));
    let (key, _) = wait(&mut pool, 0, 1);
    assert_eq!(adopt(&mut pool, 7), Err(7));
    let turn = pool.poll_waiter(key, None);
    assert!(matches!(turn, Turn::Over(Outcome::Late { .. })), "{turn:?}");
    assert_eq!((pool.stages.closing, pool.statistics().adopted), (0, 0));
}

#[test]
fn a_shrink_to_what_there_is_closes_nothing() {
    let mut pool = pool(|config| config.max_size = 4);
    for live in lent(&mut pool, 3) {
        let _ = give_back(&mut pool, live, 1);
    }
    assert!(fx(|fx| pool.resize(3, at(2), fx)).1.close.is_empty());
    assert_eq!(fx(|fx| pool.resize(2, at(2), fx)).1.close.len(), 1);
}

#[test]
fn a_connection_that_goes_on_to_something_else_is_progress_to_those_who_wait_for_that() {
    for verdict in [
        Verdict::Clean,
        Verdict::Dirty,
        Verdict::Condemned(CloseReason::Broken),
    ] {
        let mut pool = pool(|_| {});
        let live = lent(&mut pool, 1).remove(0);
        let (_, fx_returned) = fx(|fx| pool.returned(live, verdict, at(1), fx));
        assert!(fx_returned.progress, "{verdict:?}");
    }
    let mut pool = pool(|_| {});
    drop(lent(&mut pool, 1));
    assert!(fx(|fx| pool.detached(0, at(1), fx)).1.progress);
}

#[test]
fn an_attempt_that_lost_its_task_is_not_kept_for_one_who_is_late() {
    let mut pool = pool(|_| {});
    let (key, begun) = wait(&mut pool, 0, 10);
    let stage = attempt(&begun);
    let _ = fx(|fx| pool.given_back(stage, 0, CloseReason::Shutdown, true, at(1), fx));
    assert_eq!(pool.driverless, 1);
    let (_, late) = fx(|fx| pool.time_out(key, at(10), fx));
    assert!(late.progress && pool.driverless == 0);
}

#[test]
fn a_waker_that_comes_too_late_comes_back() {
    let mut pool = pool(|config| config.max_size = 1);
    let [live] = lent(&mut pool, 1).try_into().expect("one");
    let (key, _) = wait(&mut pool, 0, 1000);
    let old = waker().and_then(|waker| pool.leave_waker(key, waker));
    assert!(old.is_some(), "nobody wants the one before it");
    let _ = give_back(&mut pool, live, 1);
    let late = waker().and_then(|waker| pool.leave_waker(key, waker));
    assert!(late.is_some(), "it is served as it is");
    let _ = served(&mut pool, key);
}
