//! Attempts to connect that fail, and what those who wait learn of it.

use super::*;

#[test]
fn failed_attempts_follow_the_schedule_one_at_a_time() {
    let mut pool = pool(|config| config.max_size = 4);
    let waiting: Vec<_> = (0..4).map(|_| wait(&mut pool, 0, 10_000)).collect();
    for (_, begun) in &waiting {
        let refused = refuse(&mut pool, begun, 1);
        assert!(refused.connect.is_empty(), "all four are one failure");
    }
    let (due, again) = fx(|fx| pool.advance(at(11), fx));
    assert_eq!(again.connect.len(), 1);
    assert!(due > at(11), "the next is due even if this one hangs");
    let made = connect(&mut pool, &again, 1, 12);
    assert_eq!(
        made.connect.len(),
        3,
        "after a success all are made at once"
    );
    assert_eq!(served(&mut pool, waiting[0].0).connection, 1);
}

#[test]
fn a_newcomer_does_not_inherit_a_long_delay() {
    let mut pool = pool(|config| config.max_size = 1);
    let (_, mut begun) = wait(&mut pool, 0, 1_000_000);
    let mut now = 0;
    for _ in 0..12 {
        let _ = refuse(&mut pool, &begun, now);
        now += 1000;
        begun = fx(|fx| pool.advance(at(now), fx)).1;
        assert_eq!(begun.connect.len(), 1);
    }
    let _ = refuse(&mut pool, &begun, now);
    let (_, fx) = wait(&mut pool, now, 1_000_000);
    assert!(fx.nudge || pool.keeper_until <= at(now + 10));
    assert!(
        pool.next_due(at(0)) <= at(now + 10),
        "the first step after the last attempt"
    );
}

#[test]
fn a_permanent_error_answers_all_unless_a_connection_may_come_back() {
    for lent_ones in [0, 1] {
        let mut pool = pool(|_| {});
        let held = lent(&mut pool, lent_ones);
        let (first, begun) = wait(&mut pool, 0, 100);
        let keys = [first, wait(&mut pool, 0, 100).0];
        let wrong = ConnectError::Failed(Arc::new("wrong password"));
        let from = attempt(&begun);
        let _ = fx(|fx| pool.connect_failed(from, wrong, true, at(1), fx));
        for key in keys {
            let over = matches!(pool.poll_waiter(key, None), Turn::Over(Outcome::Failed(_)));
            assert_eq!(over, lent_ones == 0);
        }
        drop(held);
    }
}

#[test]
fn fail_fast_answers_one_waiter_for_each_failure() {
    let mut pool = pool(|config| {
        config.max_size = 1;
        config.connect_policy = ConnectPolicy::FailFast;
    });
    let (first, mut begun) = wait(&mut pool, 0, 100);
    let keys = [first, wait(&mut pool, 0, 100).0];
    for key in keys {
        begun = refuse(&mut pool, &begun, 1);
        assert!(matches!(
            pool.poll_waiter(key, None),
            Turn::Over(Outcome::Failed(_))
        ));
    }
    assert_eq!(pool.size(), 0);
}

/// A pool whose server is down, if it takes it for that, and which looks again.
fn looks_again(change: impl FnOnce(&mut Config)) -> (Pool, Stage) {
    let mut pool = pool(|config| {
        config.connect_policy = ConnectPolicy::CircuitBreaker(Backoff::new(
            Duration::from_millis(10),
            Duration::from_millis(20),
        ));
        change(config);
    });
    let (_, begun) = wait(&mut pool, 0, 1000);
    let _ = refuse(&mut pool, &begun, 1);
    let (_, begun) = match pool.retry.is_down() {
        true => wait(&mut pool, 100, 1000),
        false => fx(|fx| {
            pool.advance(at(100), fx);
            0
        }),
    };
    assert_eq!(begun.connect.len(), 1, "the next attempt is due");
    (pool, attempt(&begun))
}

