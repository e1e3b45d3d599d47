//! Resets.

use super::*;

fn lend(pool: &mut Pool, ms: u64) -> Conn {
    let (lend, _) = fx(|fx| pool.lend_at(at(ms), false, fx));
    match lend {
        Lend::Connection(live) => live,
        other => panic!("not lent but {other:?}"),
    }
}

/// Gives a connection back that is not kept, and says why.
fn closed_for(pool: &mut Pool, live: Conn, ms: u64) -> CloseReason {
    let (returned, _) = fx(|fx| pool.returned(live, Verdict::Clean, at(ms), fx));
    let Returned::Close(live, reason) = returned else {
        panic!("not closed but {returned:?}");
    };
    gone(pool, &live, reason, ms);
    reason
}

/// A connection has been closed.
fn gone(pool: &mut Pool, live: &Live<u32>, reason: CloseReason, ms: u64) {
    let epoch = live.epoch;
    let _ = fx(|fx| pool.given_back(Stage::Closing, epoch, reason, false, at(ms), fx));
}

fn reset(pool: &mut Pool, over_ms: u64, ms: u64) -> Fx {
    fx(|fx| pool.reset(Duration::from_millis(over_ms), at(ms), fx)).1
}

#[test]
fn a_reset_closes_the_idle_now_the_lent_later_and_is_over_with_the_last() {
    let mut pool = pool(|config| config.max_size = 3);
    let mut held = lent(&mut pool, 3);
    let _ = give_back(&mut pool, held.remove(0), 1);
    assert!(pool.is_renewed());
    let mut done = reset(&mut pool, 0, 2);
    assert!(done.progress && !pool.is_renewed());
    let (live, reason) = done.close.remove(0);
    assert_eq!((live.connection, reason), (1, CloseReason::Reset));
    gone(&mut pool, &live, reason, 3);
    for live in held {
        assert!(!pool.is_renewed());
        assert_eq!(closed_for(&mut pool, live, 4), CloseReason::Reset);
    }
    assert!(pool.is_renewed());
}

#[test]
fn what_a_connect_of_before_a_reset_makes_is_closed_and_what_comes_after_is_kept() {
    let mut pool = pool(|_| {});
    let (key, before) = wait(&mut pool, 0, 1000);
    let after = reset(&mut pool, 0, 1);
    let (rejected, _) = fx(|fx| connected(&mut pool, 1, attempt(&before), at(2), fx));
    let (live, reason) = rejected.expect("it was begun before");
    assert_eq!((live.epoch, reason), (0, CloseReason::Reset));
    assert!(!pool.is_renewed());
    gone(&mut pool, &live, reason, 3);
    assert!(pool.is_renewed());
    let _ = connect(&mut pool, &after, 2, 4);
    let live = served(&mut pool, key);
    assert_eq!((live.connection, live.epoch), (2, 1));
    let _ = give_back(&mut pool, live, 5);
    assert_eq!(lend(&mut pool, 6).connection, 2);
}

#[test]
fn a_reset_over_a_time_closes_each_at_its_own_moment_within_it() {
    let mut pool = pool(|config| {
        config.max_size = 8;
        config.max_lifetime = None;
        config.idle_timeout = None;
    });
    for live in lent(&mut pool, 8) {
        let _ = give_back(&mut pool, live, 0);
    }
    let _ = fx(|fx| pool.keep(at(100), fx));
    let done = reset(&mut pool, 1000, 100);
    assert!(done.close.is_empty() && done.nudge);
    let mut left = 8;
    let mut moments = Vec::new();
    while left > 0 {
        let due = pool.next_due(at(100));
        assert!(due > at(100) && due <= at(1100), "{due:?}");
        assert!(pool.keeper_until <= due || !moments.is_empty());
        let (_, aged) = fx(|fx| pool.advance(due, fx));
        for (live, reason) in aged.close {
            assert_eq!(reason, CloseReason::Reset);
            gone(&mut pool, &live, reason, 1100);
            left -= 1;
        }
        moments.push(due);
        assert_eq!(pool.is_renewed(), left == 0);
    }
    moments.dedup();
    assert_eq!(moments.len(), 8, "not all at once");
}

