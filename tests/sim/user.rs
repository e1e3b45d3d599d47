//! A user of the pool, who does what the plan says.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;

use futures_lite::future::or;
use watertight::{Condition, IdleOrder, PooledConnection, VirtualRuntime};

use crate::coverage::{saw, saw_variant};
use crate::model::Model;
use crate::plan::{Cancel, End, Keep, Mood, Ms, Op, ms};
use crate::run::Report;
use crate::support::{LawPool, Lent, World};
use crate::watched::Watched;

/// What all users share.
pub(crate) struct Stage<'a> {
    pub(crate) world: &'a World,
    pub(crate) runtime: &'a VirtualRuntime,
    pub(crate) model: &'a Model,
    pub(crate) chance: RefCell<fastrand::Rng>,
    /// Loans that never come back, as far as the pool can tell.
    pub(crate) leaked: RefCell<Vec<Lent>>,
    /// Waiters that are neither polled nor dropped.
    pub(crate) forgotten: RefCell<Vec<Watched<'a>>>,
    /// Users may come late.
    pub(crate) stalls: bool,
    /// What has happened, if somebody wants to read it.
    pub(crate) trace: Option<&'a RefCell<Report>>,
}

/// Longer than anything that ends.
const FOR_EVER: Ms = 20_000;

impl<'a> Stage<'a> {
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            let line = format!("{:>9.3?}  {}", self.runtime.elapsed(), what());
            trace.borrow_mut().trace.push(line);
        }
    }

    /// Does all that a user is to do, in order. The user's handle goes with him.
    pub(crate) async fn live(&self, name: usize, pool: LawPool, ops: &[Op]) {
        for op in ops {
            self.note(|| format!("user {name}: {op:?}"));
            self.act(name, &pool, op).await;
        }
        self.note(|| format!("user {name}: leaves"));
    }

    async fn act(&self, name: usize, pool: &LawPool, op: &Op) {
        saw_variant("op", op);
        match *op {
            Op::Acquire {
                patience,
                cancel,
                hold,
                end,
            } => {
                if let Some(conn) = self.acquire(pool, patience, cancel).await {
                    self.note(|| format!("user {name}: has {}", conn.id()));
                    self.use_up(conn, hold, end).await;
                }
            }
            Op::Several { gap } => self.use_several(pool, gap).await,
            Op::TryAcquire { hold, end } => {
                let before = self.model.look_at_it();
                let conn = pool.try_acquire();
                self.model.tried(conn.as_ref(), &before);
                if let Some(conn) = conn {
                    self.note(|| format!("user {name}: has {}", conn.id()));
                    self.use_up(conn, hold, end).await;
                }
            }
            Op::ForgetWaiting => self.forget_waiting(pool).await,
            Op::PickIdle => self.pick_idle(pool),
            Op::RuntimeDies(time) => {
                self.runtime.kill();
                self.sleep(time).await;
                self.runtime.drop_spawned(false);
            }
            Op::RuntimeRefuses(time) => {
                self.runtime.drop_spawned(true);
                self.sleep(time).await;
                self.runtime.drop_spawned(false);
            }
            Op::Sleep(time) => self.sleep(time).await,
            Op::Resize(size) => {
                self.model.resizing(size);
                pool.resize(size);
            }
            Op::Retain(keep) => retain(pool, self.world, keep),
            Op::Adopt => {
                let before = self.model.look_at_it();
                let adopted = pool.adopt(self.world.connection_from_elsewhere());
                self.model.adopted(adopted.is_ok(), &before);
            }
            Op::Fill(cancel) => {
                let before = self.model.look_at_it();
                let fill = self.finish("fill", cancel, async {
                    self.model.filled(pool.fill().await, &before);
                });
                fill.await;
            }
            Op::ServerGoes(mood) => self.server_goes(mood),
            Op::Close(cancel) => {
                self.model.closing();
                let closing = pool.close();
                let closed = async {
                    closing.await;
                    assert_eq!(pool.status().size, 0, "closed, it says");
                    true
                };
                let closed = self.until(cancel, or(self.given_up(), closed)).await;
                assert!(
                    closed != Some(false),
                    "nobody has one, but closing does not end"
                );
            }
            Op::CloseWithin(grace) => {
                self.model.closing();
                let begun = self.runtime.elapsed();
                let left = pool.close_within(ms(grace)).await;
                assert_eq!(left, pool.status().size, "left after closing");
                saw(if left == 0 {
                    "close_within: all"
                } else {
                    "close_within: some are left"
                });
                let took = self.runtime.elapsed() - begun;
                assert!(left == 0 || took >= ms(grace), "gave up after {took:?}");
                let in_time = took <= ms(grace) || self.stalls;
                assert!(in_time, "waited for {took:?}");
            }
            Op::Pause { cancel, then } => self.pause(pool, cancel, then).await,
            Op::Resume => self.resume(pool),
            Op::Reset(over) => self.reset(pool, over),
            Op::WaitReset(cancel) => self.wait_reset(pool, cancel).await,
            Op::Set(change) => self.set(pool, change),
        }
    }

    /// Resolves when nothing can come back any more that has not. False if all should have.
    pub(crate) async fn given_up(&self) -> bool {
        self.sleep(FOR_EVER).await;
        !(self.leaked.borrow().is_empty() && self.forgotten.borrow().is_empty())
    }

    async fn acquire(
        &self,
        pool: &LawPool,
        patience: Option<Ms>,
        cancel: Option<Cancel>,
    ) -> Option<Lent> {
        let limit = patience.map_or(self.model.settings().patience(), ms);
        let watched = match patience {
            Some(_) => self.model.watch(limit, pool.acquire_timeout(limit)),
            None => self.model.watch(limit, pool.acquire()),
        };
        self.until(cancel, watched).await?.ok()
    }

    /// Leaves connections of different ages behind, and asks for one of them.
    async fn use_several(&self, pool: &LawPool, gap: Ms) {
        const SOME: usize = 3;
        let mut held = Vec::new();
        for _ in 0..SOME {
            held.extend(self.acquire(pool, Some(40), None).await);
        }
        for conn in held {
            drop(conn);
            self.sleep(gap).await;
        }
        drop(self.acquire(pool, Some(80), None).await);
    }

    async fn forget_waiting(&self, pool: &LawPool) {
        let owned = pool.clone();
        let limit = self.model.settings().patience();
        let acquire = async move { owned.acquire().await };
        let mut watched = self.model.watch(limit, acquire);
        let polled = std::future::poll_fn(|cx| Poll::Ready(pin!(&mut watched).poll(cx)));
        match polled.await {
            Poll::Ready(_) => {}
            Poll::Pending => {
                watched.forget();
                self.forgotten.borrow_mut().push(watched);
            }
        }
    }

    /// What is lent next is at the end of the idle ones that the order says. Often enough in a row
    /// for the pool to trust its coarse time.
    fn pick_idle(&self, pool: &LawPool) {
        const OFTEN: usize = 8;
        for _ in 0..OFTEN {
            let mut idle = Vec::new();
            pool.retain(|conn, _| {
                idle.push(conn.id());
                true
            });
            let before = self.model.look_at_it();
            let picked = pool.try_acquire();
            self.model.tried(picked.as_ref(), &before);
            let settings = &self.model.settings();
            // Those that are too old are passed over.
            let ageing = self.model.shortest_lifetime().is_some() || self.model.was_spread();
            let Some(picked) = picked.filter(|_| !ageing) else {
                return;
            };
            let next = match settings.idle_order {
                IdleOrder::Fifo => idle.first(),
                _ => idle.last(),
            };
            assert_eq!(Some(&picked.id()), next, "out of order: {idle:?}");
            if idle.len() < 2 {
                return;
            }
            saw("pick: the next of some");
        }
    }

    async fn use_up(&self, mut conn: Lent, hold: Ms, end: End) {
        if hold > 0 {
            self.sleep(hold).await;
        }
        saw_variant("end", &end);
        match end {
            End::Drop => drop(conn),
            End::Dirty => conn.condition = Condition::Dirty,
            End::Broken => conn.condition = Condition::Broken,
            End::Discard => conn.discard(),
            End::Rigged => conn.panics_when_dropped = true,
            End::Detach => {
                conn.panics_when_dropped = false;
                drop(conn.detach());
            }
            End::Release { dirty, cancel } => {
                if dirty {
                    conn.condition = Condition::Dirty;
                }
                let release = PooledConnection::release(conn.into_guard());
                self.finish("release", cancel, release).await;
            }
            End::Panic => {
                let panic = AssertUnwindSafe(|| {
                    let _conn = conn;
                    resume_unwind(Box::new("as planned"));
                });
                assert!(catch_unwind(panic).is_err());
            }
            End::Leak => self.leaked.borrow_mut().push(conn),
            End::Retire(hold) => {
                conn.retire();
                self.sleep(hold).await;
            }
        }
    }

    fn server_goes(&self, mood: Mood) {
        let connects = self.world.connects();
        connects.forget();
        let mut chance = self.chance.borrow_mut();
        connects.next((0..20).map(|_| mood.step(&self.model.settings(), &mut chance)));
    }

    pub(crate) async fn sleep(&self, time: Ms) {
        self.runtime.sleep(ms(time)).await;
    }

    /// Something that must come to its end in time.
    async fn finish<T>(
        &self,
        what: &str,
        cancel: Option<Cancel>,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let deadline = async {
            self.sleep(FOR_EVER).await;
            panic!("{what} does not end");
        };
        // The deadline first: a future that has to be polled to notice that it is over is a flaw.
        self.until(cancel, or(deadline, future)).await
    }

    /// Drops a future when its owner loses interest.
    pub(crate) async fn until<T>(
        &self,
        cancel: Option<Cancel>,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let result = self.until_cancelled(cancel, future).await;
        if let (Some(cancel), None) = (cancel, &result) {
            saw_variant("cancelled", &cancel);
        }
        result
    }

    async fn until_cancelled<T>(
        &self,
        cancel: Option<Cancel>,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        match cancel {
            None => Some(future.await),
            Some(Cancel::After(time)) => {
                let cancelled = async {
                    self.sleep(time).await;
                    None
                };
                let future = async { Some(future.await) };
                // Which is looked at first decides what happens if both are over.
                let first = self.chance.borrow_mut().bool();
                match first {
                    true => or(future, cancelled).await,
                    false => or(cancelled, future).await,
                }
            }
            Some(Cancel::AfterPolls(most)) => {
                let mut future = pin!(future);
                let mut polls = 0;
                std::future::poll_fn(|cx| {
                    if polls == most {
                        return Poll::Ready(None);
                    }
                    polls += 1;
                    future.as_mut().poll(cx).map(Some)
                })
                .await
            }
        }
    }
}

/// Keeps some of the idle connections. Those that it rejects must not be lent again.
fn retain(pool: &LawPool, world: &World, keep: Keep) {
    let mut rejected = 0;
    let retained = catch_unwind(AssertUnwindSafe(|| {
        pool.retain(|conn, _| {
            let approved = match keep {
                Keep::All => true,
                Keep::None | Keep::Panic => false,
                Keep::Even => conn.id() % 2 == 0,
            };
            if !approved {
                world.ledger().condemn(conn.id());
                rejected += 1;
            }
            if matches!(keep, Keep::Panic) {
                resume_unwind(Box::new("as planned"));
            }
            approved
        })
    }));
    match (retained, keep) {
        (Ok(removed), _) => {
            assert_eq!(removed, rejected, "removed by retain");
            saw(if removed > 0 {
                "retain: some removed"
            } else {
                "retain: none removed"
            });
        }
        (Err(_), Keep::Panic) => {
            assert_eq!(rejected, 1, "it went on after a panic");
            saw("retain: panicked");
        }
        (Err(panic), _) => resume_unwind(panic),
    }
}
