//! Where connections come from and where they go: serving the queue, connecting, checking,
//! ageing, growing, shrinking, closing.

use super::{Effects, Fitness, Live, Outcome, Stage, State};
use crate::attempts::AttemptId;
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
        self.stranded = false;
        if self.closed {
            fx.drained |= self.size() == 0;
        } else {
            self.serve_from_idle(now, fx);
            self.begin_connects(now, fx);
        }
        self.pass_on_driverless(fx);
        if !self.clock.is_kept() {
            // The first waiter stands in for the keeper: let it see what is due by now.
            self.wake_first(fx);
        }
        self.check();
    }

    /// A task was lost, and with it what it was to do. As `pump`, but spawns nothing: a runtime
    /// that drops one task is likely to drop the next, in the middle of being given it.
    fn pump_without_spawning(&mut self, fx: &mut Effects<C, E>) {
        if self.closed {
            fx.drained |= self.size() == 0;
        } else if !self.waiters.is_empty() {
            self.stranded = true;
            self.wake_first(fx);
        }
        self.pass_on_driverless(fx);
        self.check();
    }

    fn wake_first(&mut self, fx: &mut Effects<C, E>) {
        let first = self.waiters.first_mut();
        let waker = first.and_then(|first| first.waker.take());
        fx.wake(waker);
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
                // Connects under way are no reason to leave it alone: they may be hung.
                Fitness::Stale if self.stages.checking < self.waiters.len() => {
                    if let Some(live) = self.take_idle(index) {
                        self.begin_check(live, now, fx);
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
            self.count_missed(phase, now);
            let waker = self.waiters.resolve(key, Outcome::Late { phase, since });
            fx.wake(waker);
        }
    }

    fn begin_check(&mut self, live: Box<Live<C>>, now: Moment, fx: &mut Effects<C, E>) {
        let id = self.attempts.begin(now);
        self.stages.enter(Stage::Checking(Some(id)));
        fx.check.push((live, id));
    }

    /// Takes a place for an attempt to connect.
    pub(super) fn begin_attempt(&mut self, now: Moment) -> AttemptId {
        let id = self.attempts.begin(now);
        self.stages.enter(Stage::Connecting(id));
        id
    }

    /// Leaves a stage, and ends the attempt that it was.
    fn leave(&mut self, stage: Stage, succeeded_at: Option<Moment>) {
        self.stages.leave(stage);
        if let Stage::Connecting(id) | Stage::Checking(Some(id)) = stage {
            self.attempts.end(id, succeeded_at);
        }
    }

    /// How many more attempts to connect there should be: for those who wait, and to refill.
    fn wanted_connects(&self, now: Moment) -> (usize, usize) {
        let under_way = self.attempts.promising(now) + self.driverless;
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
        // Without a keeper there is nobody to run a refill, and `fill` runs its own.
        let for_idle = match self.clock.is_kept() {
            true => missing.min(room - for_waiters),
            false => 0,
        };
        (for_waiters, for_idle)
    }

    fn begin_connects(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let (for_waiters, mut for_idle) = self.wanted_connects(now);
        if for_idle > 0 && now < self.refill_after {
            self.note_due(self.refill_after, fx);
            for_idle = 0;
        }
        let wanted = for_waiters + for_idle;
        let begin = match self.config.connect_policy {
            ConnectPolicy::Retry(_) => self.retry.allowance(wanted, now),
            ConnectPolicy::FailFast => for_waiters + self.retry.allowance(for_idle, now),
        };
        for _ in 0..begin {
            let id = self.begin_attempt(now);
            fx.connect.push(id);
        }
        if begin > 0 {
            self.retry.begun(now);
        }
        if begin < wanted {
            self.note_due(self.retry.due(), fx);
        }
        if !self.waiters.is_empty() {
            self.note_due(self.attempts.next_overdue(now), fx);
        }
    }

    /// Wakes waiters to run the attempts to connect that lost their tasks.
    fn pass_on_driverless(&mut self, fx: &mut Effects<C, E>) {
        self.driverless = self.driverless.min(self.waiters.len());
        for key in self.waiters.not_driving(self.driverless) {
            let waker = self.waiters.get_mut(key).waker.take();
            fx.wake(waker);
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
                self.begin_check(live, now, fx);
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
        } else if self.live() >= self.config.max_size {
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
        from: Stage,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Rejected<C> {
        self.leave(from, Some(now));
        self.statistics.connects += 1;
        fx.progress = true;
        self.retry.succeeded(self.attempts.next());
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
        let live = self.admit(connection, now);
        if let Some((live, _)) = self.supply(live, true, Phase::Wait, now, fx) {
            // Those who waited were all late.
            self.stages.leave(Stage::Closing);
            return Err(live.connection);
        }
        self.statistics.adopted += 1;
        self.pump(now, fx);
        Ok(())
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
        self.leave(from, None);
        self.statistics.failed_connects += 1;
        fx.progress = true;
        let hopeless = permanent && self.live() == 0;
        if hopeless {
            while self.fail_first_waiter(&error, fx) {}
        } else if self.config.connect_policy == ConnectPolicy::FailFast {
            self.fail_first_waiter(&error, fx);
        }
        // Kept as the last error, so dropping a clone above was never the last.
        if let Stage::Connecting(id) = from {
            let next = self.attempts.next();
            fx.garbage = self.retry.failed(id, next, error, now, &mut self.rng);
        }
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

    /// A check or recycling succeeded, or nothing was found against it by `retain`.
    pub(crate) fn passed(
        &mut self,
        mut live: Box<Live<C>>,
        from: Stage,
        verified: bool,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) -> Rejected<C> {
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
    pub(crate) fn condemned(&mut self, from: Stage, now: Moment, fx: &mut Effects<C, E>) {
        self.leave(from, None);
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
        self.leave(stage, None);
        fx.progress = true;
        match stage {
            Stage::Closing | Stage::Lent => {
                self.statistics.closes.count(reason);
                return self.pump(now, fx);
            }
            Stage::Checking(_) | Stage::Recycling => self.statistics.closes.count(reason),
            // Somebody who waits is to run it instead; a mere refill is tried again later.
            Stage::Connecting(_) if self.driverless < self.waiters.len() => self.driverless += 1,
            Stage::Connecting(_) => {
                self.refill_after = now.after(self.config.backoff().first());
                self.note_due(self.refill_after, fx);
            }
        }
        self.pump_without_spawning(fx);
    }

    /// Does what is due at `now`, and says when to come back.
    pub(crate) fn advance(&mut self, now: Moment, fx: &mut Effects<C, E>) -> Moment {
        self.clock.observe(now);
        self.expire(now, fx);
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

    /// The maintenance task is gone: waiters must look after what is due.
    pub(crate) fn keeper_gone(&mut self, fx: &mut Effects<C, E>) {
        self.clock.keeper_gone();
        self.wake_first(fx);
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

    /// When something will be due, given that nothing else happens.
    pub(super) fn next_due(&self, now: Moment) -> Moment {
        if self.closed {
            return Moment::NEVER;
        }
        let retry = match self.wanted_connects(now) {
            (0, 0) => Moment::NEVER,
            (0, _) if now < self.refill_after => self.refill_after,
            _ => self.retry.due(),
        };
        let overdue = match self.waiters.is_empty() {
            true => Moment::NEVER,
            false => self.attempts.next_overdue(now),
        };
        let first = retry.min(overdue).min(self.idle_due());
        let expiries = self.idle.iter().map(|live| live.expires_at);
        expiries.fold(first, Moment::min)
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
        fx.progress = true;
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
        self.stages.enter(Stage::Checking(None));
        Some(live)
    }

    /// A call to `fill` begins: sees to the idle ones now, even if the schedule has a long delay.
    pub(crate) fn begin_fill(&mut self, now: Moment, fx: &mut Effects<C, E>) -> u64 {
        self.fillers += 1;
        self.hurry(now, fx);
        self.statistics.failed_connects
    }

    /// A call to `fill` is over.
    pub(crate) fn end_fill(&mut self) {
        self.fillers -= 1;
    }

    /// Sees to the idle ones now.
    pub(crate) fn hurry(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        self.retry.bring_forward();
        self.revive(fx);
        self.pump(now, fx);
    }

    /// How warm the pool is, to a call of `fill` that began when so many attempts had failed.
    pub(crate) fn warmth(&mut self, failed_before: u64, now: Moment) -> Warmth<E> {
        if self.closed {
            return Warmth::Closed;
        }
        let ready = self.idle.len() + self.stages.recycling + self.stages.checking;
        let coming = self.stages.connecting + self.driverless;
        if ready >= self.min_idle() || (coming == 0 && self.free() == 0) {
            return Warmth::Warm;
        }
        if self.statistics.failed_connects > failed_before {
            if let Some(error) = self.retry.last_error() {
                return Warmth::Failed(error.clone());
            }
        }
        if !self.clock.is_kept() && ready + coming < self.min_idle() && self.free() > 0 {
            return Warmth::Drive(self.begin_attempt(now));
        }
        Warmth::Cold
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
