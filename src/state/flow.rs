//! Lending and taking back: what callers and their guards do to the pool.

use std::task::Waker;
use std::time::Instant;

use super::{Effects, Fitness, Live, Outcome, Stage, State};
use crate::config::CheckPolicy;
use crate::error::{ConnectError, Phase};
use crate::status::CloseReason;

/// What a caller gets without waiting.
#[derive(Debug)]
pub(crate) enum Lend<C> {
    Connection {
        live: Box<Live<C>>,
        /// Lending it leaves fewer idle ones than `min_idle`: call [`State::refill`].
        refill: bool,
    },
    /// Only the exact time can tell: read the clock and call [`State::lend_at`].
    ReadClock,
    /// Nothing that could be lent without overtaking somebody or checking first.
    Unavailable,
    Closed,
}

/// What becomes of a connection that was given back.
#[derive(Debug)]
pub(crate) enum Returned<C> {
    Kept,
    /// Its place is in [`Stage::Recycling`].
    Recycle(Box<Live<C>>),
    /// Its place is in [`Stage::Closing`].
    Close(Box<Live<C>>, CloseReason),
}

impl<C> From<Option<(Box<Live<C>>, CloseReason)>> for Returned<C> {
    fn from(rejected: Option<(Box<Live<C>>, CloseReason)>) -> Self {
        match rejected {
            Some((live, reason)) => Returned::Close(live, reason),
            None => Returned::Kept,
        }
    }
}

/// How a connection comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    Dirty,
    Condemned(CloseReason),
}

/// How things stand for a waiter.
#[derive(Debug)]
pub(crate) enum Turn<C, E> {
    /// It has been served, and is out of the queue.
    Over(Outcome<C, E>),
    /// Wait on.
    Wait {
        /// A task that should have connected was dropped: run an attempt yourself. Its place is
        /// in [`Stage::Connecting`].
        drive: bool,
        /// The keeper is gone: call [`State::advance`] at this time.
        due: Option<Instant>,
    },
}

/// Why a deadline that passed was missed.
#[derive(Debug)]
pub(crate) struct Missed<E> {
    pub(crate) phase: Phase,
    pub(crate) since: Instant,
    pub(crate) cause: Option<ConnectError<E>>,
}

/// What [`State::time_out`] finds.
#[derive(Debug)]
pub(crate) enum TimeOut<C, E> {
    Missed(Missed<E>, Option<Waker>),
    /// It was served at the last moment.
    Served(Outcome<C, E>),
}

impl<C, E> State<C, E> {
    /// Lends the next idle connection if that needs no exact time: the hot path.
    #[inline]
    pub(crate) fn lend(&mut self) -> Lend<C> {
        if self.closed {
            return Lend::Closed;
        }
        if !self.waiters.is_empty() {
            return Lend::Unavailable;
        }
        let Some(index) = self.candidate() else {
            return Lend::Unavailable;
        };
        if !self.clock.spend() {
            return Lend::ReadClock;
        }
        match self.fitness(&self.idle[index], None) {
            Fitness::Fit => self.lend_idle(index),
            Fitness::Stale | Fitness::Expired | Fitness::Unknown => Lend::ReadClock,
        }
    }

    /// Lends the next idle connection that is fit now. Without `checked`, one that should be
    /// checked first will do.
    pub(crate) fn lend_at(
        &mut self,
        now: Instant,
        checked: bool,
        fx: &mut Effects<C, E>,
    ) -> Lend<C> {
        fx.nudge |= self.clock.read(now);
        loop {
            if self.closed {
                return Lend::Closed;
            }
            if !self.waiters.is_empty() {
                return Lend::Unavailable;
            }
            let Some(index) = self.candidate() else {
                return Lend::Unavailable;
            };
            match self.fitness(&self.idle[index], Some(now)) {
                Fitness::Fit => return self.lend_idle(index),
                Fitness::Stale if !checked => return self.lend_idle(index),
                Fitness::Stale | Fitness::Unknown => return Lend::Unavailable,
                Fitness::Expired => {
                    if let Some(live) = self.take_idle(index) {
                        self.condemn(live, CloseReason::Lifetime, fx);
                    }
                }
            }
        }
    }

