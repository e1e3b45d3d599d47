//! What the pool does as time passes and when it is told to: ageing, refilling, growing,
//! shrinking, closing.

use super::{Effects, Live, Outcome, Stage, State};
use crate::attempts::{AttemptId, Kind};
use crate::clock::Moment;
use crate::config::Config;
use crate::error::{BuildError, ConnectError};
use crate::status::CloseReason;

impl<C, E> State<C, E> {
    /// Does what is due at `now`, and says when to come back.
    pub(crate) fn advance(&mut self, now: Moment, fx: &mut Effects<C, E>) -> Moment {
        self.clock.observe(now);
        self.expire(now, fx);
        self.begin_probes(now, fx);
        self.tell_late_ones(now, fx);
        self.shed_by_the_clock(now, fx);
        self.report_leaks(now, fx);
        self.pump(now, fx);
        self.next_due(now)
    }

    /// [`advance`](State::advance), by the maintenance task: keeps the coarse time as well.
    pub(crate) fn keep(&mut self, now: Moment, fx: &mut Effects<C, E>) -> Moment {
        let tick = self.clock.keep(now);
        let due = self.advance(now, fx);
        fx.nudge = false;
        self.keeper_until = tick.min(due);
        self.keeper_until
    }

    /// True if the maintenance task, asleep until then, should look now.
    pub(crate) fn wants_keeper_before(&self, until: Moment) -> bool {
        self.closed || self.keeper_until < until
    }

    /// The maintenance task is gone: waiters must look after what is due, each for himself, for nobody
    /// knows which of them is polled.
    pub(crate) fn keeper_gone(&mut self, fx: &mut Effects<C, E>) {
        self.clock.keeper_gone();
        fx.progress = true;
        #[cfg(not(mutant = "keeper-goes-silently"))]
        for waker in self.waiters.take_wakers() {
            fx.wake(Some(waker));
        }
    }

