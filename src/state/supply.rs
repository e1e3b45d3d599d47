//! Where connections come from and where they go: serving the queue, connecting, checking,
//! ageing, growing, shrinking, closing.

use super::{Effects, Fitness, Live, Outcome, Stage, State};
use crate::clock::Moment;
use crate::config::ConnectPolicy;
use crate::error::{ConnectError, Phase};
use crate::status::CloseReason;

/// A connection that cannot be kept, and why. Its place is in [`Stage::Closing`].
type Rejected<C> = Option<(Box<Live<C>>, CloseReason)>;

impl<C, E> State<C, E> {
    /// Brings supply and demand together. Called at the end of every transition that may have
    /// changed either.
    pub(super) fn pump(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let begun = self.stages.checking + self.stages.connecting;
        self.overdue = self.overdue.min(begun);
        if self.closed {
            fx.drained |= self.size() == 0;
        } else {
            self.serve_from_idle(now, fx);
            self.begin_connects(now, fx);
        }
        self.pass_on_driverless(fx);
        if !self.clock.is_kept() {
            // The first waiter stands in for the keeper: let it see what is due by now.
            let waker = self
                .waiters
                .first_mut()
                .and_then(|first| first.waker.take());
            fx.wake(waker);
        }
        self.check();
    }

    /// Lends idle connections to those who wait, and begins checks for those who could be.
    fn serve_from_idle(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        while !self.waiters.is_empty() {
            let Some(index) = self.candidate() else {
                return;
            };
            match self.fitness(&self.idle[index], now) {
                Fitness::Expired => {
                    if let Some(live) = self.take_idle(index) {
                        self.condemn(live, CloseReason::Lifetime, fx);
                    }
                }
                Fitness::Fit => self.hand_over_idle(index, now, fx),
                Fitness::Stale if self.under_way() < self.waiters.len() => {
                    if let Some(live) = self.take_idle(index) {
                        self.begin_check(live, fx);
                    }
                }
                Fitness::Stale => {
                    // Enough checks are under way, but nobody shall wait beside a fit one.
                    let mut idle = self.idle.iter();
                    match idle.position(|live| self.fitness(live, now) == Fitness::Fit) {
                        Some(fit) => self.hand_over_idle(fit, now, fx),
                        None => return,
                    }
                }
            }
        }
    }

    fn hand_over_idle(&mut self, index: usize, now: Moment, fx: &mut Effects<C, E>) {
        if let Some(key) = self.pop_live_waiter(now, Phase::Wait, fx) {
            if let Some(live) = self.take_idle(index) {
                self.grant(key, live, fx);
            }
        }
    }

    fn grant(&mut self, key: usize, mut live: Box<Live<C>>, fx: &mut Effects<C, E>) {
        live.uses += 1;
        self.stages.enter(Stage::Lent);
        let waker = self.waiters.resolve(key, Outcome::Connection(live));
        fx.wake(waker);
    }

    /// The first waiter whose deadline has not passed. Those before it learn that they are late.
    fn pop_live_waiter(
        &mut self,
        now: Moment,
        phase: Phase,
        fx: &mut Effects<C, E>,
    ) -> Option<usize> {
        loop {
            let first = self.waiters.first()?;
            let late = first.deadline <= now;
            let since = first.since;
            let key = self.waiters.pop()?;
            if !late {
                return Some(key);
            }
            self.overdue += 1;
            let waker = self.waiters.resolve(key, Outcome::Late { phase, since });
            fx.wake(waker);
        }
    }

    fn begin_check(&mut self, live: Box<Live<C>>, fx: &mut Effects<C, E>) {
        self.stages.enter(Stage::Checking);
        fx.check.push(live);
    }

    /// Checks and attempts to connect that can be counted on to serve somebody.
    pub(super) fn under_way(&self) -> usize {
        let begun = self.stages.checking + self.stages.connecting;
        begun.saturating_sub(self.overdue) + self.driverless
    }

    /// How many more attempts to connect there should be: for those who wait, and to refill.
    fn wanted_connects(&self) -> (usize, usize) {
        let under_way = self.under_way();
        let waiting = self.waiters.len();
        let unserved = waiting.saturating_sub(under_way);
        let spare = under_way.saturating_sub(waiting) + self.idle.len() + self.stages.recycling;
        let missing = self.min_idle().saturating_sub(spare);
        let limit = self.config.connect_concurrency.unwrap_or(usize::MAX);
        let room = self
            .free()
            .saturating_sub(self.driverless)
            .min(limit.saturating_sub(self.stages.connecting + self.driverless));
        let for_waiters = unserved.min(room);
        (for_waiters, missing.min(room - for_waiters))
    }

    fn begin_connects(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let (for_waiters, for_idle) = self.wanted_connects();
        let wanted = for_waiters + for_idle;
        let begin = match self.config.connect_policy {
            ConnectPolicy::Retry(_) => self.retry.allowance(wanted, now),
            ConnectPolicy::FailFast => for_waiters + self.retry.allowance(for_idle, now),
        };
        if begin > 0 {
            fx.connect += begin;
            fx.step = self.retry.step();
            self.stages.connecting += begin;
            self.retry.begun(now);
        }
        if begin < wanted {
            self.note_due(self.retry.due(), fx);
        }
    }