    #[inline]
    fn lend_idle(&mut self, index: usize) -> Lend<C> {
        let Some(mut live) = self.take_idle(index) else {
            return Lend::Unavailable;
        };
        live.uses += 1;
        self.stages.lent += 1;
        self.statistics.acquires += 1;
        let refill = self.config.min_idle > 0 && self.wants_refill();
        Lend::Connection { live, refill }
    }

    /// Takes a clean connection back if that needs no exact time: the hot path. Returns whom to
    /// wake, or the connection if it takes [`returned`](State::returned) to decide.
    #[inline]
    pub(crate) fn put_back(
        &mut self,
        mut live: Box<Live<C>>,
    ) -> Result<Option<Waker>, Box<Live<C>>> {
        if !self.clock.spend() || !self.is_plain_return(&live) {
            return Err(live);
        }
        live.idle_since = self.clock.latest();
        live.fit_at = live.idle_since;
        live.turn = self.next_turn;
        self.next_turn += 1;
        match self.waiters.pop() {
            Some(key) => {
                live.uses += 1;
                Ok(self.waiters.resolve(key, Outcome::Connection(live)))
            }
            None => {
                self.stages.leave(Stage::Lent);
                self.idle.push_back(live);
                Ok(None)
            }
        }
    }

    /// True if a clean connection surely goes to the first waiter, or back among the idle.
    #[inline]
    fn is_plain_return(&self, live: &Live<C>) -> bool {
        let keepable = !self.closed
            && !self.is_surplus()
            && live
                .expires_at
                .is_none_or(|at| self.clock.is_surely_before(at))
            && self.config.max_uses.is_none_or(|max| live.uses < max);
        keepable
            && match self.waiters.first() {
                None => self.has_room_for_idle(),
                Some(first) => {
                    self.driverless == 0
                        && self.config.check_policy != CheckPolicy::Always
                        && first
                            .deadline
                            .is_none_or(|at| self.clock.is_surely_before(at))
                }
            }
    }

    /// Takes a connection back.
    pub(crate) fn returned(
        &mut self,
        mut live: Box<Live<C>>,
        verdict: Verdict,
        now: Instant,
        fx: &mut Effects<C, E>,
    ) -> Returned<C> {
        fx.nudge |= self.clock.read(now);
        self.stages.leave(Stage::Lent);
        live.idle_since = now;
        live.turn = self.next_turn;
        self.next_turn += 1;
        let outcome = match (verdict, self.reason_to_close(&live, now)) {
            (Verdict::Condemned(reason), _) | (_, Some(reason)) => {
                self.stages.enter(Stage::Closing);
                Returned::Close(live, reason)
            }
            (Verdict::Dirty, None) => {
                self.stages.enter(Stage::Recycling);
                Returned::Recycle(live)
            }
            (Verdict::Clean, None) => {
                live.fit_at = now;
                self.supply(live, false, Phase::Wait, now, fx).into()
            }
        };
        self.pump(now, fx);
        outcome
    }

    /// A holder takes its connection out of the pool for good.
    pub(crate) fn detached(&mut self, now: Instant, fx: &mut Effects<C, E>) {
        self.stages.leave(Stage::Lent);
        self.statistics.closes.count(CloseReason::Detached);
        self.pump(now, fx);
    }

    /// Joins the queue, and sets to work whatever may serve it. `None` if the pool is closed.
    pub(crate) fn enqueue(
        &mut self,
        now: Instant,
        deadline: Option<Instant>,
        waker: Waker,
        fx: &mut Effects<C, E>,
    ) -> Option<usize> {
        if self.closed {
            // Whoever drops a waker runs its owner's code: not under the lock.
            fx.wake(Some(waker));
            return None;
        }
        fx.nudge |= self.clock.read(now);
        self.statistics.waits += 1;
        let key = self.waiters.push(now, deadline, waker);
        self.retry.bring_forward();
        self.pump(now, fx);
        Some(key)
    }

