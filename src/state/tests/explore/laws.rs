//! What must hold in every state, after every operation, and where nothing is outstanding.

use super::super::super::*;
use super::ops::{End, Op};
use super::world::{At, Conn, Filler, Fx, Job, Keeper, Runner, Task, UNIT, User, World};

/// What is remembered of the state before an operation.
#[derive(Debug)]
pub(super) struct Before {
    queue: Vec<(usize, Moment)>,
    size: usize,
    lent: usize,
    paused: bool,
    over: bool,
    /// Of each job, whether what comes of it is known to be fit.
    verifying: Vec<bool>,
}

impl Before {
    pub(super) fn of(world: &World) -> Self {
        Before {
            queue: world.queue(),
            size: world.pool.size(),
            lent: world.pool.stages.lent,
            paused: world.pool.paused,
            over: world.is_over(),
            verifying: world
                .jobs
                .iter()
                .map(|job| matches!(job.task, Task::Connect(_) | Task::Check(..)))
                .collect(),
        }
    }
}

impl World {
    fn is_over(&self) -> bool {
        self.pool.closed && self.pool.size() == 0
    }

    /// Asserts all that an operation must have kept to.
    pub(super) fn assert_laws(&self, before: &Before, op: Op) {
        self.pool.check();
        self.assert_ledger();
        self.assert_bounds(before);
        self.assert_order(before, op);
        self.assert_fit(before, op);
        self.assert_told(before);
        if self.is_calm() {
            self.assert_calm();
        }
    }

    /// Every place and every connection is somewhere, and the books agree.
    fn assert_ledger(&self) {
        let status = self.pool.status(self.now);
        let jobs = |is: fn(&Task) -> bool| self.jobs.iter().filter(|job| is(&job.task)).count();
        let held = self.users.iter();
        let held = held.filter(|user| matches!(user, User::Holding(_))).count();
        let granted = self.all_waiting();
        let granted = granted
            .filter(|(_, waiting)| self.granted(waiting).is_some())
            .count();
        let closing = jobs(|task| matches!(task, Task::Close(..)));
        assert_eq!(status.in_use, held + granted, "lent");
        assert_eq!(
            status.connecting,
            jobs(|task| matches!(task, Task::Connect(_))),
            "connecting"
        );
        assert_eq!(
            status.checking,
            jobs(|task| matches!(task, Task::Check(..) | Task::Aside(_))),
            "checking"
        );
        assert_eq!(
            status.recycling,
            jobs(|task| matches!(task, Task::Recycle(_))),
            "recycling"
        );
        assert_eq!(status.closing, closing, "closing");
        assert_eq!(
            self.connections().count() + closing,
            self.connections,
            "connections"
        );
        let attempts = jobs(|task| matches!(task, Task::Connect(_) | Task::Check(..)));
        assert_eq!(self.pool.attempts.iter().count(), attempts, "attempts");
        let fillers = usize::from(self.filler != Filler::Absent);
        assert_eq!(self.pool.fillers, fillers, "calls to fill");
        let kept = self.keeper != Keeper::Absent;
        assert_eq!(self.pool.is_kept(), kept, "the keeper");
    }

    fn assert_bounds(&self, before: &Before) {
        let (pool, config) = (&self.pool, &self.pool.config);
        let bound = config.max_size.max(before.size);
        assert!(pool.size() <= bound, "begun above max_size");
        let limit = config.connect_concurrency.unwrap_or(usize::MAX);
        assert!(pool.stages.connecting <= limit, "connects at a time");
        let most = config.max_idle.unwrap_or(usize::MAX);
        assert!(pool.idle.len() <= most, "idle above max_idle");
        let most = config.max_uses.unwrap_or(u64::MAX);
        let mut connections = self.connections();
        assert!(connections.all(|live| live.uses <= most), "used too often");
        let granted = |live: &Conn| {
            let mut waiting = self.all_waiting();
            waiting.any(|(_, waiting)| self.granted(waiting).is_some_and(|one| one.id == live.id))
        };
        for live in self.connections() {
            let seen = live.connection + u64::from(granted(live));
            assert_eq!(live.uses, seen, "uses, of which somebody knows");
        }
        let surplus = pool.is_surplus() && !pool.idle.is_empty();
        assert!(!surplus, "a surplus one is kept");
    }

    /// Whoever was served was the first who waited, and not late.
    fn assert_order(&self, before: &Before, op: Op) {
        let queue = self.queue();
        let mut order = before.queue.clone();
        if let Op::Join { user, .. } = op {
            match &self.users[user] {
                User::Waiting(waiting) => order.push((user, waiting.deadline)),
                User::Holding(_) => assert!(order.is_empty(), "user {user} overtook"),
                User::Away => {}
            }
        }
        if let Op::Lend(user) | Op::TryAcquire(user) = op {
            let served = matches!(self.users[user], User::Holding(_));
            assert!(order.is_empty() || !served, "user {user} overtook");
        }
        if before.paused && self.pool.paused {
            assert!(self.pool.stages.lent <= before.lent, "lent in a pause");
        }
        let mut passed_over = None;
        for (user, deadline) in order {
            let User::Waiting(waiting) = &self.users[user] else {
                continue;
            };
            let late = deadline <= self.now;
            match &self.pool.waiters.get(waiting.key).outcome {
                None if queue.iter().any(|(other, _)| *other == user) => {
                    if !late {
                        passed_over = Some(user);
                    }
                }
                None => panic!("user {user} is out of the queue without an answer"),
                Some(Outcome::Connection(_)) => {
                    assert!(!late, "user {user} was served after the deadline");
                    assert_eq!(passed_over, None, "user {user} was served first");
                }
                Some(Outcome::Failed(_)) => {
                    assert_eq!(passed_over, None, "user {user} was answered first");
                }
                Some(Outcome::Shed { .. }) => panic!("nobody is turned away here"),
                Some(Outcome::Late { .. }) => assert!(late, "user {user} is not late"),
                Some(Outcome::Closed) => assert!(self.pool.closed, "the pool is open"),
            }
        }
    }

