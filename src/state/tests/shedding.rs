//! Whom an overloaded pool serves, and whom it turns away.

use super::*;
use crate::config::QueueOrder;
use crate::overload::ControlledDelay;

/// A pool of one connection, which is lent, with a target of 10 ms and intervals of 100.
fn overloaded(queue_order: QueueOrder) -> (Pool, Conn) {
    let mut pool = pool(|config| {
        config.max_size = 1;
        config.queue_order = queue_order;
        config.controlled_delay = Some(ControlledDelay {
            target: Duration::from_millis(10),
            interval: Duration::from_millis(100),
        });
    });
    let live = lent(&mut pool, 1).remove(0);
    (pool, live)
}

/// The same, which has been slow since 200 ms and serves nobody at the moment.
fn slow(queue_order: QueueOrder) -> (Pool, Conn) {
    let (mut pool, mut live) = overloaded(queue_order);
    for (from, until) in [(60, 100), (150, 200)] {
        let (key, _) = wait(&mut pool, from, 10_000);
        let _ = give_back(&mut pool, live, until);
        live = served(&mut pool, key);
    }
    assert!(pool.overload.as_ref().is_some_and(Overload::is_slow));
    (pool, live)
}

fn shed_after(pool: &mut Pool, key: usize) -> Duration {
    match pool.poll_waiter(key, None) {
        Turn::Over(Outcome::Shed { waited }) => waited,
        other => panic!("not turned away but {other:?}"),
    }
}

fn waits_on(pool: &mut Pool, key: usize) -> bool {
    matches!(pool.poll_waiter(key, None), Turn::Wait(_))
}

#[test]
fn only_those_who_have_waited_for_more_than_twice_the_target_are_turned_away() {
    let (mut pool, live) = slow(QueueOrder::Fifo);
    let (long, _) = wait(&mut pool, 200, 10_000);
    let (just, _) = wait(&mut pool, 201, 10_000);
    let (next, _) = wait(&mut pool, 202, 10_000);
    let _ = give_back(&mut pool, live, 221);
    assert_eq!(shed_after(&mut pool, long), Duration::from_millis(21));
    assert_eq!(served(&mut pool, just).connection, 1);
    assert!(waits_on(&mut pool, next));
    assert_eq!(pool.statistics().rejections.shed, 1);
}

#[test]
fn those_who_are_late_are_told_so_and_not_turned_away() {
    for slow_one in [false, true] {
        let (mut pool, live) = match slow_one {
            true => slow(QueueOrder::Fifo),
            false => overloaded(QueueOrder::Fifo),
        };
        let (late, _) = wait(&mut pool, 201, 240);
        let (next, _) = wait(&mut pool, 230, 10_000);
        let _ = give_back(&mut pool, live, 240);
        let turn = pool.poll_waiter(late, None);
        assert!(matches!(turn, Turn::Over(Outcome::Late { .. })), "{turn:?}");
        assert_eq!(served(&mut pool, next).connection, 1);
        assert_eq!(pool.statistics().rejections.shed, 0);
    }
}

#[test]
fn a_pool_that_is_not_slow_turns_nobody_away_and_serves_the_first() {
    let (mut pool, live) = overloaded(QueueOrder::AdaptiveLifo);
    let (first, _) = wait(&mut pool, 0, 10_000);
    let (second, _) = wait(&mut pool, 50, 10_000);
    let _ = give_back(&mut pool, live, 60);
    assert_eq!(served(&mut pool, first).connection, 1);
    assert!(waits_on(&mut pool, second));
}

#[test]
fn a_slow_pool_serves_the_last_to_come_only_where_that_is_asked_for() {
    for order in [QueueOrder::Fifo, QueueOrder::AdaptiveLifo] {
        let (mut pool, live) = slow(order);
        let (first, _) = wait(&mut pool, 210, 10_000);
        let (last, _) = wait(&mut pool, 215, 10_000);
        let _ = give_back(&mut pool, live, 220);
        let (next, other) = match order {
            QueueOrder::Fifo => (first, last),
            QueueOrder::AdaptiveLifo => (last, first),
        };
        assert_eq!(served(&mut pool, next).connection, 1, "{order:?}");
        assert!(waits_on(&mut pool, other), "{order:?}");
    }
}