#[test]
fn a_lent_one_is_closed_when_its_moment_has_come_and_kept_before() {
    let mut pool = pool(|config| config.max_size = 1);
    let live = lent(&mut pool, 1).remove(0);
    let _ = reset(&mut pool, 1000, 0);
    let due = pool.renewals.due(&live);
    let nanos = due.elapsed_since(Moment::START);
    let before = Moment::START.after(nanos - Duration::from_nanos(1));
    let (returned, _) = fx(|fx| pool.returned(live, Verdict::Clean, before, fx));
    assert!(matches!(returned, Returned::Kept));
    let (lend, _) = fx(|fx| pool.lend_at(before, true, fx));
    let Lend::Connection(live) = lend else {
        panic!("it has a while to live");
    };
    let (returned, _) = fx(|fx| pool.returned(live, Verdict::Clean, due, fx));
    assert!(matches!(returned, Returned::Close(_, CloseReason::Reset)));
}

#[test]
fn of_two_resets_the_one_that_ends_later_has_something_to_say_only_if_it_began_first() {
    let mut pool = pool(|config| config.max_size = 1);
    let live = lent(&mut pool, 1).remove(0);
    let _ = reset(&mut pool, 1000, 0);
    let first = pool.renewals.due(&live);
    let _ = reset(&mut pool, 2000, 10);
    assert_eq!(pool.renewals.due(&live), first);
    let _ = reset(&mut pool, 1990, 20);
    assert_eq!(pool.renewals.pending(), 2, "that of 10 ms ends no sooner");
    let _ = reset(&mut pool, 0, 30);
    assert_eq!(pool.renewals.due(&live), Moment::START);
    assert_eq!(closed_for(&mut pool, live, 30), CloseReason::Reset);
}

#[test]
fn resets_are_forgotten_when_nothing_is_left_of_before_them() {
    let mut pool = pool(|config| config.max_size = 1);
    for ms in 0..10 {
        let live = lent(&mut pool, 1).remove(0);
        let _ = reset(&mut pool, 0, ms);
        let _ = reset(&mut pool, 0, ms + 1);
        assert_eq!(
            pool.renewals.pending(),
            1,
            "of before the first is of before the last"
        );
        closed_for(&mut pool, live, ms + 1);
        assert_eq!(pool.renewals.pending(), 0);
    }
}

/// As for one that listens for as long as its process runs.
#[test]
fn resets_beside_a_long_loan_are_not_remembered_for_ever() {
    let mut pool = pool(|config| config.max_size = 1);
    let live = lent(&mut pool, 1).remove(0);
    for round in 0..100 {
        let _ = reset(&mut pool, 10, 100 * round);
        assert!(pool.renewals.pending() <= 2);
    }
    assert!(
        pool.renewals.due(&live) < at(9900),
        "the last but one is over"
    );
    let _ = reset(&mut pool, 0, 20_000);
    assert_eq!(pool.renewals.pending(), 1);
    for round in 0..100 {
        let _ = reset(&mut pool, 10, 30_000 + 100 * round);
        assert!(pool.renewals.pending() <= 3);
    }
    assert_eq!(closed_for(&mut pool, live, 50_000), CloseReason::Reset);
    assert_eq!(pool.renewals.pending(), 0);
}

#[test]
fn resets_of_an_empty_pool_are_forgotten_at_once() {
    let mut pool = pool(|_| {});
    for ms in 0..3 {
        for over_ms in [100, 0] {
            let _ = reset(&mut pool, over_ms, ms);
            assert!(pool.is_renewed());
            assert_eq!(pool.renewals.pending(), 0);
        }
    }
    let live = lent(&mut pool, 1).remove(0);
    assert_eq!(live.epoch, 6, "made after the last of them");
    let _ = give_back(&mut pool, live, 3);
    assert_eq!(lend(&mut pool, 4).connection, 1);
}

