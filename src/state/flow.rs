//! Lending and taking back: what callers and their guards do to the pool.

use std::task::Waker;

use super::{
    Effects, Fitness, Join, Lend, Live, Missed, Outcome, Refusal, Returned, Stage, State, TimeOut,
    Turn, Unseen, Verdict,
};
use crate::attempts::AttemptId;
use crate::clock::Moment;
use crate::config::PausePolicy;
use crate::error::Phase;
use crate::status::{CloseReason, Rejection};

impl<C, E> State<C, E> {
    #[inline]
    pub(super) fn count_loan(&mut self, live: &mut Live<C>) {
        live.uses += 1;
        self.stages.lent += 1;
        self.statistics.acquires += 1;
    }

    /// Lends the next idle connection that is fit now. Without `checked`, one that should be
    /// checked first will do.
    pub(crate) fn lend_at(
        &mut self,
        now: Moment,
        checked: bool,
        fx: &mut Effects<C, E>,
    ) -> Lend<C> {
        self.read_clock(now, fx);
        loop {
            if self.closed {
                return Lend::Closed;
            }
            if self.paused {
                return match self.config.pause_policy {
                    PausePolicy::Wait => Lend::Unavailable,
                    PausePolicy::FailFast => {
                        self.statistics.rejections.count(Rejection::Paused);
                        Lend::Paused
                    }
                };
            }
            if !self.waiters.is_empty() && !cfg!(mutant = "newcomer-barges") {
                return Lend::Unavailable;
            }
            let Some(index) = self.candidate() else {
                self.pump(now, fx);
                return Lend::Unavailable;
            };
            let fitness = self.fitness(&self.idle[index], now);
            if fitness == Fitness::Stale && checked {
                return Lend::Unavailable;
            }
            let Some(mut live) = self.take_idle(index) else {
                return Lend::Unavailable;
            };
            if fitness == Fitness::Expired {
                self.condemn_expired(live, fx);
                continue;
            }
            self.count_loan(&mut live);
            // There may be too few idle ones now.
            self.pump(now, fx);
            return Lend::Connection(live);
        }
    }