/// Whether a newcomer is told that the server is down.
fn is_told(pool: &mut Pool) -> bool {
    match fx(|fx| pool.join(at(500), at(1000), &mut waker(), fx)).0 {
        Join::Rejected(Refusal::CircuitBroken(_)) => true,
        Join::Queued { .. } => false,
        other => panic!("it is {other:?}"),
    }
}

#[test]
fn nobody_waits_for_an_attempt_that_hangs_while_no_other_can_begin() {
    let (mut pool, _) = looks_again(|config| config.max_size = 1);
    assert!(is_told(&mut pool));
    let (mut pool, _) = looks_again(|config| config.connect_concurrency = Some(1));
    assert!(is_told(&mut pool));
    let (mut pool, _) = looks_again(|_| ());
    assert!(!is_told(&mut pool), "he makes one of his own");
}

#[test]
fn one_for_whom_an_attempt_will_begin_is_not_told_that_the_server_is_down() {
    let one_place = |config: &mut Config| config.max_size = 1;
    let (mut pool, connecting) = looks_again(one_place);
    pool.leave(connecting, None);
    pool.stages.enter(Stage::Closing);
    assert!(!is_told(&mut pool), "when that is closed");
    let (mut pool, _) = looks_again(one_place);
    pool.is_tenant = true;
    pool.fillers = 1;
    pool.update_barred();
    pool.most = 2;
    assert!(!is_told(&mut pool), "its landlord may grant a place");
    pool.most = 1;
    assert!(is_told(&mut pool), "it has all that it may have");
    let (mut pool, _) = looks_again(|config| {
        one_place(config);
        config.connect_policy = ConnectPolicy::Retry(config.backoff());
    });
    assert!(!is_told(&mut pool), "nobody ever is");
}

/// Law 73: an attempt of before the last failure says nothing to those who wait for one after it.
#[test]
fn an_attempt_that_hung_is_no_news_to_those_who_waited_for_a_connection_meanwhile() {
    let schedule = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
    let mut pool = pool(|config| {
        config.max_size = 3;
        config.connect_policy = ConnectPolicy::CircuitBreaker(schedule);
    });
    let held = lent(&mut pool, 1).remove(0);
    let (_, hung) = wait(&mut pool, 10, 60_000);
    let (_, beside) = fx(|fx| pool.advance(at(260), fx));
    let _ = refuse(&mut pool, &beside, 265);
    let (_, next) = fx(|fx| pool.advance(at(1265), fx));
    assert_eq!(next.connect.len(), 1);
    let _ = fx(|fx| {
        pool.returned(
            held,
            Verdict::Condemned(CloseReason::Discarded),
            at(1300),
            fx,
        )
    });
    let _ = fx(|fx| {
        pool.given_back(
            Stage::Closing,
            0,
            CloseReason::Discarded,
            false,
            at(1301),
            fx,
        )
    });
    let _ = refuse(&mut pool, &hung, 1310);
    assert_eq!(pool.waiters.len(), 1, "the next is on time");
}

fn circuit(change: impl FnOnce(&mut Config)) -> Pool {
    let (first, cap) = (Duration::from_millis(10), Duration::from_millis(20));
    pool(|config| {
        config.connect_policy = ConnectPolicy::CircuitBreaker(Backoff::new(first, cap));
        change(config);
    })
}

fn times_out(pool: &mut Pool, key: usize, ms: u64) -> Fx {
    let (timed, fx) = fx(|fx| pool.time_out(key, at(ms), fx));
    assert!(matches!(timed, TimeOut::Missed(..)));
    fx
}

fn waits(pool: &mut Pool, key: usize) -> bool {
    matches!(pool.poll_waiter(key, None), Turn::Wait(_))
}

fn is_refused(pool: &mut Pool, key: usize) -> bool {
    matches!(pool.poll_waiter(key, None), Turn::Over(Outcome::Failed(_)))
}

