//! `close`, `close_within` and `closed`.

use std::time::Duration;

use watertight::{CheckPolicy, Condition};

use super::{Act, LIMIT, Set, TICK, Verb, assert_at_least, drop_after_every_poll, fates};
use crate::support::{LawPool, Lent, Step, ok};

/// What is under way when closing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnderWay {
    Nothing,
    Connect,
    Check,
    Recycle,
}

/// A pool of three: an idle connection, one that is lent, and a place where this is under way.
fn set_up(set: &Set<'_>, under_way: UnderWay, step: &Step) -> (LawPool, Lent) {
    let w = set.w;
    let pool = set.pool(|b| b.max_size(3).check_policy(CheckPolicy::Always));
    let wanted = match under_way {
        UnderWay::Connect => 2,
        _ => 3,
    };
    let mut held = set.clock.block_on(pool.acquire_many(wanted));
    let lent = held.pop().unwrap();
    match under_way {
        UnderWay::Nothing => {}
        UnderWay::Connect => {
            w.connects().next([step.clone()]);
            drop(w.acquiring(&pool));
        }
        UnderWay::Check => {
            w.checks().next([step.clone()]);
            drop(held.pop());
            drop(w.acquiring(&pool));
        }
        UnderWay::Recycle => {
            w.recycles().next([step.clone()]);
            held[0].condition = Condition::Dirty;
            drop(held.remove(0));
        }
    }
    set.clock.settle();
    drop(held);
    (pool, lent)
}

/// The verbs, the second with a grace period that ends first, the third with one that does not.
const VERBS: [Verb; 3] = [
    ("close", |pool| Act::of(pool.close())),
    ("close_within, short", |pool| close_within(pool, TICK)),
    ("close_within, long", |pool| close_within(pool, 100 * LIMIT)),
];

fn close_within(pool: &LawPool, grace: Duration) -> Act<'_> {
    Act::of(async move {
        pool.close_within(grace).await;
    })
}

/// Guarantees 8 and 9. Three verbs x what is under way and how it ends x close: 240 situations. The
/// lent connection comes back after two polls.
#[test]
fn close_goes_on_without_its_caller() {
    use UnderWay::{Check, Connect, Nothing, Recycle};
    let mut cases = 0;
    let mut situations = vec![(Nothing, "", ok())];
    for under_way in [Connect, Check, Recycle] {
        situations.extend(fates().map(|(fate, step)| (under_way, fate, step)));
    }
    for (verb, begin) in VERBS {
        for (under_way, fate, step) in &situations {
            for (close_fate, close) in fates() {
                let lent = std::cell::Cell::new(None);
                cases += drop_after_every_poll(
                    &format!("{verb}, {under_way:?}: {fate}, close: {close_fate}"),
                    |set| {
                        let (pool, conn) = set_up(set, *under_way, step);
                        lent.set(Some(conn));
                        set.w.closes().always(close.clone());
                        pool
                    },
                    |_, pool| {
                        let conn = lent.take();
                        begin(pool).and(2, move || {
                            drop(conn);
                            // It begins at the first poll of `close_within`'s caller at the latest.
                            drop(pool.close());
                        })
                    },
                );
            }
        }
    }
    assert_at_least(7_500, cases);
}

/// Guarantees 8, 9 and 11. Close, on a runtime that dies before the first poll, after it, or one
/// later.
#[test]
fn close_on_a_runtime_that_dies_goes_on_without_its_caller() {
    let mut cases = 0;
    for (fate, step) in fates() {
        for dies_at in 0..3 {
            cases += drop_after_every_poll(
                &format!("close: {fate}, dead after {dies_at} polls"),
                |set| {
                    let pool = set.idle_pool(2, |b| b);
                    set.w.closes().always(step.clone());
                    pool
                },
                |set, pool| VERBS[0].1(pool).and(dies_at, || set.clock.kill()),
            );
        }
    }
    assert_at_least(200, cases);
}

/// Guarantee 8. `closed`, of a pool that is closed, or whose last handle is dropped, before the
/// first poll, after it, or one or two later; the runtime may be dead by then. 16 situations.
#[test]
fn closed_leaves_nothing_behind() {
    let mut cases = 0;
    for drops_the_handle in [false, true] {
        for is_dead in [false, true] {
            for at in 0..4 {
                cases += drop_after_every_poll(
                    &format!("handle: {drops_the_handle}, dead: {is_dead}, after {at} polls"),
                    |set| set.idle_pool(1, |b| b),
                    |set, _| {
                        let pool = set.w.lone_pool(|b| set.limits(b));
                        drop(set.clock.block_on(pool.acquire()).unwrap());
                        Act::of(pool.closed()).and(at, move || {
                            if is_dead {
                                set.clock.kill();
                            }
                            match drops_the_handle {
                                true => drop(pool),
                                false => drop(pool.close()),
                            }
                        })
                    },
                );
            }
        }
    }
    assert_at_least(260, cases);
}