    /// Takes a connection back.
    pub(crate) fn returned(
        &mut self,
        mut live: Box<Live<C>>,
        verdict: Verdict,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Returned<C> {
        self.read_clock(now, fx);
        if verdict == Verdict::Clean {
            match self.hand_over(live, now, fx) {
                Ok(()) => return Returned::Kept,
                Err(back) => live = back,
            }
        }
        self.returned_the_long_way(live, verdict, now, fx)
    }

    /// After a reading of the clock.
    pub(super) fn returned_the_long_way(
        &mut self,
        mut live: Box<Live<C>>,
        verdict: Verdict,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Returned<C> {
        self.stages.leave(Stage::Lent);
        live.idle_since = now;
        live.turn = self.next_turn;
        self.next_turn += 1;
        let reason = self.reason_to_close(&live, now);
        let reason = reason.or(self.owes_place().then_some(CloseReason::Resize));
        let outcome = match (verdict, reason) {
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
        fx.progress = true;
        self.pump(now, fx);
        outcome
    }

    /// A holder takes its connection out of the pool for good.
    pub(crate) fn detached(&mut self, epoch: u32, now: Moment, fx: &mut Effects<C, E>) {
        self.stages.leave(Stage::Lent);
        self.freed(epoch);
        self.statistics.closes.count(CloseReason::Detached);
        fx.progress = true;
        self.pump(now, fx);
    }

    /// Lends an idle connection or joins the queue, and sets to work whatever may serve it.
    /// Takes the waker only in the latter case.
    pub(crate) fn join(
        &mut self,
        now: Moment,
        deadline: Moment,
        waker: &mut Option<Waker>,
        fx: &mut Effects<C, E>,
    ) -> Join<C, E> {
        if let Some(key) = self.queue_up(now, deadline, waker, fx) {
            return Join::Queued { key, busy: false };
        }
        self.join_the_long_way(now, deadline, waker, fx)
    }

    pub(super) fn join_the_long_way(
        &mut self,
        now: Moment,
        deadline: Moment,
        waker: &mut Option<Waker>,
        fx: &mut Effects<C, E>,
    ) -> Join<C, E> {
        match self.lend_at(now, true, fx) {
            Lend::Connection(live) => return Join::Served(live),
            Lend::Closed => return Join::Closed,
            Lend::Paused => return Join::Rejected(Refusal::Paused),
            Lend::Unavailable => {}
        }
        if let Some(error) = self.broken_circuit(now) {
            self.statistics.rejections.count(Rejection::CircuitBroken);
            return Join::Rejected(Refusal::CircuitBroken(error));
        }
        if self.is_queue_full() {
            self.statistics.rejections.count(Rejection::QueueFull);
            return Join::Rejected(Refusal::QueueFull);
        }
        let Some(waker) = waker.take() else {
            return Join::Closed;
        };
        self.statistics.waits += 1;
        if let Some(overload) = self.overload.as_mut().filter(|_| self.waiters.is_empty()) {
            let tick = overload.joined(now, self.next_turn);
            self.note_due(tick, fx);
        }
        let key = self.waiters.push(now, deadline, waker);
        if !self.config.connect_policy.breaks_circuits() {
            self.retry.bring_forward();
        }
        self.revive(fx);
        self.pump(now, fx);
        Join::Queued { key, busy: true }
    }

    /// True if one more would be too many to wait for a return. Those for whom a connection is
    /// being made or checked, or could be, are not counted.
    fn is_queue_full(&self) -> bool {
        let Some(most) = self.config.max_waiters else {
            return false;
        };
        let coming = self.stages.connecting + self.stages.checking;
        let within_reach = self.idle.len() + coming + self.free();
        self.waiters.len() >= within_reach.saturating_add(most)
    }

    /// Looks whether a waiter has been served, and if not, whether the waker that it left, if it
    /// has not just done so, is still this one.
    pub(crate) fn poll_waiter(&mut self, key: usize, waker: Option<&Waker>) -> Turn<C, E> {
        let waiter = self.waiters.get_mut(key);
        if waiter.outcome.is_some() {
            if let Some(outcome) = self.waiters.remove(key).outcome {
                return Turn::Over(self.seen(outcome));
            }
        }
        let waiter = self.waiters.get_mut(key);
        let left = waiter.waker.as_ref();
        let waker = waker.filter(|_| !cfg!(mutant = "stale-waker"));
        if waker.is_some_and(|now| left.is_none_or(|left| !left.will_wake(now))) {
            return Turn::LeaveWaker;
        }
        if self.stranded {
            return Turn::Advance;
        }
        let may_drive = self.driverless > 0 && self.free() > 0;
        let hope = self.attempts.promising(self.pumped_at) > 0;
        if may_drive && self.waiters.may_drive(key, hope, self.pumped_at) {
            return Turn::Drive;
        }
        // Nobody has told the keeper when an attempt that a waiter drives will be overdue.
        let driving = self.waiters.get_mut(key).driving;
        Turn::Wait(match self.clock.is_kept() && !driving {
            true => Moment::NEVER,
            false => self.wakes_at(),
        })
    }

    /// Replaces a waiter's waker. What comes back is to be dropped without the lock: the old one, or
    /// this one if there is nothing left to be woken for.
    pub(crate) fn leave_waker(&mut self, key: usize, waker: Waker) -> Option<Waker> {
        let waiter = self.waiters.get_mut(key);
        match waiter.outcome {
            Some(_) => Some(waker),
            None => waiter.waker.replace(waker),
        }
    }

    /// A waiter takes over an attempt to connect. `None` if somebody else was quicker.
    pub(crate) fn drive(&mut self, key: usize, now: Moment) -> Option<AttemptId> {
        if self.driverless == 0 || self.free() == 0 {
            return None;
        }
        self.driverless -= 1;
        self.waiters.get_mut(key).driving = true;
        Some(self.begin_attempt(self.latest(now)))
    }

    /// The last of a waiter's own attempts to connect has come to its end.
    pub(crate) fn stopped_driving(&mut self, key: usize) {
        self.waiters.get_mut(key).driving = false;
    }

    /// A waiter's deadline has passed.
    pub(crate) fn time_out(
        &mut self,
        key: usize,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> TimeOut<C, E> {
        let phase = self.phase_of(key);
        let counted_on_one = self.counts_on_an_attempt(key, now);
        let waiter = self.waiters.remove(key);
        match waiter.outcome.filter(|_| !cfg!(mutant = "late-is-late")) {
            Some(outcome) => TimeOut::Served(self.seen(outcome)),
            None => {
                self.count_missed(phase, counted_on_one, now, fx);
                let missed = self.missed(phase, waiter.since);
                self.pump(now, fx);
                TimeOut::Missed(missed, waiter.waker)
            }
        }
    }

    /// True if as many attempts can be counted on as there are waiters up to this one.
    fn counts_on_an_attempt(&self, key: usize, now: Moment) -> bool {
        let promising = self.attempts.promising(now);
        let mut first = self.waiters.iter().take(promising);
        first.any(|(other, _)| other == key)
    }

    /// Counts a missed deadline. Whatever was to serve this caller, nobody else should count on it.
    pub(super) fn count_missed(
        &mut self,
        phase: Phase,
        counted_on_one: bool,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        let timeouts = &mut self.statistics.timeouts;
        match phase {
            Phase::Wait => timeouts.wait += 1,
            Phase::Check => timeouts.check += 1,
            Phase::Connect => timeouts.connect += 1,
        }
        if phase != Phase::Wait && counted_on_one {
            self.attempts.doubt_oldest(now);
            // A call to `fill` may have counted on it as well, and have no keeper to look for it.
            fx.progress |= !self.clock.is_kept();
        }
    }

    /// What is known about a missed deadline.
    pub(crate) fn missed(&self, phase: Phase, since: Moment) -> Missed<E> {
        Missed {
            phase,
            since,
            cause: self.retry.cause().cloned(),
        }
    }

    /// A caller would not wait, and got nothing.
    pub(crate) fn refused(&mut self, now: Moment) -> Missed<E> {
        self.statistics.timeouts.wait += 1;
        self.missed(Phase::Wait, now)
    }

    /// A waiter goes away without having seen how it ended for it: what it was given is passed
    /// on. Returns its waker, to be dropped without the lock.
    pub(crate) fn cancel(
        &mut self,
        key: usize,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> (Option<Waker>, Unseen) {
        let waiter = self.waiters.remove(key);
        let unseen = match waiter.outcome.filter(|_| !cfg!(mutant = "no-baton")) {
            None => {
                self.statistics.cancellations += 1;
                Unseen::Cancelled
            }
            Some(Outcome::Connection(mut live)) => {
                self.statistics.cancellations += 1;
                self.stages.leave(Stage::Lent);
                live.uses -= 1;
                if let Some((live, reason)) = self.supply(live, false, Phase::Wait, now, fx) {
                    fx.close.push((live, reason));
                }
                Unseen::Cancelled
            }
            Some(Outcome::Failed(error)) => {
                fx.garbage = Some(error);
                Unseen::Failed
            }
            Some(Outcome::Late { phase, .. }) => Unseen::Late(phase),
            Some(Outcome::Shed { waited }) => Unseen::Shed { waited },
            Some(Outcome::Closed) => Unseen::Closed,
        };
        self.pump(now, fx);
        (waiter.waker, unseen)
    }

    fn seen(&mut self, outcome: Outcome<C, E>) -> Outcome<C, E> {
        if let Outcome::Connection(_) = outcome {
            self.statistics.acquires += 1;
        }
        outcome
    }
}