#[test]
fn whoever_could_count_on_no_attempt_casts_no_doubt_on_one() {
    let mut pool = circuit(|config| config.max_size = 10);
    let [(first, refused), (second, _)] = [(); 2].map(|()| wait(&mut pool, 0, 9000));
    let _ = refuse(&mut pool, &refused, 1);
    let (impatient, begun) = wait(&mut pool, 2, 3);
    assert!(begun.connect.is_empty(), "the schedule allows none");
    let _ = times_out(&mut pool, impatient, 3);
    assert_eq!(pool.attempts.promising(at(3)), 1);
    assert!(waits(&mut pool, first) && waits(&mut pool, second));
}

#[test]
fn whoever_gives_up_on_an_attempt_breaks_no_circuit() {
    let mut pool = circuit(|config| {
        config.max_size = 2;
        config.connect_concurrency = Some(1);
    });
    let held = lent(&mut pool, 1).remove(0);
    let (key, begun) = wait(&mut pool, 0, 9000);
    let _ = refuse(&mut pool, &begun, 1);
    let _ = give_back(&mut pool, held, 2);
    let held = served(&mut pool, key);
    let (impatient, begun) = wait(&mut pool, 15, 20);
    assert_eq!(begun.connect.len(), 1);
    let (other, _) = wait(&mut pool, 16, 9000);
    let _ = fx(|fx| pool.detached(held.epoch, at(17), fx));
    let _ = times_out(&mut pool, impatient, 20);
    assert_eq!(pool.attempts.promising(at(20)), 0);
    assert!(waits(&mut pool, other), "it may still be in time");
    assert_eq!(asleep(&mut pool, 264), at(265));
    assert!(waits(&mut pool, other));
    let _ = fx(|fx| pool.advance(at(265), fx));
    assert!(is_refused(&mut pool, other));
}

/// A pool that fails fast, and somebody who waits for an attempt that is overdue, and for another beside it.
fn two_attempts_for_one() -> (Pool, usize, [Fx; 2]) {
    let mut pool = pool(|config| {
        config.max_size = 3;
        config.connect_policy = ConnectPolicy::FailFast;
    });
    let (key, slow) = wait(&mut pool, 0, 9000);
    let (_, another) = fx(|fx| pool.advance(at(1001), fx));
    assert_eq!(another.connect.len(), 1);
    (pool, key, [slow, another])
}

#[test]
fn fail_fast_leaves_those_alone_who_have_another_attempt_on_its_way() {
    let (mut pool, first, [hung, another]) = two_attempts_for_one();
    let (adopted, _) = fx(|fx| pool.adopt(9, at(1001), fx));
    assert!(adopted.is_ok());
    let _ = served(&mut pool, first);
    let (key, begun) = wait(&mut pool, 1002, 9000);
    assert!(begun.connect.is_empty(), "one is on its way");
    let _ = refuse(&mut pool, &hung, 1003);
    assert!(waits(&mut pool, key));
    let _ = refuse(&mut pool, &another, 1004);
    assert!(is_refused(&mut pool, key));
}

/// However soon another begins beside it.
#[test]
fn fail_fast_tells_whoever_had_an_attempt_of_his_own_when_that_fails() {
    let (mut pool, key, [slow, _]) = two_attempts_for_one();
    let _ = refuse(&mut pool, &slow, 1002);
    assert!(is_refused(&mut pool, key));
}

/// He counted on that which failed, and on no other.
#[test]
fn whoever_is_late_casts_no_doubt_on_the_attempt_of_another() {
    let mut pool = pool(|config| config.connect_policy = ConnectPolicy::FailFast);
    let (_, begun) = wait(&mut pool, 0, 500);
    let (other, _) = wait(&mut pool, 100, 9000);
    let _ = refuse(&mut pool, &begun, 600);
    assert!(waits(&mut pool, other));
    assert_eq!(pool.attempts.promising(at(600)), 1);
}

/// Nor if that which he counted on succeeds, too late for him.
#[test]
fn whoever_is_late_for_a_connection_casts_no_doubt_on_the_attempt_of_another() {
    let mut pool = pool(|_| ());
    let (_, begun) = wait(&mut pool, 0, 500);
    let (other, _) = wait(&mut pool, 300, 9000);
    let _ = connect(&mut pool, &begun, 1, 600);
    let _ = served(&mut pool, other);
    assert_eq!(pool.attempts.promising(at(1050)), 1);
}

