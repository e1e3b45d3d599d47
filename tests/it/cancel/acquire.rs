//! `acquire` and `acquire_timeout`.

use std::task::{Context, Poll, Waker};

use watertight::{CheckPolicy, ConnectPolicy};

use super::{Act, PATIENCE, Verb, assert_at_least, drop_after_every_poll, fates};
use crate::support::{LawPool, Lent, World};

/// Both verbs, with a deadline that they reach if all else fails.
const VERBS: [Verb; 2] = [
    ("acquire", |pool| {
        Act::of(async { drop(pool.acquire().await) })
    }),
    ("acquire_timeout", |pool| {
        Act::of(async { drop(pool.acquire_timeout(PATIENCE).await) })
    }),
];

/// Guarantee 8. Two verbs x two policies x first connect x second connect: 100 situations.
#[test]
fn acquire_that_connects_loses_nothing() {
    let mut cases = 0;
    for (verb, begin) in VERBS {
        for fails_fast in [false, true] {
            for (first_fate, first) in fates() {
                for (second_fate, second) in fates() {
                    cases += drop_after_every_poll(
                        &format!("{verb}, connects: {first_fate}, {second_fate}, {fails_fast}"),
                        |set| {
                            set.w.connects().next([first.clone(), second.clone()]);
                            set.pool(|b| match fails_fast {
                                true => b.connect_policy(ConnectPolicy::FailFast),
                                false => b,
                            })
                        },
                        |_, pool| begin(pool),
                    );
                }
            }
        }
    }
    assert_at_least(3_000, cases);
}

/// Guarantee 8. Check x close x connect, for one idle connection in the only place: 125 situations.
#[test]
fn acquire_that_checks_loses_nothing() {
    let mut cases = 0;
    for (check_fate, check) in fates() {
        for (close_fate, close) in fates() {
            for (connect_fate, connect) in fates() {
                cases += drop_after_every_poll(
                    &format!("check: {check_fate}, close: {close_fate}, connect: {connect_fate}"),
                    |set| {
                        let pool = set.idle_pool(1, |b| b.check_policy(CheckPolicy::Always));
                        set.w.checks().next([check.clone()]);
                        set.w.closes().next([close.clone()]);
                        set.w.connects().next([connect.clone()]);
                        pool
                    },
                    |_, pool| VERBS[0].1(pool),
                );
            }
        }
    }
    assert_at_least(4_600, cases);
}

/// Guarantee 8. Check x check, for two idle connections.
#[test]
fn acquire_that_checks_twice_loses_nothing() {
    let mut cases = 0;
    for (first_fate, first) in fates() {
        for (second_fate, second) in fates() {
            cases += drop_after_every_poll(
                &format!("checks: {first_fate}, {second_fate}"),
                |set| {
                    let pool = set.idle_pool(2, |b| b.check_policy(CheckPolicy::Always));
                    set.w.checks().next([first.clone(), second.clone()]);
                    pool
                },
                |_, pool| VERBS[1].1(pool),
            );
        }
    }
    assert_at_least(740, cases);
}

/// Guarantee 8. What `inspect` finds x recycle x close, where they follow: 36 situations, the
/// return before the first poll, after it, or one later.
#[test]
fn acquire_that_waits_for_a_return_loses_nothing() {
    let mut cases = 0;
    for ending in super::giving_back::endings() {
        for returned_at in 0..3 {
            cases += drop_after_every_poll(
                &format!("{}, returned after {returned_at} polls", ending.name),
                |set| set.idle_pool(1, |b| b),
                |set, pool| {
                    let mut conn = set.clock.block_on(pool.acquire()).unwrap();
                    ending.prepare(set.w, &mut conn);
                    VERBS[0].1(pool).and(returned_at, move || drop(conn))
                },
            );
        }
    }
    assert_at_least(3_200, cases);
}

