//! Attempts whose task the runtime dropped, and attempts that hang.

use std::time::Duration;

use super::*;

/// The runtime drops the task of an attempt.
fn lose(pool: &mut Pool, stage: Stage, ms: u64) -> Fx {
    fx(|fx| pool.given_back(stage, 0, CloseReason::Shutdown, true, at(ms), fx)).1
}

#[test]
fn a_lost_connect_is_run_by_a_waiter() {
    let mut pool = pool(|config| config.max_size = 1);
    let (first, begun) = wait(&mut pool, 0, 1000);
    let (second, _) = wait(&mut pool, 0, 1000);
    let lost = lose(&mut pool, attempt(&begun), 1);
    assert!(
        lost.connect.is_empty(),
        "another task would be dropped as well"
    );
    assert!(lost.wake.is_some());
    let _ = fx(|fx| pool.advance(at(1), fx));
    let driven = drive(&mut pool, first, 1);
    let _ = fx(|fx| pool.cancel(first, at(2), fx));
    let _ = lose(&mut pool, Stage::Connecting(driven), 1);
    let _ = fx(|fx| pool.advance(at(2), fx));
    let driven = drive(&mut pool, second, 2);
    let from = Stage::Connecting(driven);
    let (rejected, _) = fx(|fx| connected(&mut pool, 1, from, at(3), fx));
    assert!(rejected.is_none());
    assert_eq!(served(&mut pool, second).connection, 1);
}

#[test]
fn as_many_waiters_are_woken_as_attempts_were_lost() {
    let mut pool = pool(|config| config.max_size = 3);
    let waiting: Vec<_> = (0..3).map(|_| wait(&mut pool, 0, 1000)).collect();
    for (_, begun) in &waiting {
        let stage = attempt(begun);
        let _ = lose(&mut pool, stage, 1);
    }
    let _ = fx(|fx| pool.advance(at(1), fx));
    for (key, _) in waiting {
        drive(&mut pool, key, 1);
    }
}

#[test]
fn lost_refills_are_tried_again_later_not_at_once() {
    let mut pool = pool(|config| {
        config.max_size = 4;
        config.min_idle = 4;
    });
    let (_, begun) = fx(|fx| pool.hurry(at(0), fx));
    assert_eq!(begun.connect.len(), 4);
    for &id in &begun.connect {
        let stage = Stage::Connecting(id);
        let lost = lose(&mut pool, stage, 1);
        assert!(lost.connect.is_empty());
    }
    let (due, early) = fx(|fx| pool.advance(at(5), fx));
    assert!(early.connect.is_empty() && due <= at(11), "{due:?}");
    assert_eq!(fx(|fx| pool.advance(at(11), fx)).1.connect.len(), 4);
}

#[test]
fn hung_attempt_is_not_counted_on_for_ever() {
    let mut pool = pool(|config| config.max_size = 5);
    let (first, hung) = wait(&mut pool, 0, 100_000);
    let (second, begun) = wait(&mut pool, 0, 100_000);
    let _ = connect(&mut pool, &begun, 1, 10);
    assert_eq!(
        served(&mut pool, first).connection,
        1,
        "first come, first served"
    );
    let due = pool.next_due(at(10));
    assert!(due < at(5000), "the second has only the hung one: {due:?}");
    let (_, again) = fx(|fx| pool.advance(due, fx));
    assert_eq!(again.connect.len(), 1, "but there are places");
    let _ = connect(&mut pool, &again, 2, 4000);
    assert_eq!(served(&mut pool, second).connection, 2);
    drop(hung);
}

#[test]
fn hung_connect_does_not_keep_an_idle_one_from_being_checked() {
    let mut pool = pool(|config| {
        config.check_policy = CheckPolicy::IdleFor(Duration::from_millis(100));
    });
    let conn = lent(&mut pool, 1).remove(0);
    let (key, _hung) = wait(&mut pool, 0, 100_000);
    let _ = give_back(&mut pool, conn, 1);
    let conn = served(&mut pool, key);
    let _ = give_back(&mut pool, conn, 2);
    let (_, begun) = wait(&mut pool, 1000, 100_000);
    assert_eq!(begun.check.len(), 1);
}

#[test]
fn attempt_that_hangs_with_its_waiter_is_not_counted_on_for_ever() {
    let mut pool = pool(|_| {});
    let (key, begun) = wait(&mut pool, 0, 100_000);
    let stage = attempt(&begun);
    let _ = lose(&mut pool, stage, 1);
    let _ = fx(|fx| pool.keep(at(1), fx));
    drive(&mut pool, key, 1);
    let Turn::Wait(due) = pool.poll_waiter(key, None) else {
        panic!("its attempt is under way");
    };
    assert!(due < at(5000), "nobody else knows of it: {due:?}");
    let (_, again) = fx(|fx| pool.advance(due, fx));
    assert_eq!(again.connect.len(), 1, "there is another place");
}