    /// Asks for a new keeper, if the last one is gone. From now on it counts as there; should it
    /// be dropped as well, [`keeper_gone`](State::keeper_gone) says so.
    pub(super) fn revive(&mut self, fx: &mut Effects<C, E>) {
        if !self.clock.is_kept() && !self.closed {
            self.clock.keeper_back();
            fx.revive = true;
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.clock.is_kept()
    }

    /// When something will be due, or has become so, that has not been seen to.
    pub(crate) fn wakes_at(&self) -> Moment {
        self.next_due(self.pumped_at)
    }

    /// When something will be due, given that nothing else happens.
    pub(super) fn next_due(&self, now: Moment) -> Moment {
        if self.closed {
            return Moment::NEVER;
        }
        let retry = match self.wanted_connects(now) {
            (0, 0) => self.hungry_at(now),
            (0, _) if now < self.refill_after => self.refill_after,
            _ => self.retry.due(),
        };
        let overdue = match self.waiters.is_empty() && self.min_idle() == 0 {
            true => Moment::NEVER,
            false => self.next_overdue(now),
        };
        let first = retry.min(overdue).min(self.idle_due());
        let first = first.min(self.probe_due()).min(self.shed_due());
        let first = first.min(self.leak_due()).min(self.forgettable_at(now));
        let expiries = self.idle.iter().map(|live| live.expires_at);
        expiries.fold(first, Moment::min)
    }

    /// When the connection that has been idle longest has been so for too long.
    pub(super) fn idle_due(&self) -> Moment {
        let surplus = self.idle.len() > self.min_idle();
        match self.idle.front().filter(|_| surplus) {
            Some(oldest) => oldest.idle_since.after_any(self.config.idle_timeout),
            None => Moment::NEVER,
        }
    }

    /// Closes idle connections whose time is over.
    fn expire(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        self.expire_lives(now, fx);
        while self.idle_due() <= now {
            if let Some(live) = self.idle.pop_front() {
                self.condemn(live, CloseReason::Idle, fx);
            }
        }
    }

    /// Closes idle connections that are past their lifetime.
    pub(super) fn expire_lives(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let mut index = 0;
        while let Some(live) = self.idle.get(index) {
            if live.expires_at <= now {
                if let Some(live) = self.take_idle(index) {
                    self.condemn_expired(live, fx);
                }
            } else {
                index += 1;
            }
        }
    }

    /// When the next idle connection is to be checked, for it has not been used for so long. Never,
    /// as long as something else stands in the way: the keeper would wake for nothing.
    pub(super) fn probe_due(&self) -> Moment {
        let full = self.stages.checking >= self.config.keepalive_concurrency;
        let must_wait = full || self.paused || !self.waiters.is_empty();
        let Some(period) = self.config.keepalive.filter(|_| !must_wait) else {
            return Moment::NEVER;
        };
        let fit_at = self.idle.iter().map(|live| live.fit_at).min();
        fit_at.map_or(Moment::NEVER, |fit_at| fit_at.after(period))
    }

    /// Checks idle connections that have not been used for so long.
    fn begin_probes(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        while self.probe_due() <= now {
            let stalest = (0..self.idle.len()).min_by_key(|&index| self.idle[index].fit_at);
            if let Some(live) = stalest.and_then(|index| self.take_idle(index)) {
                self.begin_check(live, Kind::Probe, now, fx);
            }
        }
    }

    /// Changes settings while the pool runs.
    pub(crate) fn reconfigure(
        &mut self,
        change: impl FnOnce(&mut Config),
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Result<(), BuildError> {
        let mut config = self.config;
        change(&mut config);
        // What a shrink has made of the size is no mistake in the other settings.
        let max_size = usize::MAX;
        Config { max_size, ..config }.validate()?;
        self.config = config;
        self.clock.set_tick(config.tick());
        fx.progress = true;
        self.expire(now, fx);
        self.pump(now, fx);
        self.note_due(self.next_due(now), fx);
        Ok(())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the number of places.
    pub(crate) fn resize(&mut self, max_size: usize, now: Moment, fx: &mut Effects<C, E>) {
        self.config.max_size = max_size;
        while self.is_surplus() {
            let Some(live) = self.idle.pop_front() else {
                break;
            };
            self.condemn(live, CloseReason::Resize, fx);
        }
        fx.progress = true;
        #[cfg(not(mutant = "resize-serves-nobody"))]
        self.pump(now, fx);
    }

    /// Begins to close: nobody is served any more.
    pub(crate) fn close(&mut self, fx: &mut Effects<C, E>) {
        self.closed = true;
        self.update_barred();
        while let Some(key) = self.waiters.pop() {
            let waker = self.waiters.resolve(key, Outcome::Closed);
            fx.wake(waker);
        }
        while let Some(live) = self.idle.pop_front() {
            self.condemn(live, CloseReason::Shutdown, fx);
        }
        self.driverless = 0;
        fx.nudge = true;
        fx.progress = true;
        fx.drained = self.size() == 0;
    }

    /// The idle connections, by their numbers.
    pub(crate) fn idle_ids(&self) -> Vec<u64> {
        self.idle.iter().map(|live| live.id).collect()
    }

    /// Takes an idle connection aside to be looked at. Its place is in [`Stage::Checking`].
    pub(crate) fn borrow_idle(&mut self, id: u64) -> Option<Box<Live<C>>> {
        let index = self.idle.iter().position(|live| live.id == id)?;
        let live = self.take_idle(index)?;
        self.stages.enter(Stage::Checking(None));
        Some(live)
    }

    /// A call to `fill` begins: sees to the idle ones now, even if the schedule has a long delay.
    pub(crate) fn begin_fill(&mut self, now: Moment, fx: &mut Effects<C, E>) -> u64 {
        self.fillers += 1;
        self.hurry(now, fx);
        self.retry.failures()
    }

    /// A call to `fill` is over.
    pub(crate) fn end_fill(&mut self) {
        self.fillers -= 1;
        self.update_barred();
    }

    /// Sees to the idle ones now.
    pub(crate) fn hurry(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        self.retry.bring_forward();
        // A keeper that is asked for may never run: it refills what is to be refilled when it does.
        self.pump(now, fx);
        self.revive(fx);
    }

    /// How warm the pool is, to a call of `fill` that began when so many attempts had failed.
    pub(crate) fn warmth(&mut self, failed_before: u64, now: Moment) -> Warmth<E> {
        if self.closed {
            return Warmth::Closed;
        }
        let ready = self.idle.len() + self.stages.recycling + self.stages.checking;
        // A place that is about to be free is as good as free, and what is still in the making has
        // none if those that are there take all.
        let is_full = self.live() >= self.config.max_size;
        if ready >= self.min_idle() || is_full {
            return Warmth::Warm;
        }
        if self.retry.failures() > failed_before {
            if let Some(error) = self.retry.last_error() {
                return Warmth::Failed(error.clone());
            }
        }
        // One at a time that can be counted on, by the schedule: that is no herd, and spoils nothing if
        // it fails.
        let now = self.latest(now);
        let idles = self.attempts.connects(now) == 0;
        let may_connect = self.free() > 0 && self.connect_room() > 0;
        let is_due = self.retry.allowance(1, now) > 0;
        if !self.clock.is_kept() && idles && may_connect && is_due {
            return Warmth::Drive(self.begin_attempt(now));
        }
        Warmth::Cold
    }

    /// When a call to `fill` should look again although nothing tells it to: an attempt that it
    /// counts on is overdue then, or the next one due, and there is no keeper who would begin another.
    pub(crate) fn fills_again_at(&self, now: Moment) -> Moment {
        let due = self.retry.due();
        let due = if due > now { due } else { Moment::NEVER };
        match self.clock.is_kept() {
            true => Moment::NEVER,
            false => self.attempts.next_overdue(now).min(due),
        }
    }
}

/// What [`State::warmth`] finds.
#[derive(Debug)]
pub(crate) enum Warmth<E> {
    /// As many idle as should be, or no place for more.
    Warm,
    Cold,
    /// There is no keeper to see to it: run this attempt to connect yourself.
    Drive(AttemptId),
    Failed(ConnectError<E>),
    Closed,
}
