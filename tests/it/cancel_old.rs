//! Cancellation, systematically: every future of the public API is dropped after each of its
//! polls, in every situation that it can be in, and the ledger is checked each time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use watertight::{Backoff, CheckPolicy, Condition, ConnectPolicy, PooledConnection};

use crate::support::{LawPool, Step, Virtual, World, err, hang, ok, panics};

type Cancelled<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// How a call of the manager's may go.
fn fates() -> [(&'static str, Step); 5] {
    let soon = Duration::from_millis(3);
    [
        ("ok", ok()),
        ("ok, later", ok().after(soon)),
        ("error, later", err().after(soon)),
        ("panic, later", panics().after(soon)),
        ("hang", hang()),
    ]
}

/// Drops `make`'s future after 0, 1, 2, ... polls until it completes, each time in a world of its
/// own. Between two polls the world moves on by a millisecond.
fn drop_after_every_poll(
    name: &str,
    set: impl Fn(&World, &Virtual) -> LawPool,
    make: impl for<'a> Fn(&'a World, &'a Virtual, &'a LawPool) -> Cancelled<'a>,
) {
    const MOST: usize = 200;
    for polls in 0..=MOST {
        let mut completed = false;
        World::by_hand(|w, runtime| {
            let pool = set(w, runtime);
            let mut future = make(w, runtime, &pool);
            for _ in 0..polls {
                // A fresh waker every time: nobody may rely on the first.
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(()) = future.as_mut().poll(&mut cx) {
                    completed = true;
                    break;
                }
                runtime.advance(Duration::from_millis(1));
            }
            drop(future);
            full_capacity_is_left(w, runtime, &pool, name, polls);
        });
        if completed {
            return;
        }
    }
    panic!("{name}: not complete after {MOST} polls");
}

/// Whatever was dropped, all places can still be had, within the time-outs.
fn full_capacity_is_left(w: &World, runtime: &Virtual, pool: &LawPool, name: &str, polls: usize) {
    for script in [w.connects(), w.checks(), w.recycles(), w.closes()] {
        script.forget();
    }
    runtime.settle();
    assert_eq!(pool.status().waiting, 0, "{name} after {polls} polls");
    if pool.is_closed() {
        return;
    }
    let max = pool.status().max_size;
    let held = runtime.block_on(pool.acquire_many(max));
    assert_eq!(held.len(), max, "{name} after {polls} polls");
}

fn pool(w: &World, always_check: bool) -> LawPool {
    let limit = Duration::from_millis(20);
    w.pool(|b| {
        b.max_size(2)
            .connect_timeout(limit)
            .check_timeout(limit)
            .recycle_timeout(limit)
            .close_timeout(limit)
            .connect_policy(ConnectPolicy::Retry(Backoff::new(limit / 10, limit)))
            .check_policy(match always_check {
                true => CheckPolicy::Always,
                false => CheckPolicy::Never,
            })
    })
}

/// One acquire, with a deadline that it reaches if all else fails.
fn acquire(pool: &LawPool) -> Cancelled<'_> {
    Box::pin(async {
        drop(pool.acquire_timeout(Duration::from_millis(60)).await);
    })
}

/// Guarantee 8.
#[test]
fn acquire_dropped_while_it_connects_loses_nothing() {
    for (fate, step) in fates() {
        drop_after_every_poll(
            fate,
            |w, _| {
                w.connects().always(step.clone());
                pool(w, false)
            },
            |_, _, pool| acquire(pool),
        );
    }
}

#[test]
fn acquire_dropped_while_it_checks_loses_nothing() {
    for (fate, step) in fates() {
        for (close_fate, close) in fates() {
            drop_after_every_poll(
                &format!("check: {fate}, close: {close_fate}"),
                |w, runtime| {
                    let pool = pool(w, true);
                    drop(runtime.block_on(pool.acquire_many(2)));
                    w.checks().always(step.clone());
                    w.closes().always(close.clone());
                    pool
                },
                |_, _, pool| acquire(pool),
            );
        }
    }
}