#[test]
fn attempt_that_no_waiter_needs_to_drive_any_more_makes_way_for_a_refill() {
    let mut pool = pool(|config| config.min_idle = 1);
    let (_, refill) = fx(|fx| pool.hurry(at(0), fx));
    let (first, begun) = wait(&mut pool, 0, 1000);
    let (second, _) = wait(&mut pool, 0, 1000);
    let stage = attempt(&refill);
    let _ = lose(&mut pool, stage, 1);
    let _ = connect(&mut pool, &begun, 1, 2);
    let conn = served(&mut pool, first);
    let served_second = give_back(&mut pool, conn, 3);
    assert_eq!(served(&mut pool, second).connection, 1);
    assert_eq!(
        served_second.connect.len(),
        1,
        "a place is free, none is idle"
    );
}

/// The second of two who wait has looked, and sleeps again.
fn keeper_goes_and_wakes_all(pool: &mut Pool, second: usize) {
    let ((), gone) = fx(|fx| pool.keeper_gone(fx));
    assert_eq!((gone.wake.is_some(), gone.wake_more.len()), (true, 1));
    let _ = pool.leave_waker(second, waker().expect("there is one"));
}

/// Guarantee 11: when an adopted connection has served the first, the next looks after the schedule.
#[test]
fn adopted_connection_wakes_whoever_stands_in_for_the_keeper_next() {
    let mut pool = pool(|config| config.max_size = 3);
    let _ = wait(&mut pool, 0, 1000);
    let (second, _) = wait(&mut pool, 0, 1000);
    keeper_goes_and_wakes_all(&mut pool, second);
    let (adopted, adoption) = fx(|fx| pool.adopt(9, at(1), fx));
    assert!(adopted.is_ok());
    assert!(adoption.wake.is_some(), "the second does so now");
}

/// Guarantee 11: when the first has been handed what came back, the next looks after the schedule.
#[test]
fn hand_over_wakes_whoever_stands_in_for_the_keeper_next() {
    let mut pool = pool(|_| {});
    let conn = lent(&mut pool, 1).remove(0);
    let (first, begun) = wait(&mut pool, 0, 1000);
    let (second, _) = wait(&mut pool, 0, 1000);
    keeper_goes_and_wakes_all(&mut pool, second);
    let refused = refuse(&mut pool, &begun, 1);
    assert!(
        refused.wake.is_some(),
        "the second, for the first is awake already"
    );
    let _ = pool.leave_waker(second, waker().expect("there is one"));
    let handed = give_back(&mut pool, conn, 2);
    assert_eq!(served(&mut pool, first).connection, 1);
    let woken = usize::from(handed.wake.is_some()) + handed.wake_more.len();
    assert_eq!(woken, 1, "the second once more");
}

#[test]
fn whoever_read_the_clock_earlier_sees_what_was_overdue_for_the_last_who_looked() {
    let mut pool = pool(|config| config.max_size = 1);
    let _ = fx(|fx| pool.keeper_gone(fx));
    let (_, begun) = wait(&mut pool, 0, 9000);
    assert_eq!(begun.connect.len(), 1, "it will hang");
    let _ = fx(|fx| pool.advance(at(1001), fx));
    let (_, grown) = fx(|fx| pool.resize(2, at(999), fx));
    assert_eq!(grown.connect.len(), 1);
}

/// Whoever asks in vain has read the clock, and seen to nothing.
#[test]
fn caller_without_patience_hides_nothing_that_has_become_due() {
    let mut pool = pool(|config| config.max_size = 2);
    let (key, begun) = wait(&mut pool, 0, 9000);
    assert_eq!(begun.connect.len(), 1, "it will hang");
    let _ = fx(|fx| pool.keeper_gone(fx));
    let (lend, _) = fx(|fx| pool.lend_at(at(1001), false, fx));
    assert!(matches!(lend, Lend::Unavailable));
    let Turn::Wait(due) = pool.poll_waiter(key, None) else {
        panic!("nothing has changed");
    };
    assert!(due <= at(1001), "{due:?}");
    let (_, again) = fx(|fx| pool.advance(at(1001), fx));
    assert_eq!(again.connect.len(), 1);
}