    fn held_by(&self, user: usize) -> Option<&Conn> {
        match &self.users[user] {
            User::Holding(live) => Some(live),
            _ => None,
        }
    }

    /// Nobody gets what is not fit, and nobody waits beside what is.
    fn assert_fit(&self, before: &Before, op: Op) {
        let fitness = |live: &Conn| self.pool.fitness(live, self.now);
        let fit = |live: &Conn| fitness(live) == Fitness::Fit;
        if !self.pool.waiters.is_empty() && !self.pool.paused {
            assert!(!self.pool.idle.iter().any(fit), "waits beside a fit one");
        }
        for (user, _) in &before.queue {
            let User::Waiting(waiting) = &self.users[*user] else {
                continue;
            };
            let Some(live) = self.granted(waiting) else {
                continue;
            };
            assert_ne!(fitness(live), Fitness::Expired, "granted although expired");
            let verified = match op {
                Op::End(job, End::Well) => before.verifying[job],
                _ => op == Op::Adopt,
            };
            let always = self.pool.config.check_policy == CheckPolicy::Always;
            assert!(verified || !always, "granted without a check");
        }
        // Coarse time can be trusted for two ticks; the keeper, when it is on time, needs one.
        let trusted = self.now.elapsed_since(self.pool.clock.now()) < UNIT * 2;
        let served = match op {
            Op::Join { user, .. } => self.held_by(user),
            Op::Lend(user) if trusted => self.held_by(user),
            Op::PutBack(user) if trusted && self.held_by(user).is_none() => self.pool.idle.back(),
            _ => None,
        };
        assert!(served.is_none_or(fit), "served with what is not fit");
    }

    /// Those who wait for something other than a connection have been told, or will look.
    fn assert_told(&self, before: &Before) {
        assert!(before.over || !self.is_over() || self.drained, "drained");
        if let (Filler::Parked { failed_before, .. }, false) = (self.filler, self.is_to_fill()) {
            let warmth = self.pool.clone().warmth(failed_before, self.now);
            assert!(matches!(warmth, Warmth::Cold), "`fill` sleeps: {warmth:?}");
        }
        if let Keeper::Parked {
            until,
            nudged: false,
        } = self.keeper
        {
            let wanted = self.pool.wants_keeper_before(until);
            assert!(!wanted, "the keeper is wanted and was not nudged");
        }
    }

    /// True if nothing is outstanding but tasks that take their time and users who do as they
    /// please: nobody is to be polled, and nothing is due.
    fn is_calm(&self) -> bool {
        let slow = |job: &Job| job.runner != Runner::Nobody && !matches!(job.task, Task::Aside(_));
        let mut waiting = self.all_waiting();
        waiting.all(|(_, one)| one.at == At::Parked && !self.is_to_poll(one))
            && self.jobs.iter().all(slow)
            && !self.is_to_keep()
            && self.keeper != Keeper::Ending
            && !self.is_to_fill()
    }

    /// In a calm state there is nothing to do, and whatever comes next has somebody who will see
    /// to it: else a wake-up was lost.
    fn assert_calm(&self) {
        let mut pool = self.pool.clone();
        for (user, waiting) in self.all_waiting() {
            let outcome = &self.pool.waiters.get(waiting.key).outcome;
            assert!(outcome.is_none(), "user {user} was not told: {outcome:?}");
            let turn = pool.poll_waiter(waiting.key, None);
            let waits = matches!(turn, Turn::Wait(_));
            assert!(waits, "user {user} was not woken: {turn:?}");
        }
        let driverless = pool.driverless.min(pool.free());
        let driven = driverless == 0 || pool.paused;
        assert!(driven, "attempts that nobody drives");
        let kept = self.pool.is_kept();
        let mut fx = Fx::new();
        let due = pool.advance(self.now, &mut fx);
        let begun = (fx.connect.len(), fx.check.len());
        assert_eq!(begun, (0, 0), "connects and checks that nobody began");
        assert_eq!(pool.waiters.len(), self.pool.waiters.len(), "unserved");
        if kept {
            assert!(fx.close.is_empty(), "nobody closed what is over");
        }
        // Without a keeper nobody sees to what is due for nobody.
        let timers = self.all_waiting().map(|(_, waiting)| waiting.timer);
        let first = match self.keeper {
            Keeper::Parked { until, .. } => timers.fold(until, Moment::min),
            _ => timers.min().unwrap_or(due),
        };
        let filler = match self.filler {
            Filler::Parked { until, .. } => until,
            Filler::Absent => Moment::NEVER,
        };
        assert!(first.min(filler) <= due, "all sleep past what is due");
    }
}
