//! What tasks report: an attempt to connect, a check, a recycling or a close has come to its end,
//! or was lost.

use super::supply::Rejected;
use super::{Effects, Live, Outcome, Stage, State};
use crate::clock::Moment;
use crate::config::ConnectPolicy;
use crate::error::{ConnectError, Phase};
use crate::status::CloseReason;

impl<C, E> State<C, E> {
    /// The number of the next connection.
    pub(crate) fn draw_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// An attempt to connect succeeded.
    pub(crate) fn connected(
        &mut self,
        connection: C,
        id: u64,
        from: Stage,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Rejected<C> {
        // While it counts as what they counted on.
        self.tell_late_ones(now, fx);
        self.leave(from, Some(now));
        self.statistics.connects += 1;
        fx.progress = true;
        let epoch = self.renewals.epoch_of(from);
        if !self.renewals.is_dead(epoch) {
            self.retry.succeeded(self.attempts.next());
        }
        let live = self.admit(connection, id, epoch, now);
        let rejected = self.supply(live, true, Phase::Connect, now, fx);
        self.pump(now, fx);
        rejected
    }

    /// Somebody brings a connection of his own. It comes back if there is no place for it; its number
    /// does if there is.
    pub(crate) fn adopt(
        &mut self,
        connection: C,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Result<u64, C> {
        let waited_for = !self.waiters.is_empty() && !self.paused;
        let wanted = waited_for || self.has_room_for_idle();
        if self.closed || self.free() == 0 || !wanted {
            return Err(connection);
        }
        let id = self.draw_id();
        let live = self.admit(connection, id, self.renewals.epoch(), now);
        if let Some((live, _)) = self.supply(live, true, Phase::Wait, now, fx) {
            // Those who waited were all late.
            self.stages.leave(Stage::Closing);
            return Err(live.connection);
        }
        self.statistics.adopted += 1;
        // Whoever fills the pool learns that it is full.
        fx.progress = true;
        self.pump(now, fx);
        Ok(id)
    }

    /// An attempt to connect failed.
    pub(crate) fn connect_failed(
        &mut self,
        from: Stage,
        error: ConnectError<E>,
        permanent: bool,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        let epoch = self.renewals.epoch_of(from);
        // While it counts as what they counted on.
        self.tell_late_ones(now, fx);
        let begun = self.begun_at(from);
        let is_news = self.is_news_to_those_before(from, now);
        self.leave(from, None);
        self.freed(epoch);
        self.statistics.failed_connects += 1;
        fx.progress = true;
        if self.renewals.is_dead(epoch) {
            fx.garbage = Some(error);
            self.pump(now, fx);
            return;
        }
        // A clone of it is kept as the last error, so dropping one below is never the last.
        if let Stage::Connecting(id) = from {
            let next = self.attempts.next();
            fx.garbage = self
                .retry
                .failed(id, next, error.clone(), now, &mut self.rng);
            self.note_due(self.forgettable_at(now), fx);
        }
        let hopeless = permanent && self.live() == 0;
        let down = self.gives_up_on_server(now) && self.live() == 0;
        if self.paused {
            // Whoever waits does so until that is over, whatever happens to those for the idle ones.
        } else if hopeless || down {
            while self.fail_first_waiter(&error, fx) {}
        } else if self.config.connect_policy == ConnectPolicy::FailFast {
            // If it was made for somebody before him, he may have another on its way.
            let first = self.waiters.first().map(|first| first.since);
            if begun >= first || self.unserved(now) > 0 {
                self.fail_first_waiter(&error, fx);
            }
        } else if is_news && self.retry.is_down() && self.live() == 0 {
            // Others may have begun beside it: it was theirs who were there by then.
            while self
                .waiters
                .first()
                .is_some_and(|first| Some(first.since) <= begun)
            {
                self.fail_first_waiter(&error, fx);
            }
        }
        self.pump(now, fx);
    }

    /// When an attempt to connect began.
    fn begun_at(&self, attempt: Stage) -> Option<Moment> {
        match attempt {
            Stage::Connecting(id) => self.attempts.begun_at(id),
            _ => None,
        }
    }

    /// True if that attempt is all that those had who were there when it began: no older one may be in
    /// time, and nothing has been learnt of the server since.
    fn is_news_to_those_before(&self, attempt: Stage, now: Moment) -> bool {
        match attempt {
            Stage::Connecting(id) => {
                id >= self.retry.since() && !self.attempts.older_is_in_patience(id, now)
            }
            _ => false,
        }
    }

    /// The server counts as down, if that is a matter here, once an attempt has failed and none is under
    /// way that may be in time. True if so.
    fn gives_up_on_server(&mut self, now: Moment) -> bool {
        let breaks = self.config.connect_policy.breaks_circuits();
        let hopeless = breaks && self.retry.is_failing() && self.attempts_to_connect(now) == 0;
        if hopeless {
            self.retry.give_up_on_server();
        }
        hopeless
    }

    /// Those who wait may have nothing to hope for any more: all attempts under way are overdue, and
    /// no other is to begin.
    pub(super) fn give_up_hope(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let probing = self.stages.connecting > 0 && self.live() == 0 && !self.paused;
        if !probing || self.waiters.is_empty() {
            return;
        }
        let asks_for_place = self.may_grow() && self.hunger(now) > 0;
        if asks_for_place || !self.gives_up_on_server(now) {
            return;
        }
        if let Some(error) = self.retry.cause().cloned() {
            while self.fail_first_waiter(&error, fx) {}
        }
    }

    /// Attempts to connect that may still be in time, or are about to be made. That a caller without
    /// patience has given up on one says nothing about the server.
    fn attempts_to_connect(&self, now: Moment) -> usize {
        self.attempts.connects_in_patience(now) + self.driverless
    }

    /// The error for a new caller, if the server counts as down and nothing is left that could serve
    /// him, nor an attempt that could begin for him.
    pub(super) fn broken_circuit(&self, now: Moment) -> Option<ConnectError<E>> {
        if self.live() > 0 || self.paused {
            return None;
        }
        let full = self.free() == 0 && !self.may_grow();
        let probing = self.stages.connecting > 0 && (full || self.connect_room() == 0);
        match probing {
            true => self.retry.cause().filter(|_| self.retry.is_down()).cloned(),
            false => self.retry.why_down(now).cloned(),
        }
    }

    fn fail_first_waiter(&mut self, error: &ConnectError<E>, fx: &mut Effects<C, E>) -> bool {
        let Some(key) = self.waiters.pop() else {
            return false;
        };
        let waker = self.waiters.resolve(key, Outcome::Failed(error.clone()));
        fx.wake(waker);
        true
    }

    /// A check or recycling succeeded, or nothing was found against it by `retain`.
    pub(crate) fn passed(
        &mut self,
        mut live: Box<Live<C>>,
        from: Stage,
        verified: bool,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Rejected<C> {
        // While it counts as what they counted on.
        self.tell_late_ones(now, fx);
        self.leave(from, verified.then_some(now));
        if verified {
            live.fit_at = now;
        }
        // Freshly recycled is not freshly checked, which matters to those who always check.
        let checked = verified && from != Stage::Recycling;
        let rejected = self.supply(live, checked, Phase::Check, now, fx);
        self.pump(now, fx);
        rejected
    }

    /// A place goes on to [`Stage::Closing`].
    pub(crate) fn condemned(
        &mut self,
        from: Stage,
        epoch: u32,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        self.leave(from, None);
        self.stages.enter(Stage::Closing);
        fx.progress = true;
        let failed_check = matches!(from, Stage::Checking(Some(_)));
        if failed_check && self.config.reset_on_failed_check && !self.renewals.is_dead(epoch) {
            self.condemn_generation(now, fx);
        }
        self.pump(now, fx);
    }

    /// A place comes back: its connection is closed, or was `lost` with the task that held it.
    pub(crate) fn given_back(
        &mut self,
        stage: Stage,
        epoch: u32,
        reason: CloseReason,
        lost: bool,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        self.leave(stage, None);
        let epoch = match stage {
            Stage::Connecting(_) => self.renewals.epoch_of(stage),
            _ => epoch,
        };
        self.freed(epoch);
        fx.progress = true;
        match stage {
            // Somebody who waits is to run it instead; a mere refill is tried again later.
            Stage::Connecting(_) if self.driverless < self.to_be_served() => self.driverless += 1,
            Stage::Connecting(_) => {
                self.refill_after = now.after(self.config.backoff().first());
                self.note_due(self.refill_after, fx);
            }
            _ => self.statistics.closes.count(reason),
        }
        match lost {
            false if cfg!(mutant = "exit-wakes-nobody") => {}
            true => self.pump_without_spawning(now, fx),
            false => self.pump(now, fx),
        }
    }
}