#[test]
fn the_wait_of_the_first_counts_though_the_last_is_served() {
    let (mut pool, live) = slow(QueueOrder::AdaptiveLifo);
    let (first, _) = wait(&mut pool, 280, 10_000);
    let (last, _) = wait(&mut pool, 299, 10_000);
    let _ = give_back(&mut pool, live, 300);
    let live = served(&mut pool, last);
    assert!(waits_on(&mut pool, first));
    let (again, _) = wait(&mut pool, 395, 10_000);
    let _ = give_back(&mut pool, live, 401);
    assert_eq!(
        served(&mut pool, again).connection,
        1,
        "slow, for the first waited for 20 ms"
    );
}

#[test]
fn the_timer_turns_away_when_nothing_comes_free() {
    let (mut pool, _live) = overloaded(QueueOrder::Fifo);
    assert_eq!(fx(|fx| pool.keep(at(0), fx)).0, Moment::NEVER);
    let (key, joined) = wait(&mut pool, 1, 10_000);
    assert!(joined.nudge && pool.keeper_until == at(100));
    assert_eq!(fx(|fx| pool.keep(at(99), fx)).0, at(100));
    for (now, due) in [(100, 200), (200, 300)] {
        assert_eq!(fx(|fx| pool.keep(at(now), fx)).0, at(due));
        assert!(waits_on(&mut pool, key), "{now}");
    }
    let (due, turned_away) = fx(|fx| pool.keep(at(300), fx));
    assert_eq!(due, Moment::NEVER);
    assert!(turned_away.wake.is_some());
    assert_eq!(shed_after(&mut pool, key), Duration::from_millis(299));
}

#[test]
fn a_paused_pool_turns_nobody_away() {
    let (mut pool, _live) = overloaded(QueueOrder::Fifo);
    let (key, _) = wait(&mut pool, 0, 10_000);
    let _ = fx(|fx| pool.pause(at(1), fx));
    for now in [100, 200, 300, 400] {
        let (due, _) = fx(|fx| pool.keep(at(now), fx));
        assert_eq!(due, Moment::NEVER, "the timer stands still");
    }
    assert!(waits_on(&mut pool, key));
    let _ = fx(|fx| pool.resume(at(410), fx));
    assert!(
        waits_on(&mut pool, key),
        "the pause was not the load's doing"
    );
    assert!(pool.keeper_until <= at(410), "and the timer goes on");
}

/// With a target that is longer than an interval, one might be turned away so soon.
#[test]
fn what_somebody_has_waited_in_a_pause_is_not_counted_after_it() {
    let (mut pool, _live) = overloaded(QueueOrder::Fifo);
    pool.overload = Some(Overload::new(ControlledDelay {
        target: Duration::from_millis(50),
        interval: Duration::from_millis(10),
    }));
    let (key, _) = wait(&mut pool, 0, 10_000);
    let _ = fx(|fx| pool.pause(at(1), fx));
    let _ = fx(|fx| pool.resume(at(1000), fx));
    for now in (1010..=1100).step_by(10) {
        let _ = fx(|fx| pool.keep(at(now), fx));
        assert!(waits_on(&mut pool, key), "{now}");
    }
    let _ = fx(|fx| pool.keep(at(1110), fx));
    let waited = shed_after(&mut pool, key);
    assert_eq!(waited, Duration::from_millis(1110), "he is told all of it");
}

/// It was not given back, so the count of returns says nothing of it.
#[test]
fn a_connection_that_was_set_aside_and_becomes_idle_ends_the_overload() {
    let (mut pool, _) = overloaded(QueueOrder::Fifo);
    pool.config.max_size = 3;
    let mut held = lent(&mut pool, 2);
    let _ = give_back(&mut pool, held.remove(0), 1);
    let id = pool.idle[0].id();
    let aside = pool.borrow_idle(id).expect("it is idle");
    let (waiter, _) = wait(&mut pool, 60, 10_000);
    let _ = give_back(&mut pool, held.remove(0), 100);
    let served_late = served(&mut pool, waiter);
    let (rejected, _) = fx(|fx| pool.passed(aside, Stage::Checking(None), false, at(110), fx));
    assert!(rejected.is_none());
    let (lend, _) = fx(|fx| pool.lend_at(at(120), true, fx));
    assert!(matches!(lend, Lend::Connection(_)), "{lend:?}");
    let _ = wait(&mut pool, 150, 10_000);
    let _ = give_back(&mut pool, served_late, 200);
    assert!(pool.overload.as_ref().is_some_and(|it| !it.is_slow()));
}