#[test]
fn whoever_is_late_for_a_check_casts_no_doubt_on_the_check_of_another() {
    let mut pool = pool(|config| {
        config.check_policy = CheckPolicy::IdleFor(Duration::from_millis(100));
    });
    for live in lent(&mut pool, 2) {
        let _ = give_back(&mut pool, live, 0);
    }
    let (_, mut begun) = wait(&mut pool, 101, 500);
    let (other, _) = wait(&mut pool, 300, 9000);
    let (live, id) = begun.check.remove(0);
    let _ = fx(|fx| pool.passed(live, Stage::Checking(Some(id)), true, at(600), fx));
    let _ = served(&mut pool, other);
    assert_eq!(pool.attempts.promising(at(1050)), 1);
}

/// And for no others.
#[test]
fn failure_speaks_for_those_who_had_no_older_attempt() {
    let mut pool = circuit(|config| config.max_size = 2);
    let (_, begun) = wait(&mut pool, 0, 9000);
    let _ = refuse(&mut pool, &begun, 1);
    let (first, older) = wait(&mut pool, 30, 9000);
    let (other, younger) = wait(&mut pool, 60, 9000);
    let _ = refuse(&mut pool, &older, 70);
    assert!(is_refused(&mut pool, first) && waits(&mut pool, other));
    let _ = refuse(&mut pool, &younger, 75);
    assert!(is_refused(&mut pool, other));
}

/// The older one is on time, whoever has no patience with it.
#[test]
fn failure_does_not_speak_for_one_with_an_older_attempt_that_somebody_gave_up_on() {
    let mut pool = circuit(|config| config.max_size = 2);
    let (_, begun) = wait(&mut pool, 0, 9000);
    let _ = refuse(&mut pool, &begun, 1);
    let (_, older) = wait(&mut pool, 30, 130);
    let (other, begun) = wait(&mut pool, 60, 9000);
    assert_eq!((older.connect.len(), begun.connect.len()), (1, 1));
    let _ = refuse(&mut pool, &begun, 131);
    assert!(waits(&mut pool, other));
    let _ = refuse(&mut pool, &older, 140);
    assert!(is_refused(&mut pool, other));
}

/// They may be polled no more, and what is theirs is not made known to those after them.
#[test]
fn error_of_an_attempt_is_for_those_who_are_in_time() {
    let mut pool = pool(|config| {
        config.max_size = 1;
        config.connect_policy = ConnectPolicy::FailFast;
    });
    let (late, begun) = wait(&mut pool, 0, 10);
    let (other, _) = wait(&mut pool, 0, 9000);
    let _ = refuse(&mut pool, &begun, 20);
    let turn = pool.poll_waiter(late, None);
    let phase = Phase::Connect;
    assert!(
        matches!(turn, Turn::Over(Outcome::Late { phase: told, .. }) if told == phase),
        "{turn:?}"
    );
    assert!(is_refused(&mut pool, other));
}

/// Law 10.
#[test]
fn nothing_is_attempted_for_those_who_are_late() {
    let mut pool = pool(|_| ());
    let (late, begun) = wait(&mut pool, 0, 10);
    let refused = refuse(&mut pool, &begun, 20);
    assert!(refused.wake.is_some(), "he is told");
    assert_eq!(asleep(&mut pool, 5000), Moment::NEVER);
    assert!(matches!(
        pool.poll_waiter(late, None),
        Turn::Over(Outcome::Late { .. })
    ));
    let (late, _) = wait(&mut pool, 5000, 5010);
    let (_, overdue) = fx(|fx| pool.advance(at(6001), fx));
    assert!(overdue.connect.is_empty());
    assert!(matches!(
        pool.poll_waiter(late, None),
        Turn::Over(Outcome::Late { .. })
    ));
}
