//! The hot path: what is lent and taken back without a look at the clock, and what is not.

use super::*;

/// The keeper ticks, and so there is credit.
fn with_credit(mut pool: Pool) -> Pool {
    for _ in 0..8 {
        pool.clock.read(at(1));
    }
    let _ = fx(|fx| pool.keep(at(1), fx));
    assert!(pool.clock.spend());
    pool
}

/// A pool with credit, so many lent and so many idle connections, of so many places.
fn busy(
    places: usize,
    lent_ones: u32,
    idle: usize,
    change: impl FnOnce(&mut Config),
) -> (Pool, Vec<Conn>) {
    let mut pool = pool(|config| config.max_size = places);
    let mut held = lent(&mut pool, lent_ones);
    for _ in 0..idle {
        let _ = give_back(&mut pool, held.remove(0), 0);
    }
    change(&mut pool.config);
    (with_credit(pool), held)
}

#[test]
fn loans_and_uses_are_counted_on_the_short_way_too() {
    let (mut pool, held) = busy(1, 1, 1, |_| ());
    drop(held);
    let before = pool.statistics().acquires;
    for uses in 2..5 {
        let live = pool.lend().expect("it is idle");
        assert_eq!((live.uses, pool.stages.lent), (uses, 1));
        assert!(pool.put_back(live).is_ok());
        assert_eq!((pool.stages.lent, pool.idle.len()), (0, 1));
    }
    assert_eq!(pool.statistics().acquires, before + 3);
}

#[test]
fn those_who_only_borrow_are_traffic_as_well() {
    let mut pool = pool(|config| config.max_size = 9);
    for live in lent(&mut pool, 9) {
        let _ = give_back(&mut pool, live, 0);
    }
    for ms in [3000, 5000] {
        let _ = fx(|fx| pool.keep(at(ms), fx));
    }
    assert!(pool.lend().is_none(), "it was quiet");
    for ms in 5001..5009 {
        let (lend, _) = fx(|fx| pool.lend_at(at(ms), true, fx));
        assert!(matches!(lend, Lend::Connection(_)));
    }
    assert!(pool.lend().is_some());
}

#[test]
fn the_last_ones_of_min_idle_are_not_lent_the_short_way_while_there_is_room_for_more() {
    // Places, lent, idle, at least idle: is one lent?
    for (places, lent_ones, idle, min_idle, lends) in [
        (4, 0, 1, 0, true),
        (4, 0, 2, 1, true),
        (4, 1, 1, 1, false),
        (2, 1, 1, 1, true),
        (3, 1, 1, 1, false),
    ] {
        let all = lent_ones + idle as u32;
        let (mut pool, held) = busy(places, all, idle, |config| config.min_idle = min_idle);
        assert_eq!(held.len(), lent_ones as usize);
        let case = (places, lent_ones, idle, min_idle);
        assert_eq!(pool.lend().is_some(), lends, "{case:?}");
    }
}

#[test]
fn nothing_is_lent_the_short_way_if_it_is_barred() {
    let (mut pool, _held) = busy(2, 1, 1, |_| ());
    let _ = fx(|fx| pool.pause(at(1), fx));
    assert!(pool.lend().is_none());
    let _ = fx(|fx| pool.resume(at(1), fx));
    assert!(pool.lend().is_some());
}

#[test]
fn what_nothing_stands_in_the_way_of_is_taken_back_the_short_way() {
    let (mut pool, mut held) = busy(3, 3, 0, |config| {
        config.max_uses = Some(5);
        config.max_idle = Some(3);
    });
    for live in held.drain(..) {
        assert!(pool.put_back(live).is_ok());
    }
    let turns: Vec<_> = pool.idle.iter().map(|live| live.turn).collect();
    assert!(turns.windows(2).all(|two| two[0] < two[1]), "{turns:?}");
}

#[test]
fn what_something_stands_in_the_way_of_is_not_taken_back_the_short_way() {
    type Obstacle = fn(&mut Pool, &mut Conn);
    let obstacles: [(&str, Obstacle); 10] = [
        ("a pause", |pool, _| {
            let _ = fx(|fx| pool.pause(at(1), fx));
        }),
        ("no credit", |pool, _| {
            let _ = fx(|fx| pool.keeper_gone(fx));
        }),
        ("its age", |pool, live| {
            live.expires_at = pool.clock.latest();
        }),
        ("its uses", |_, live| live.uses = 5),
        ("a shrink", |pool, _| {
            let _ = fx(|fx| pool.resize(1, at(1), fx));
        }),
        ("enough idle ones", |pool, _| {
            pool.config.max_idle = Some(0);
        }),
        ("somebody who fills the pool", |pool, _| {
            let _ = fx(|fx| pool.begin_fill(at(1), fx));
        }),
        ("somebody who waits", |pool, _| {
            let _ = wait(pool, 1, 1000);
        }),
        ("its last loan", |_, live| live.retire()),
        ("the end", |pool, _| {
            let _ = fx(|fx| pool.close(fx));
        }),
    ];
    for (name, obstacle) in obstacles {
        let (mut pool, mut held) = busy(2, 2, 0, |config| config.max_uses = Some(5));
        let mut live = held.remove(0);
        obstacle(&mut pool, &mut live);
        assert!(pool.put_back(live).is_err(), "{name}");
    }
}