    /// Wakes a waiter to run an attempt to connect that lost its task.
    fn pass_on_driverless(&mut self, fx: &mut Effects<C, E>) {
        self.driverless = self.driverless.min(self.waiters.len());
        if self.driverless > 0 {
            if let Some(key) = self.waiters.first_not_driving() {
                let waker = self.waiters.get_mut(key).waker.take();
                fx.wake(waker);
            }
        }
    }

    /// Gives a connection that is in no stage to the first waiter, or puts it among the idle.
    /// `verified`: it is known to be fit this very moment.
    pub(super) fn supply(
        &mut self,
        live: Box<Live<C>>,
        verified: bool,
        phase: Phase,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Rejected<C> {
        if let Some(reason) = self.reason_to_close(&live, now) {
            return self.reject(live, reason);
        }
        if !self.waiters.is_empty() {
            if !verified && self.fitness(&live, now) == Fitness::Stale {
                self.begin_check(live, fx);
                return None;
            }
            if let Some(key) = self.pop_live_waiter(now, phase, fx) {
                self.grant(key, live, fx);
                return None;
            }
        }
        if !self.has_room_for_idle() {
            return self.reject(live, CloseReason::Idle);
        }
        let expires_at = live.expires_at;
        let index = self.idle.partition_point(|other| other.turn < live.turn);
        self.idle.insert(index, live);
        fx.progress = true;
        self.note_due(expires_at, fx);
        self.note_due(self.idle_due(), fx);
        None
    }

    fn reject(&mut self, live: Box<Live<C>>, reason: CloseReason) -> Rejected<C> {
        self.stages.enter(Stage::Closing);
        Some((live, reason))
    }

    /// Why a connection that is in no stage must not be kept, however well it is.
    pub(super) fn reason_to_close(&self, live: &Live<C>, now: Moment) -> Option<CloseReason> {
        if self.closed {
            Some(CloseReason::Shutdown)
        } else if live.expires_at <= now {
            Some(CloseReason::Lifetime)
        } else if self.config.max_uses.is_some_and(|max| live.uses >= max) {
            Some(CloseReason::Uses)
        } else if self.live_or_coming() >= self.config.max_size {
            Some(CloseReason::Resize)
        } else {
            None
        }
    }

    fn admit(&mut self, connection: C, now: Moment) -> Box<Live<C>> {
        let lifetime = self.config.draw_lifetime(&mut self.rng);
        let live = Live {
            connection,
            id: self.next_id,
            created_at: now,
            expires_at: now.after_any(lifetime),
            fit_at: now,
            idle_since: now,
            turn: self.next_turn,
            uses: 0,
        };
        self.next_id += 1;
        self.next_turn += 1;
        Box::new(live)
    }

    /// An attempt to connect succeeded.
    pub(crate) fn connected(
        &mut self,
        connection: C,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Rejected<C> {
        self.stages.leave(Stage::Connecting);
        self.statistics.connects += 1;
        fx.progress = true;
        self.retry.succeeded();
        let live = self.admit(connection, now);
        let rejected = self.supply(live, true, Phase::Connect, now, fx);
        self.pump(now, fx);
        rejected
    }

    /// Somebody brings a connection of his own. It comes back if there is no place for it.
    pub(crate) fn adopt(
        &mut self,
        connection: C,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Result<(), C> {
        let wanted = !self.waiters.is_empty() || self.has_room_for_idle();
        if self.closed || self.free() == 0 || !wanted {
            return Err(connection);
        }
        self.statistics.adopted += 1;
        let live = self.admit(connection, now);
        if let Some(rejected) = self.supply(live, true, Phase::Wait, now, fx) {
            fx.close.push(rejected);
        }
        self.pump(now, fx);
        Ok(())
    }

    /// An attempt to connect that began at `step` failed.
    pub(crate) fn connect_failed(
        &mut self,
        step: u64,
        error: ConnectError<E>,
        permanent: bool,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        self.stages.leave(Stage::Connecting);
        self.statistics.failed_connects += 1;
        fx.progress = true;
        let hopeless = permanent && self.live() == 0;
        if hopeless {
            while self.fail_first_waiter(&error, fx) {}
        } else if self.config.connect_policy == ConnectPolicy::FailFast {
            self.fail_first_waiter(&error, fx);
        }
        // Kept as the last error, so dropping a clone above was never the last.
        fx.garbage = self.retry.failed(step, now, Some(error), &mut self.rng);
        self.pump(now, fx);
    }

    fn fail_first_waiter(&mut self, error: &ConnectError<E>, fx: &mut Effects<C, E>) -> bool {
        let Some(key) = self.waiters.pop() else {
            return false;
        };
        let waker = self.waiters.resolve(key, Outcome::Failed(error.clone()));
        fx.wake(waker);
        true
    }

    /// Connections that could still serve somebody.
    fn live(&self) -> usize {
        self.live_or_coming() - self.stages.connecting
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
        self.stages.leave(from);
        if verified {
            live.fit_at = now;
        }
        // Freshly recycled is not freshly checked, which matters to those who always check.
        let checked = verified && from == Stage::Checking;
        let rejected = self.supply(live, checked, Phase::Check, now, fx);
        self.pump(now, fx);
        rejected
    }

    /// A place goes on to [`Stage::Closing`].
    pub(crate) fn condemned(&mut self, from: Stage, now: Moment, fx: &mut Effects<C, E>) {
        self.stages.leave(from);
        self.stages.enter(Stage::Closing);
        self.pump(now, fx);
    }

    /// A place comes back without more news than that: its connection is closed, or was lost with
    /// the task that held it.
    pub(crate) fn given_back(
        &mut self,
        stage: Stage,
        reason: CloseReason,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        self.stages.leave(stage);
        if stage == Stage::Connecting {
            // The runtime dropped the task. To spawn another would drop that as well, for ever:
            // let somebody who waits run it, or try again later.
            fx.progress = true;
            if self.closed || self.waiters.is_empty() {
                let step = self.retry.step();
                fx.garbage = self.retry.failed(step, now, None, &mut self.rng);
            } else {
                self.driverless += 1;
            }
        } else {
            self.statistics.closes.count(reason);
        }
        self.pump(now, fx);
    }

    /// Does what is due at `now`, and says when to come back.
    pub(crate) fn advance(&mut self, now: Moment, fx: &mut Effects<C, E>) -> Moment {
        self.expire(now, fx);
        self.pump(now, fx);
        self.next_due()
    }

    /// [`advance`](State::advance), by the maintenance task: keeps the coarse time as well.
    pub(crate) fn keep(&mut self, now: Moment, fx: &mut Effects<C, E>) -> Moment {
        let tick = self.clock.keep(now);
        let due = self.advance(now, fx);
        fx.nudge = false;
        self.keeper_until = tick.min(due);
        self.keeper_until
    }

    /// The maintenance task is gone: waiters must look after what is due.
    pub(crate) fn keeper_gone(&mut self, fx: &mut Effects<C, E>) {
        self.clock.keeper_gone();
        let waker = self
            .waiters
            .first_mut()
            .and_then(|first| first.waker.take());
        fx.wake(waker);
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.clock.is_kept()
    }

    /// When something will be due, given that nothing else happens.
    pub(super) fn next_due(&self) -> Moment {
        if self.closed {
            return Moment::NEVER;
        }
        let retry = match self.wanted_connects() {
            (0, 0) => Moment::NEVER,
            _ => self.retry.due(),
        };
        let expiries = self.idle.iter().map(|live| live.expires_at);
        expiries.fold(retry.min(self.idle_due()), Moment::min)
    }

    /// When the connection that has been idle longest has been so for too long.
    fn idle_due(&self) -> Moment {
        let surplus = self.idle.len() > self.min_idle();
        match self.idle.front().filter(|_| surplus) {
            Some(oldest) => oldest.idle_since.after_any(self.config.idle_timeout),
            None => Moment::NEVER,
        }
    }

    /// Closes idle connections whose time is over.
    fn expire(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let mut index = 0;
        while let Some(live) = self.idle.get(index) {
            if live.expires_at <= now {
                if let Some(live) = self.take_idle(index) {
                    self.condemn(live, CloseReason::Lifetime, fx);
                }
            } else {
                index += 1;
            }
        }
        while self.idle_due() <= now {
            if let Some(live) = self.idle.pop_front() {
                self.condemn(live, CloseReason::Idle, fx);
            }
        }
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
        self.pump(now, fx);
    }

    /// Begins to close: nobody is served any more.
    pub(crate) fn close(&mut self, fx: &mut Effects<C, E>) {
        self.closed = true;
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
        self.stages.enter(Stage::Checking);
        Some(live)
    }

    /// How warm the pool is.
    pub(crate) fn warmth(&self) -> Warmth<E> {
        let (for_waiters, for_idle) = self.wanted_connects();
        let ready = self.idle.len() + self.stages.recycling + self.stages.checking;
        if self.closed {
            Warmth::Closed
        } else if ready >= self.min_idle() || (for_idle + for_waiters + self.stages.connecting == 0)
        {
            Warmth::Warm
        } else {
            Warmth::Cold {
                failed: self.statistics.failed_connects,
                error: self.retry.last_error().cloned(),
            }
        }
    }

    /// Sees to the idle ones now, as for a new waiter: even if the schedule has a long delay.
    pub(crate) fn hurry(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        self.retry.bring_forward();
        fx.revive = !self.clock.is_kept() && !self.closed;
        self.pump(now, fx);
    }
}

/// What [`State::warmth`] finds.
#[derive(Debug)]
pub(crate) enum Warmth<E> {
    /// As many idle as should be, or no place for more.
    Warm,
    Cold {
        failed: u64,
        error: Option<ConnectError<E>>,
    },
    Closed,
}
