//! `release`.

use watertight::{Condition, PooledConnection};

use super::{Act, assert_at_least, drop_after_every_poll, fates};
use crate::support::{Lent, Step, World, ok, panics};

/// How a connection comes back, and what becomes of it.
pub(super) struct Ending {
    pub(super) name: String,
    condition: Condition,
    inspect: Step,
    recycle: Step,
    close: Step,
}

impl Ending {
    fn new(condition: Condition, inspect: Step) -> Self {
        Ending {
            name: format!("{condition:?}"),
            condition,
            inspect,
            recycle: ok(),
            close: ok(),
        }
    }

    /// Writes the scripts, and leaves the connection in its condition.
    pub(super) fn prepare(&self, w: &World, conn: &mut Lent) {
        conn.condition = self.condition;
        w.inspects().next([self.inspect.clone()]);
        w.recycles().next([self.recycle.clone()]);
        w.closes().next([self.close.clone()]);
    }
}

/// Clean; dirty, with all that recycling and a close may do; broken or unknown, with all that a
/// close may do: 36 in all.
pub(super) fn endings() -> Vec<Ending> {
    let mut endings = vec![Ending::new(Condition::Clean, ok())];
    for (close_fate, close) in fates() {
        for (inspect_fate, inspect) in [("broken", ok()), ("panic", panics())] {
            endings.push(Ending {
                name: format!("inspect: {inspect_fate}, close: {close_fate}"),
                close: close.clone(),
                ..Ending::new(Condition::Broken, inspect)
            });
        }
        for (recycle_fate, recycle) in fates() {
            endings.push(Ending {
                name: format!("recycle: {recycle_fate}, close: {close_fate}"),
                recycle,
                close: close.clone(),
                ..Ending::new(Condition::Dirty, ok())
            });
        }
    }
    endings
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    SomebodyWaits,
    Closing,
    Shrink,
    Death,
}

/// Guarantee 8. 36 endings x what happens meanwhile, before the first poll or after it: 360
/// situations.
#[test]
fn release_loses_nothing() {
    use Meanwhile::{Closing, Death, Nothing, Shrink, SomebodyWaits};
    let mut cases = 0;
    for ending in endings() {
        for meanwhile in [Nothing, SomebodyWaits, Closing, Shrink, Death] {
            for at in 0..2 {
                cases += drop_after_every_poll(
                    &format!("{}, {meanwhile:?} after {at} polls", ending.name),
                    |set| set.pool(|b| b),
                    |set, pool| {
                        set.others.set(usize::from(meanwhile == SomebodyWaits));
                        let mut conn = set.clock.block_on(pool.acquire()).unwrap();
                        ending.prepare(set.w, &mut conn);
                        let release = PooledConnection::release(conn.into_guard());
                        Act::of(release).and(at, move || match meanwhile {
                            Nothing => {}
                            SomebodyWaits => drop(set.w.acquiring(pool)),
                            Closing => drop(pool.close()),
                            Shrink => pool.resize(0),
                            Death => set.clock.kill(),
                        })
                    },
                );
            }
        }
    }
    assert_at_least(8_400, cases);
}

/// Guarantee 8. Three releases through a queue with room for one, the last of which is dropped:
/// recycle x close: 25 situations.
#[test]
fn release_through_a_full_queue_loses_nothing() {
    let mut cases = 0;
    for (recycle_fate, recycle) in fates() {
        for (close_fate, close) in fates() {
            cases += drop_after_every_poll(
                &format!("recycle: {recycle_fate}, close: {close_fate}"),
                |set| {
                    set.w.recycles().always(recycle.clone());
                    set.w.closes().always(close.clone());
                    set.pool(|b| b.max_size(3).return_queue(1))
                },
                |set, pool| {
                    let mut held = set.clock.block_on(pool.acquire_many(3));
                    for conn in &mut held {
                        conn.condition = Condition::Dirty;
                    }
                    let last = held.pop().unwrap();
                    drop(held.pop());
                    set.clock.settle();
                    drop(held);
                    Act::of(PooledConnection::release(last.into_guard()))
                },
            );
        }
    }
    assert_at_least(570, cases);
}