#[test]
fn what_comes_back_the_short_way_is_as_young_as_coarse_time_can_tell() {
    let (mut pool, mut held) = busy(1, 1, 0, |_| ());
    assert!(pool.put_back(held.remove(0)).is_ok());
    let live = &pool.idle[0];
    let latest = pool.clock.latest();
    assert_eq!((live.idle_since, live.fit_at), (latest, latest));
    assert!(latest > at(1));
}

#[test]
fn the_order_of_the_idle_ones_is_heeded_on_the_short_way() {
    for (order, first) in [(IdleOrder::Lifo, 3), (IdleOrder::Fifo, 1)] {
        let (mut pool, _) = busy(3, 3, 3, |config| config.idle_order = order);
        let live = pool.lend().expect("three are idle");
        assert_eq!(live.connection, first);
        let (lend, _) = fx(|fx| pool.lend_at(at(2), true, fx));
        let Lend::Connection(live) = lend else {
            panic!("two are idle");
        };
        assert_eq!(live.connection, 2);
    }
}

#[test]
fn those_who_only_give_back_are_traffic_as_well() {
    let mut pool = pool(|config| config.max_size = 9);
    let mut held = lent(&mut pool, 9);
    for ms in [3000, 5000] {
        let _ = fx(|fx| pool.keep(at(ms), fx));
    }
    let last = held.remove(0);
    for (ms, live) in (5001..).zip(held) {
        let _ = give_back(&mut pool, live, ms);
    }
    assert!(pool.put_back(last).is_ok());
}

#[test]
fn the_order_of_the_idle_ones_is_that_of_their_last_return() {
    let mut pool = pool(|config| config.max_size = 3);
    let mut held = lent(&mut pool, 3);
    for (index, ms) in [(1, 10), (1, 20), (0, 30)] {
        let _ = give_back(&mut pool, held.remove(index), ms);
    }
    let order: Vec<_> = pool.idle.iter().map(|live| live.connection).collect();
    assert_eq!(order, [2, 3, 1]);
}

#[test]
fn what_was_lent_for_the_last_time_is_handed_on_to_nobody() {
    let mut pool = pool(|config| config.max_size = 1);
    let mut live = lent(&mut pool, 1).remove(0);
    let (key, _) = wait(&mut pool, 1, 1000);
    live.retire();
    let (returned, _) = fx(|fx| pool.returned(live, Verdict::Clean, at(2), fx));
    let discarded = matches!(returned, Returned::Close(_, CloseReason::Discarded));
    assert!(discarded, "{returned:?}");
    assert!(matches!(pool.poll_waiter(key, None), Turn::Wait(_)));
}

#[test]
fn those_that_were_made_have_their_turns_before_what_comes_back_later() {
    let mut pool = pool(|config| config.max_size = 3);
    let live = lent(&mut pool, 1).remove(0);
    for connection in [2, 3] {
        let (adopted, _) = fx(|fx| pool.adopt(connection, at(1), fx));
        assert!(adopted.is_ok());
    }
    let _ = give_back(&mut pool, live, 2);
    let order: Vec<_> = pool.idle.iter().map(|live| live.connection).collect();
    assert_eq!(order, [2, 3, 1]);
}

/// Joins the queue. True if there is something to look for before the wait.
fn is_busy(pool: &mut Pool) -> bool {
    let (joined, _) = fx(|fx| pool.join(at(1), at(1000), &mut waker(), fx));
    match joined {
        Join::Queued { busy, .. } => busy,
        other => panic!("not queued but {other:?}"),
    }
}

#[test]
fn whoever_comes_or_goes_takes_the_short_way_only_while_no_attempt_is_under_way() {
    let mut pool = pool(|_| {});
    let _live = lent(&mut pool, 1);
    let (first, begun) = wait(&mut pool, 0, 1000);
    assert_eq!((pool.free(), begun.connect.len()), (0, 1));
    assert!(is_busy(&mut pool), "the attempt may hang");
    assert!(pool.quit(first).is_none());
    let _ = connect(&mut pool, &begun, 2, 1);
    let _second = served(&mut pool, first);
    assert!(!is_busy(&mut pool), "nothing but a return will serve it");
    let (last, _) = wait(&mut pool, 1, 1000);
    assert!(pool.quit(last).is_some());
}
