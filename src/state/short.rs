//! The short ways: what most calls come to, without anything that follows, and without a clock where
//! nobody waits.
//!
//! Each says "no" where it cannot tell, and leaves all as it was; the long way decides then. None
//! changes anything that [`pump`](State::pump) would have to act upon.

use std::task::Waker;

use super::{Effects, Fitness, Live, Outcome, Stage, State};
use crate::clock::Moment;
use crate::config::IdleOrder;
use crate::waiters::Waiter;

impl<C, E> State<C, E> {
    /// Lends the next idle connection, if nothing stands in the way as far as coarse time can
    /// tell: the hot path. `None` says nothing; ask [`lend_at`](State::lend_at).
    #[inline]
    pub(crate) fn lend(&mut self) -> Option<Box<Live<C>>> {
        if self.barred || !self.waiters.is_empty() || !self.clock.spend() {
            return None;
        }
        let next = match self.config.idle_order {
            IdleOrder::Lifo => self.idle.back()?,
            IdleOrder::Fifo => self.idle.front()?,
        };
        let plenty = self.config.min_idle == 0
            || self.idle.len() > self.config.min_idle
            || self.size() >= self.config.max_size;
        if !plenty || !self.is_surely_fit(next) {
            return None;
        }
        let mut live = match self.config.idle_order {
            IdleOrder::Lifo => self.idle.pop_back()?,
            IdleOrder::Fifo => self.idle.pop_front()?,
        };
        self.count_loan(&mut live);
        Some(live)
    }

    pub(crate) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Takes a clean connection back, if nothing stands in the way as far as coarse time can
    /// tell: the hot path. Otherwise it comes back, and [`returned`](State::returned) decides.
    #[inline]
    pub(crate) fn put_back(&mut self, mut live: Box<Live<C>>) -> Result<(), Box<Live<C>>> {
        let plain = self.waiters.is_empty()
            && !self.barred_back
            && self.clock.spend()
            && self.clock.is_surely_before(live.expires_at)
            && self.config.max_uses.is_none_or(|max| live.uses < max)
            && self.has_room_for_idle();
        if !plain {
            return Err(live);
        }
        live.idle_since = self.clock.latest();
        live.fit_at = live.idle_since;
        live.turn = self.next_turn;
        self.next_turn += 1;
        self.stages.leave(Stage::Lent);
        self.idle.push_back(live);
        Ok(())
    }

    /// Hands a clean connection on to the first who waits, if that is all there is to do. Otherwise it
    /// comes back, and the rest of [`returned`](State::returned) decides.
    pub(super) fn hand_over(
        &mut self,
        mut live: Box<Live<C>>,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Result<(), Box<Live<C>>> {
        let in_time = |first: &Waiter<Outcome<C, E>>| first.deadline > now;
        live.fit_at = now;
        let plain = self.waiters.first().is_some_and(in_time)
            && !self.barred_back
            && self.is_plain()
            && self.fitness(&live, now) == Fitness::Fit
            && self.config.max_uses.is_none_or(|max| live.uses < max);
        let Some(key) = plain.then(|| self.waiters.pop()).flatten() else {
            return Err(live);
        };
        live.idle_since = now;
        live.turn = self.next_turn;
        self.next_turn += 1;
        live.uses += 1;
        let waker = self.waiters.resolve(key, Outcome::Connection(live));
        fx.wake(waker.filter(|_| !cfg!(mutant = "handed-over-asleep")));
        self.check();
        Ok(())
    }

    /// Joins the queue, if there is nothing to do but wait for a return. Takes the waker in that case.
    pub(super) fn queue_up(
        &mut self,
        now: Moment,
        deadline: Moment,
        waker: &mut Option<Waker>,
        fx: &mut Effects<C, E>,
    ) -> Option<usize> {
        let plain = !self.barred
            && self.is_plain()
            && self.config.max_waiters.is_none()
            && !self.retry.is_failing();
        if !plain {
            return None;
        }
        let waker = waker.take()?;
        self.read_clock(now, fx);
        self.statistics.waits += 1;
        let key = self.waiters.push(now, deadline, waker);
        self.check();
        Some(key)
    }

    /// A waiter goes away that has not been served, and nothing follows from that. Returns its waker, to
    /// be dropped without the lock. `None` says nothing; [`cancel`](State::cancel) decides.
    pub(crate) fn quit(&mut self, key: usize) -> Option<Option<Waker>> {
        let waits =
            self.waiters.get_mut(key).outcome.is_none() || cfg!(mutant = "quitter-keeps-it");
        if !(waits && self.is_plain()) {
            return None;
        }
        self.statistics.cancellations += 1;
        let waiter = self.waiters.remove(key);
        self.check();
        Some(waiter.waker)
    }

    /// No place is free, nothing is idle, nothing under way, there is no rule for overload, no landlord,
    /// and a keeper that nobody has to stand in for: a waiter more or less makes no difference to
    /// anything else. Should it be paused, or have old ones, it makes none either.
    fn is_plain(&self) -> bool {
        self.free() == 0
            && self.idle.is_empty()
            && self.attempts.is_empty()
            && self.driverless == 0
            && self.overload.is_none()
            && !self.stranded
            && !self.is_tenant
            && self.clock.is_kept()
    }
}