/// Something that befalls a pool, and what becomes of its only connection.
type Event = (&'static str, fn(&World, &LawPool, Lent));

/// What may happen while somebody waits.
const EVENTS: [Event; 7] = [
    ("discard", |_, _, conn| conn.discard()),
    ("detach", |_, _, conn| drop(conn.detach())),
    ("growth", |_, pool, conn| {
        pool.resize(2);
        drop(conn);
    }),
    ("growth and shrink", |_, pool, conn| {
        pool.resize(3);
        pool.resize(1);
        drop(conn);
    }),
    ("size zero for a while", |_, pool, conn| {
        pool.resize(0);
        drop(conn);
        pool.resize(1);
    }),
    ("a fresh one", |w, pool, conn| {
        drop(conn.detach());
        drop(pool.adopt(w.connection_from_elsewhere()));
    }),
    ("the closing", |_, pool, conn| {
        drop(pool.close());
        drop(conn);
    }),
];

/// Guarantee 8. Seven events x close x connect: 175 situations, at two times each.
#[test]
fn acquire_that_something_happens_to_loses_nothing() {
    let mut cases = 0;
    for (name, event) in EVENTS {
        for (close_fate, close) in fates() {
            for (connect_fate, connect) in fates() {
                for at in 1..3 {
                    cases += drop_after_every_poll(
                        &format!("{name} after {at}, close: {close_fate}, connect: {connect_fate}"),
                        |set| set.idle_pool(1, |b| b),
                        |set, pool| {
                            let conn = set.clock.block_on(pool.acquire()).unwrap();
                            set.w.closes().next([close.clone()]);
                            set.w.connects().next([connect.clone()]);
                            VERBS[0].1(pool).and(at, move || event(set.w, pool, conn))
                        },
                    );
                }
            }
        }
    }
    assert_at_least(9_800, cases);
}

/// Guarantees 8 and 11. Check or connect, as it may be, on a runtime that drops its tasks before
/// the first poll, after it, or one, two or three later: 50 situations.
#[test]
fn acquire_on_a_runtime_that_dies_loses_nothing() {
    let mut cases = 0;
    for (fate, step) in fates() {
        for dies_at in 0..5 {
            for checks in [false, true] {
                cases += drop_after_every_poll(
                    &format!("{fate}, dead after {dies_at} polls, checks: {checks}"),
                    |set| {
                        let pool = match checks {
                            true => set.idle_pool(2, |b| b.check_policy(CheckPolicy::Always)),
                            false => set.pool(|b| b),
                        };
                        set.w.checks().always(step.clone());
                        set.w.connects().always(step.clone());
                        pool
                    },
                    |set, pool| VERBS[0].1(pool).and(dies_at, || set.clock.kill()),
                );
            }
        }
    }
    assert_at_least(2_800, cases);
}

/// Guarantee 8. One waits before it and one behind: whichever of the two is there, they get what
/// it leaves. Connect x what became of the first: 10 situations.
#[test]
fn acquire_in_the_middle_of_a_queue_loses_nothing() {
    let mut cases = 0;
    for (fate, step) in fates() {
        for first_goes in [false, true] {
            cases += drop_after_every_poll(
                &format!("connect: {fate}, the first goes: {first_goes}"),
                |set| {
                    set.w.connects().next([step.clone()]);
                    set.pool(|b| b.max_size(1))
                },
                |set, pool| {
                    set.others.set(2);
                    // Too patient to be told that they are late.
                    let first = set.w.acquiring_within(pool, 6000);
                    set.clock.settle();
                    // It begins after the first poll of the one in the middle.
                    drop(set.w.acquiring_within(pool, 6000));
                    VERBS[1].1(pool).and(2, move || match first_goes {
                        true => drop(set.w.spawn(first.abort())),
                        false => drop(first),
                    })
                },
            );
        }
    }
    assert_at_least(270, cases);
}

/// Law 26, by brute force: a hand-off to one who goes away is passed on, wherever the two meet.
#[test]
fn every_pair_of_cancel_and_return_serves_the_survivor() {
    for (first_polls, second_polls, returned_at) in
        (0..3).flat_map(|a| (0..3).flat_map(move |b| (0..3).map(move |c| (a, b, c))))
    {
        World::by_hand(|w, runtime| {
            let pool = w.pool(|b| b.max_size(1));
            let mut held = Some(runtime.block_on(pool.acquire()).unwrap());
            let mut cx = Context::from_waker(Waker::noop());
            let mut first = Box::pin(pool.acquire());
            let mut second = Box::pin(pool.acquire());
            let mut survivor = None;
            for round in 0..3 {
                let gone = round < first_polls && first.as_mut().poll(&mut cx).is_ready();
                if round == returned_at {
                    drop(held.take());
                }
                if round < second_polls && survivor.is_none() {
                    if let Poll::Ready(conn) = second.as_mut().poll(&mut cx) {
                        survivor = Some(conn);
                    }
                }
                if gone {
                    break;
                }
            }
            drop((first, held));
            let conn = survivor.unwrap_or_else(|| runtime.block_on(second));
            drop(conn.unwrap());
            assert_eq!(w.connects().calls(), 1, "nothing had to be made anew");
        });
    }
}
