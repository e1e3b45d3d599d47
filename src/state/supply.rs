//! Bringing supply and demand together: serving the queue, and beginning checks and connects.

use super::{Effects, Fitness, Live, Outcome, Stage, State};
use crate::attempts::{AttemptId, Kind};
use crate::clock::Moment;
use crate::config::ConnectPolicy;
use crate::error::Phase;
use crate::status::CloseReason;

/// A connection that cannot be kept, and why. Its place is in [`Stage::Closing`].
pub(super) type Rejected<C> = Option<(Box<Live<C>>, CloseReason)>;

impl<C, E> State<C, E> {
    /// Brings supply and demand together. Called at the end of every transition that may have
    /// changed either.
    pub(super) fn pump(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let now = self.latest(now);
        self.pumped_at = now;
        self.stranded = false;
        let mut stands_in = self.clock.is_kept();
        if self.closed {
            fx.drained |= self.size() == 0;
        } else {
            if !self.paused {
                self.serve_from_idle(now, fx);
            }
            // First, for what nobody waits for any more need not be driven, but begun anew.
            stands_in |= self.pass_on_driverless(now, fx);
            self.begin_connects(now, fx);
            self.give_up_hope(now, fx);
            // Nobody may wait any more, or there may be room for another check.
            self.note_due(self.probe_due(), fx);
        }
        if !stands_in {
            // The first waiter does, for the keeper: let it see what is due by now.
            self.wake_first(now, fx);
        }
        self.update_barred();
        self.check();
    }

    /// This moment, unless another has read the clock later and been quicker here, and seen what was
    /// overdue by then, or too late.
    pub(crate) fn latest(&self, now: Moment) -> Moment {
        now.max(self.clock.now()).max(self.pumped_at)
    }

    /// A task was lost, and with it what it was to do. As `pump`, but spawns nothing: a runtime
    /// that drops one task is likely to drop the next, in the middle of being given it.
    pub(super) fn pump_without_spawning(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        if self.closed {
            fx.drained |= self.size() == 0;
        } else {
            // The keeper sees to it, and the first waiter, if there is one, should the keeper be
            // about to go as well.
            self.note_due(now, fx);
            self.stranded = !self.waiters.is_empty();
        }
        if !self.pass_on_driverless(now, fx) {
            self.wake_first(now, fx);
        }
        self.update_barred();
        self.check();
    }