#[test]
fn whoever_is_late_stands_in_for_nobody() {
    let mut pool = pool(|config| config.max_size = 1);
    let (late, begun) = wait(&mut pool, 0, 10);
    let (first, _) = wait(&mut pool, 0, 9000);
    let (second, _) = wait(&mut pool, 0, 9000);
    let leave_wakers = |pool: &mut Pool| {
        for key in [late, first, second] {
            let _ = pool.leave_waker(key, waker().expect("there is one"));
        }
    };
    let asleep =
        |pool: &Pool| [late, first, second].map(|key| pool.waiters.get(key).waker.is_some());
    let _ = lose(&mut pool, attempt(&begun), 20);
    assert_eq!(
        asleep(&pool),
        [true, false, true],
        "the keeper is there, perhaps"
    );
    leave_wakers(&mut pool);
    let _ = fx(|fx| pool.keeper_gone(fx));
    assert_eq!(asleep(&pool), [false; 3], "nobody knows who is polled");
    leave_wakers(&mut pool);
    let _ = fx(|fx| pool.resize(2, at(21), fx));
    assert_eq!(asleep(&pool), [true, false, true]);
    drive(&mut pool, first, 21);
}

/// What somebody looks at is there.
#[test]
fn idle_connection_that_is_looked_at_is_not_missing() {
    let mut pool = pool(|config| {
        config.max_size = 3;
        config.min_idle = 1;
    });
    let (_, begun) = fx(|fx| pool.hurry(at(0), fx));
    let _ = connect(&mut pool, &begun, 1, 1);
    let id = pool.idle[0].id;
    let aside = pool.borrow_idle(id).expect("one is idle");
    let (_, fresh) = fx(|fx| pool.hurry(at(2), fx));
    assert!(fresh.connect.is_empty());
    let _ = fx(|fx| pool.passed(aside, Stage::Checking(None), false, at(3), fx));
    assert_eq!(pool.idle.len(), 1);
}

/// Whoever is late drives nothing, and nobody waits for him to.
#[test]
fn one_waiter_drives_several_attempts_beside_one_who_is_late() {
    let mut pool = pool(|config| config.max_size = 2);
    let waiting = [60_000, 10].map(|deadline| wait(&mut pool, 0, deadline));
    for (_, begun) in &waiting {
        let stage = attempt(begun);
        let _ = lose(&mut pool, stage, 20);
    }
    let _ = fx(|fx| pool.keeper_gone(fx));
    let _ = fx(|fx| pool.advance(at(20), fx));
    let key = waiting[0].0;
    for _ in 0..2 {
        drive(&mut pool, key, 20);
    }
}

/// An attempt that somebody begins who has read the clock long ago is not overdue at birth.
#[test]
fn attempt_begins_when_the_last_who_looked_says() {
    let mut pool = pool(|config| config.max_size = 2);
    let (key, begun) = wait(&mut pool, 0, 60_000);
    let stage = attempt(&begun);
    let _ = lose(&mut pool, stage, 1);
    let _ = fx(|fx| pool.advance(at(5000), fx));
    drive(&mut pool, key, 3000);
    let Turn::Wait(due) = pool.poll_waiter(key, None) else {
        panic!("the attempt is under way");
    };
    assert_eq!(due, at(6000));
}

/// Whoever was told to run it comes for it when the pool has been closed.
#[test]
fn lost_connect_is_run_by_nobody_once_the_pool_is_closed() {
    let mut pool = pool(|_| {});
    let (key, begun) = wait(&mut pool, 0, 1000);
    let _ = lose(&mut pool, attempt(&begun), 1);
    let _ = fx(|fx| pool.advance(at(1), fx));
    assert!(matches!(pool.poll_waiter(key, None), Turn::Drive));
    let (_, closed) = fx(|fx| pool.close(fx));
    assert!(closed.drained);
    assert!(pool.drive(key, at(2)).is_none());
    assert_eq!(pool.size(), 0);
}

/// It is an attempt like any other.
#[test]
fn lost_attempt_that_a_waiter_runs_puts_off_the_next() {
    let mut pool = pool(|config| config.max_size = 3);
    let (key, begun) = wait(&mut pool, 0, 60_000);
    let _ = refuse(&mut pool, &begun, 0);
    let (_, again) = fx(|fx| pool.advance(at(10), fx));
    let _ = lose(&mut pool, attempt(&again), 11);
    let _ = fx(|fx| pool.advance(at(11), fx));
    drive(&mut pool, key, 500);
    let (_, next) = wait(&mut pool, 501, 60_000);
    assert!(next.connect.is_empty());
    let (_, due) = fx(|fx| pool.advance(at(510), fx));
    assert_eq!(due.connect.len(), 1);
}