#[test]
fn acquire_dropped_while_it_waits_for_a_return_loses_nothing() {
    for (fate, step) in fates() {
        for condition in [Condition::Clean, Condition::Dirty, Condition::Broken] {
            drop_after_every_poll(
                &format!("{condition:?}, recycle: {fate}"),
                |w, _| {
                    w.recycles().always(step.clone());
                    pool(w, false)
                },
                |_, runtime, pool| {
                    let mut held = runtime.block_on(pool.acquire_many(2));
                    let mut acquire = acquire(pool);
                    let mut polls = 0;
                    Box::pin(std::future::poll_fn(move |cx| {
                        polls += 1;
                        if let (3, Some(mut conn)) = (polls, held.pop()) {
                            conn.condition = condition;
                        }
                        acquire.as_mut().poll(cx)
                    }))
                },
            );
        }
    }
}

#[test]
fn acquire_dropped_on_a_runtime_that_drops_its_tasks_loses_nothing() {
    for (fate, step) in fates() {
        for dies_at in 0..4 {
            drop_after_every_poll(
                &format!("connect: {fate}, dead after {dies_at} polls"),
                |w, _| {
                    w.connects().always(step.clone());
                    pool(w, false)
                },
                |_, runtime, pool| {
                    let mut acquire = acquire(pool);
                    let mut polls = 0;
                    Box::pin(std::future::poll_fn(move |cx| {
                        if polls == dies_at {
                            runtime.kill();
                        }
                        polls += 1;
                        acquire.as_mut().poll(cx)
                    }))
                },
            );
        }
    }
}

#[test]
fn release_dropped_while_it_recycles_loses_nothing() {
    for (fate, step) in fates() {
        for condition in [Condition::Clean, Condition::Dirty, Condition::Broken] {
            drop_after_every_poll(
                &format!("{condition:?}, {fate}"),
                |w, _| {
                    w.recycles().always(step.clone());
                    w.closes().always(step.clone());
                    pool(w, false)
                },
                |_, runtime, pool| {
                    let mut conn = runtime.block_on(pool.acquire()).unwrap();
                    conn.condition = condition;
                    Box::pin(PooledConnection::release(conn.into_guard()))
                },
            );
        }
    }
}

#[test]
fn fill_dropped_while_it_connects_loses_nothing() {
    for (fate, step) in fates() {
        drop_after_every_poll(
            fate,
            |w, _| {
                w.connects().always(step.clone());
                w.pool(|b| {
                    b.max_size(2)
                        .min_idle(2)
                        .connect_timeout(Duration::from_millis(20))
                })
            },
            |_, _, pool| Box::pin(async { drop(pool.fill().await) }),
        );
    }
}

#[test]
fn close_dropped_while_it_waits_goes_on_closing() {
    for (fate, step) in fates() {
        let set = |w: &World, runtime: &Virtual| {
            let pool = pool(w, false);
            drop(runtime.block_on(pool.acquire_many(2)));
            w.closes().always(step.clone());
            pool
        };
        drop_after_every_poll(fate, set, |_, _, pool| Box::pin(pool.close()));
        drop_after_every_poll(fate, set, |_, _, pool| {
            Box::pin(async {
                pool.close_within(Duration::from_millis(4)).await;
            })
        });
    }
}

#[test]
fn closed_dropped_while_it_waits_leaves_nothing_behind() {
    drop_after_every_poll(
        "closed",
        |w, _| pool(w, false),
        |_, _, pool| {
            let closed = pool.closed();
            let mut closed = Box::pin(closed);
            let mut polls = 0;
            Box::pin(std::future::poll_fn(move |cx| {
                polls += 1;
                if polls == 4 {
                    drop(pool.close());
                }
                closed.as_mut().poll(cx)
            }))
        },
    );
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