/// Nothing that it fails of is known of the server after the reset.
#[test]
fn a_connect_of_before_a_reset_says_nothing_of_what_comes_after_it() {
    let policies: [fn(&mut Config); 3] = [
        |_| (),
        |config| config.connect_policy = ConnectPolicy::FailFast,
        |config| {
            config.connect_policy = ConnectPolicy::CircuitBreaker(Backoff::new(
                Duration::from_millis(10),
                Duration::from_millis(1000),
            ));
        },
    ];
    for (policy, change) in policies.into_iter().enumerate() {
        for over_ms in [0, 1000] {
            for permanent in [false, true] {
                let mut pool = pool(|config| {
                    change(config);
                    config.max_size = 1;
                    config.min_idle = 1;
                });
                let (key, begun) = wait(&mut pool, 0, 1000);
                let _ = reset(&mut pool, over_ms, 1);
                let (failed_before, _) = fx(|fx| pool.begin_fill(at(1), fx));
                let wrong = ConnectError::Failed(Arc::new("wrong password"));
                let from = attempt(&begun);
                let (_, failed) = fx(|fx| pool.connect_failed(from, wrong, permanent, at(2), fx));
                let what = format!("policy {policy}, over {over_ms} ms, permanent: {permanent}");
                assert_eq!(pool.statistics().failed_connects, 1, "{what}");
                assert!(pool.is_renewed(), "{what}");
                let dead = over_ms == 0;
                assert_eq!(failed.connect.len(), usize::from(dead), "{what}");
                assert_eq!(pool.retry.is_failing(), !dead, "{what}");
                let answered = matches!(pool.poll_waiter(key, None), Turn::Over(_));
                assert_eq!(answered, !dead && (permanent || policy > 0), "{what}");
                let warmth = pool.warmth(failed_before, at(2));
                assert_eq!(matches!(warmth, Warmth::Failed(_)), !dead, "{what}");
            }
        }
    }
}

#[test]
fn one_who_fills_is_not_told_that_a_connect_of_before_a_reset_has_failed() {
    let mut pool = pool(|config| config.min_idle = 1);
    let (key, begun) = wait(&mut pool, 0, 1000);
    let _ = refuse(&mut pool, &begun, 1);
    let (_, begun) = fx(|fx| pool.advance(at(20), fx));
    let _ = reset(&mut pool, 0, 21);
    let (failed_before, _) = fx(|fx| pool.begin_fill(at(22), fx));
    let _ = refuse(&mut pool, &begun, 23);
    assert_eq!(pool.statistics().failed_connects, 2);
    assert!(matches!(pool.warmth(failed_before, at(23)), Warmth::Cold));
    let _ = key;
}

#[test]
fn after_a_reset_nothing_is_known_against_the_server() {
    for (over_ms, anew) in [(0, true), (1000, false)] {
        let mut pool = pool(|config| {
            config.connect_policy = ConnectPolicy::CircuitBreaker(config.backoff());
        });
        let (_, begun) = wait(&mut pool, 0, 1000);
        let refused = refuse(&mut pool, &begun, 1);
        assert!(refused.connect.is_empty() && pool.retry.is_down());
        let _ = reset(&mut pool, over_ms, 2);
        let joined = fx(|fx| pool.join(at(3), at(1000), &mut waker(), fx));
        assert_eq!(matches!(joined.0, Join::Queued { .. }), anew);
        assert_eq!(joined.1.connect.len(), usize::from(anew));
        assert_eq!(pool.retry.cause().is_none(), anew);
    }
}

#[test]
fn a_connect_of_before_a_reset_does_not_make_up_for_a_failure_after_it() {
    let mut pool = pool(|config| config.max_size = 2);
    let (_, old) = wait(&mut pool, 0, 1000);
    let new = reset(&mut pool, 0, 1);
    let _ = refuse(&mut pool, &new, 2);
    let (rejected, _) = fx(|fx| connected(&mut pool, 1, attempt(&old), at(3), fx));
    assert!(rejected.is_some());
    assert!(pool.retry.is_failing(), "whoever answered is gone");
}

#[test]
fn a_failed_check_condemns_those_who_are_being_renewed_as_well() {
    let mut pool = pool(|config| {
        config.reset_on_failed_check = true;
        config.check_policy = CheckPolicy::Always;
    });
    for live in lent(&mut pool, 2) {
        let _ = give_back(&mut pool, live, 1);
    }
    let _ = reset(&mut pool, 1_000_000, 2);
    let (_, mut begun) = wait(&mut pool, 3, 1000);
    let (live, id) = begun.check.remove(0);
    let (epoch, from) = (live.epoch, Stage::Checking(Some(id)));
    let (_, failed) = fx(|fx| pool.condemned(from, epoch, at(4), fx));
    let reasons: Vec<_> = failed.close.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons, [CloseReason::Reset], "the other is as dead");
}