    /// Wakes the first who is in time and asleep: the late have been woken by their own timers, others by
    /// somebody else, and they may be polled no more.
    pub(crate) fn wake_first(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        if let Some(key) = self.waiters.first_asleep(now) {
            fx.wake(self.waiters.get_mut(key).waker.take());
        }
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
                        self.condemn_expired(live, fx);
                    }
                }
                Fitness::Fit => self.hand_over_idle(index, now, fx),
                // Only checks that may still succeed are a reason to leave it alone.
                Fitness::Stale if self.attempts.checks(now) < self.waiters.len() => {
                    if let Some(live) = self.take_idle(index) {
                        self.begin_check(live, Kind::Check, now, fx);
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

    pub(super) fn grant(&mut self, key: usize, mut live: Box<Live<C>>, fx: &mut Effects<C, E>) {
        live.uses += 1;
        self.stages.enter(Stage::Lent);
        let waker = self.waiters.resolve(key, Outcome::Connection(live));
        fx.wake(waker);
    }

    /// The first waiter whose deadline has not passed. Those before it learn that they are late, or
    /// that the pool is overloaded.
    pub(super) fn pop_live_waiter(
        &mut self,
        now: Moment,
        phase: Phase,
        fx: &mut Effects<C, E>,
    ) -> Option<usize> {
        if self.overload.is_some() {
            return self.pop_by_the_rule(now, phase, fx);
        }
        loop {
            let first = self.waiters.first()?;
            let late = first.deadline <= now;
            let since = first.since;
            let key = self.waiters.pop()?;
            if !late {
                return Some(key);
            }
            self.tell_late(key, phase, since, now, fx);
        }
    }

    /// Tells those at the head of the queue whose deadlines have passed. They may be polled no more, and
    /// nothing is to be done for their sake.
    pub(super) fn tell_late_ones(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        while let Some((key, since)) = self.waiters.first_late(now) {
            let phase = self.phase_of(key);
            self.waiters.pop();
            self.tell_late(key, phase, since, now, fx);
        }
    }

    pub(super) fn tell_late(
        &mut self,
        key: usize,
        phase: Phase,
        since: Moment,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        self.count_missed(phase, true, now, fx);
        let waker = self.waiters.resolve(key, Outcome::Late { phase, since });
        fx.wake(waker);
    }

    pub(super) fn begin_check(
        &mut self,
        live: Box<Live<C>>,
        kind: Kind,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        let id = self.attempts.begin(kind, now, None);
        self.stages.enter(Stage::Checking(Some(id)));
        fx.check.push((live, id));
    }

    /// Takes a place for an attempt to connect. Whoever makes it, the schedule counts from it.
    pub(super) fn begin_attempt(&mut self, now: Moment) -> AttemptId {
        self.retry.begun(now);
        let id = self
            .attempts
            .begin(Kind::Connect, now, self.config.connect_timeout);
        self.stages.enter(Stage::Connecting(id));
        id
    }

    /// Leaves a stage, and ends the attempt that it was.
    pub(super) fn leave(&mut self, stage: Stage, succeeded_at: Option<Moment>) {
        self.stages.leave(stage);
        if let Stage::Connecting(id) | Stage::Checking(Some(id)) = stage {
            self.attempts.end(id, succeeded_at);
        }
    }

    /// How many more attempts to connect there should be: for those who wait, and to refill.
    pub(super) fn wanted_connects(&self, now: Moment) -> (usize, usize) {
        let surplus = self.coming(now).saturating_sub(self.to_be_served());
        let spare = surplus + self.idle.len() + self.stages.recycling + self.aside();
        let missing = self.min_idle().saturating_sub(spare);
        let free = self.free().saturating_sub(self.driverless);
        let room = free.min(self.connect_room());
        let for_waiters = self.unserved(now).min(room);
        // Without a keeper there is nobody to run a refill, and `fill` runs its own.
        let for_idle = match self.clock.is_kept() {
            true => missing.min(room - for_waiters),
            false => 0,
        };
        (for_waiters, for_idle)
    }

    /// Idle connections that somebody is looking at, and that are checked by nobody.
    fn aside(&self) -> usize {
        match self.stages.checking {
            0 => 0,
            checking => checking - self.attempts.examinations(),
        }
    }

    /// Connects and checks that can be counted on, or that waiters are about to run.
    fn coming(&self, now: Moment) -> usize {
        self.attempts.promising(now) + self.driverless
    }

    /// Those who wait; nobody is served while the pool is paused.
    pub(super) fn to_be_served(&self) -> usize {
        match self.paused {
            true => 0,
            false => self.waiters.len(),
        }
    }

    /// Those of them who have nothing coming.
    pub(super) fn unserved(&self, now: Moment) -> usize {
        self.to_be_served().saturating_sub(self.coming(now))
    }

    /// How many more connects the limit on concurrent ones allows.
    pub(super) fn connect_room(&self) -> usize {
        let limit = self.config.connect_concurrency.unwrap_or(usize::MAX);
        limit.saturating_sub(self.stages.connecting + self.driverless)
    }

    /// How many of the wanted connects the schedule lets begin now: those who wait need not heed it
    /// where each gets the error of an attempt.
    pub(super) fn allowance(&self, for_waiters: usize, for_idle: usize, now: Moment) -> usize {
        match self.config.connect_policy {
            ConnectPolicy::Retry(_) | ConnectPolicy::CircuitBreaker(_) => {
                self.retry.allowance(for_waiters + for_idle, now)
            }
            ConnectPolicy::FailFast => for_waiters + self.retry.allowance(for_idle, now),
        }
    }

    fn begin_connects(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let (for_waiters, mut for_idle) = self.wanted_connects(now);
        if for_idle > 0 && now < self.refill_after {
            self.note_due(self.refill_after, fx);
            for_idle = 0;
        }
        let wanted = for_waiters + for_idle;
        let begin = self.allowance(for_waiters, for_idle, now);
        for _ in 0..begin {
            let id = self.begin_attempt(now);
            fx.connect.push(id);
        }
        if begin < wanted {
            self.note_due(self.retry.due(), fx);
        }
        self.note_due(self.hungry_at(now), fx);
        if !self.waiters.is_empty() || self.min_idle() > 0 {
            self.note_due(self.next_overdue(now), fx);
        }
    }

    /// When the next attempt will be overdue, or be given up hope of.
    pub(super) fn next_overdue(&self, now: Moment) -> Moment {
        let overdue = self.attempts.next_overdue(now);
        match self.config.connect_policy.breaks_circuits() {
            true => overdue.min(self.attempts.next_hung(now)),
            false => overdue,
        }
    }

    /// Wakes waiters to run the attempts to connect that lost their tasks. True if it woke any: whoever
    /// is to run one looks after whatever else is due as well.
    fn pass_on_driverless(&mut self, now: Moment, fx: &mut Effects<C, E>) -> bool {
        let needed = self.driverless.min(self.waiters.len());
        // Whoever fills the pool counted on the rest.
        fx.progress |= needed < self.driverless;
        self.driverless = needed;
        let drivers = match cfg!(mutant = "driverless-is-kept") {
            true => Vec::new(),
            false => self.waiters.drivers(self.driverless, now),
        };
        for &key in &drivers {
            let waker = self.waiters.get_mut(key).waker.take();
            fx.wake(waker);
        }
        !drivers.is_empty()
    }

    /// Gives a connection that is in no stage to the first waiter, or puts it among the idle.
    /// `verified`: it is known to be fit this very moment.
    pub(super) fn supply(
        &mut self,
        mut live: Box<Live<C>>,
        verified: bool,
        phase: Phase,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Rejected<C> {
        if let Some(reason) = self.reason_to_close(&live, now) {
            return self.reject(live, reason, fx);
        }
        live.expires_at = live.expires_at.min(self.renewals.due(&live));
        if !self.waiters.is_empty() && !self.paused {
            if !verified && self.fitness(&live, now) == Fitness::Stale {
                self.begin_check(live, Kind::Check, now, fx);
                return None;
            }
            if let Some(key) = self.pop_live_waiter(now, phase, fx) {
                self.grant(key, live, fx);
                return None;
            }
        }
        if !self.has_room_for_idle() {
            return self.reject(live, CloseReason::Idle, fx);
        }
        if self.owes_place() {
            return self.reject(live, CloseReason::Resize, fx);
        }
        let expires_at = live.expires_at;
        if let Some(overload) = &mut self.overload {
            overload.is_idle();
        }
        let probe_at = live.fit_at.after_any(self.config.keepalive);
        let index = self.idle.partition_point(|other| other.turn < live.turn);
        self.idle.insert(index, live);
        fx.progress = true;
        self.note_due(expires_at.min(probe_at), fx);
        self.note_due(self.idle_due(), fx);
        None
    }

    fn reject(
        &mut self,
        live: Box<Live<C>>,
        reason: CloseReason,
        fx: &mut Effects<C, E>,
    ) -> Rejected<C> {
        self.stages.enter(Stage::Closing);
        // It may have been the last in use, and a pause is complete without it.
        fx.progress = true;
        Some((live, reason))
    }

    /// Why a connection that is in no stage must not be kept, however well it is.
    pub(super) fn reason_to_close(&self, live: &Live<C>, now: Moment) -> Option<CloseReason> {
        if self.closed {
            Some(CloseReason::Shutdown)
        } else if self.renewals.due(live) <= now {
            Some(CloseReason::Reset)
        } else if live.retired {
            Some(CloseReason::Discarded)
        } else if live.expires_at <= now {
            Some(self.why_expired(live))
        } else if self.config.max_uses.is_some_and(|max| live.uses >= max) {
            Some(CloseReason::Uses)
        } else if self.live() >= self.config.max_size {
            Some(CloseReason::Resize)
        } else {
            None
        }
    }

    /// Why the time of this one is over. What is of before a reset goes by that: whether it would have
    /// been too old as well is not kept.
    fn why_expired(&self, live: &Live<C>) -> CloseReason {
        match live.epoch < self.renewals.epoch() {
            true => CloseReason::Reset,
            false => CloseReason::Lifetime,
        }
    }

    /// Begins to close one that has expired, of age or by a reset.
    pub(super) fn condemn_expired(&mut self, live: Box<Live<C>>, fx: &mut Effects<C, E>) {
        let reason = self.why_expired(&live);
        self.condemn(live, reason, fx);
    }

    pub(super) fn admit(
        &mut self,
        connection: C,
        id: u64,
        epoch: u32,
        now: Moment,
    ) -> Box<Live<C>> {
        let lifetime = self.config.draw_lifetime(&mut self.rng);
        let live = Live {
            connection,
            id,
            created_at: now,
            expires_at: now.after_any(lifetime),
            fit_at: now,
            idle_since: now,
            turn: self.next_turn,
            uses: 0,
            epoch,
            retired: false,
            lent_at: None,
        };
        self.next_turn += 1;
        Box::new(live)
    }
}