    /// Looks whether a waiter has been served. If `waker` is to replace the one that was left
    /// with [`enqueue`](State::enqueue), the old one comes back in it, to be dropped without the
    /// lock.
    pub(crate) fn poll_waiter(&mut self, key: usize, waker: &mut Option<Waker>) -> Turn<C, E> {
        if self.waiters.get_mut(key).outcome.is_some() {
            if let Some(outcome) = self.waiters.remove(key).outcome {
                return Turn::Over(self.seen(outcome));
            }
        }
        let spare = self.driverless > 0 && self.free() > 0;
        let waiter = self.waiters.get_mut(key);
        if waker.is_some() {
            std::mem::swap(&mut waiter.waker, waker);
        }
        let drive = spare && !waiter.driving;
        if drive {
            waiter.driving = true;
            self.driverless -= 1;
            self.stages.enter(Stage::Connecting);
        }
        let due = match self.clock.is_kept() {
            true => None,
            false => self.next_due(),
        };
        Turn::Wait { drive, due }
    }

    /// A waiter's own attempt to connect has come to its end.
    pub(crate) fn stopped_driving(&mut self, key: usize) {
        self.waiters.get_mut(key).driving = false;
    }

    pub(crate) fn step(&self) -> u64 {
        self.retry.step()
    }

    /// A waiter's deadline has passed.
    pub(crate) fn time_out(
        &mut self,
        key: usize,
        now: Instant,
        fx: &mut Effects<C, E>,
    ) -> TimeOut<C, E> {
        let phase = self.phase_of(key);
        let waiter = self.waiters.remove(key);
        match waiter.outcome {
            Some(outcome) => TimeOut::Served(self.seen(outcome)),
            None => {
                let missed = self.missed(phase, waiter.since);
                self.overdue += usize::from(phase != Phase::Wait);
                self.pump(now, fx);
                TimeOut::Missed(missed, waiter.waker)
            }
        }
    }

    /// Counts a missed deadline and says what is known about it.
    pub(crate) fn missed(&mut self, phase: Phase, since: Instant) -> Missed<E> {
        let timeouts = &mut self.statistics.timeouts;
        match phase {
            Phase::Wait => timeouts.wait += 1,
            Phase::Check => timeouts.check += 1,
            Phase::Connect => timeouts.connect += 1,
        }
        Missed {
            phase,
            since,
            cause: self.retry.cause().cloned(),
        }
    }

    /// A waiter goes away without having seen how it ended for it: what it was given is passed
    /// on. Returns its waker, to be dropped without the lock.
    pub(crate) fn cancel(
        &mut self,
        key: usize,
        now: Instant,
        fx: &mut Effects<C, E>,
    ) -> Option<Waker> {
        let waiter = self.waiters.remove(key);
        match waiter.outcome {
            None => self.statistics.cancellations += 1,
            Some(Outcome::Connection(mut live)) => {
                self.statistics.cancellations += 1;
                self.stages.leave(Stage::Lent);
                live.uses -= 1;
                if let Some((live, reason)) = self.supply(live, false, Phase::Wait, now, fx) {
                    fx.close.push((live, reason));
                }
            }
            Some(Outcome::Failed(error)) => fx.garbage = Some(error),
            Some(Outcome::Late { .. } | Outcome::Closed) => {}
        }
        self.pump(now, fx);
        waiter.waker
    }

    fn seen(&mut self, outcome: Outcome<C, E>) -> Outcome<C, E> {
        if let Outcome::Connection(_) = outcome {
            self.statistics.acquires += 1;
        }
        outcome
    }
}