#[test]
fn a_failed_check_condemns_the_generation_but_not_what_is_in_the_making() {
    let mut pool = pool(|config| {
        config.max_size = 4;
        config.reset_on_failed_check = true;
        config.check_policy = CheckPolicy::Always;
    });
    let mut held = lent(&mut pool, 3);
    let live = held.remove(0);
    let _ = give_back(&mut pool, held.remove(0), 1);
    let _ = give_back(&mut pool, live, 2);
    let (key, mut begun) = wait(&mut pool, 3, 1000);
    let (second, _) = wait(&mut pool, 3, 1000);
    let (third, connecting) = wait(&mut pool, 3, 1000);
    let (live, id) = begun.check.remove(0);
    let (_, failed) = fx(|fx| pool.condemned(Stage::Checking(Some(id)), 0, at(4), fx));
    assert!(failed.close.is_empty(), "the other is being checked");
    assert_eq!(pool.renewals.old(), 3);
    gone(&mut pool, &live, CloseReason::CheckFailed, 5);
    assert_eq!(pool.renewals.old(), 2);
    let _ = connect(&mut pool, &connecting, 9, 6);
    let fresh = served(&mut pool, key);
    assert_eq!((fresh.connection, pool.renewals.old()), (9, 2));
    assert_eq!(closed_for(&mut pool, held.remove(0), 7), CloseReason::Reset);
    assert_eq!(pool.renewals.old(), 1);
    let _ = give_back(&mut pool, fresh, 8);
    let _ = (second, third);
}

#[test]
fn a_check_of_before_a_reset_condemns_nobody_when_it_fails() {
    let mut pool = pool(|config| {
        config.reset_on_failed_check = true;
        config.check_policy = CheckPolicy::Always;
    });
    let held = lent(&mut pool, 1);
    for live in held {
        let _ = give_back(&mut pool, live, 1);
    }
    let (_, mut begun) = wait(&mut pool, 3, 1000);
    let (live, id) = begun.check.remove(0);
    let _ = reset(&mut pool, 0, 4);
    let (epoch, from) = (live.epoch, Stage::Checking(Some(id)));
    let _ = fx(|fx| pool.condemned(from, epoch, at(5), fx));
    assert_eq!(pool.renewals.epoch(), 1, "there was but one reset");
}

#[test]
fn a_loan_that_is_the_last_ends_with_the_connection() {
    let mut pool = pool(|_| {});
    let mut live = lent(&mut pool, 1).remove(0);
    live.retire();
    assert!(pool.put_back(live.clone()).is_err());
    assert_eq!(closed_for(&mut pool, live, 1), CloseReason::Discarded);
}

#[test]
fn a_reset_is_for_those_of_before_it_only() {
    let mut pool = pool(|_| {});
    let old = lent(&mut pool, 1).remove(0);
    let _ = reset(&mut pool, 1000, 0);
    let (key, begun) = wait(&mut pool, 1, 1000);
    let _ = connect(&mut pool, &begun, 2, 1);
    let young = served(&mut pool, key);
    assert_eq!(pool.renewals.due(&young), Moment::NEVER);
    let _ = reset(&mut pool, 5000, 2);
    let share = pool.renewals.due(&young).elapsed_since(at(2));
    let alone = fastrand::Rng::with_seed(young.id()).f64();
    assert_eq!(share, Duration::from_secs(5).mul_f64(alone));
    drop(old);
}

#[test]
fn connects_of_before_a_reset_stay_old_when_a_check_fails_after_it() {
    let mut pool = pool(|config| config.max_size = 4);
    let (key, old) = wait(&mut pool, 0, 1000);
    let fresh = reset(&mut pool, 0, 1);
    assert_eq!((old.connect.len(), fresh.connect.len()), (1, 1));
    let _ = fx(|fx| pool.adopt(7, at(1), fx));
    assert_eq!(served(&mut pool, key).connection, 7);
    assert_eq!((pool.size(), pool.renewals.old()), (3, 1));
    let _ = fx(|fx| pool.condemn_generation(at(2), fx));
    assert_eq!(pool.renewals.old(), 2, "the first connect and the lent one");
}

#[test]
fn whoever_read_the_clock_before_a_reset_keeps_nothing_of_before() {
    let mut pool = pool(|config| config.max_size = 1);
    let [live] = lent(&mut pool, 1).try_into().expect("one");
    let _ = reset(&mut pool, 0, 7);
    assert_eq!(closed_for(&mut pool, live, 6), CloseReason::Reset);
}
