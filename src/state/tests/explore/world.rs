//! What surrounds a state: users, tasks, the keeper and a call to `fill`.
//!
//! Each of them does what its counterpart in the pool does, from one taking of the lock to the
//! next. What is to be done after unlocking is outstanding until a later operation does it.

use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::super::super::*;
use super::ops::Op;
use crate::attempts::AttemptId;
use crate::backoff::Backoff;
use crate::config::Tick;

/// A connection knows how often it has been lent.
pub(super) type Pool = State<u64, ()>;
pub(super) type Conn = Box<Live<u64>>;
pub(super) type Fx = Effects<u64, ()>;

/// The first delay of the schedule; the other times are multiples or fractions of it.
pub(super) const UNIT: Duration = Duration::from_secs(1);

/// Time goes by in steps of so much, so that what is due a nanosecond later makes no new states.
/// It is also the shortest patience with an attempt.
pub(super) const GRAIN: Duration = Duration::from_millis(250);

/// What may happen in an exploration besides acquiring, giving back and all that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// A user gives up at any moment.
    Cancel,
    /// A waiter is polled although nobody woke it, and by another task than before.
    PollAtWill,
    /// A caller takes what is idle without waiting.
    Try,
    /// A caller waits for no longer than a [`UNIT`].
    BeShort,
    /// An attempt to connect fails.
    Refuse,
    /// It fails for good.
    RefuseForGood,
    /// A check or a recycling fails.
    Condemn,
    /// The runtime drops a task.
    Lose,
    /// It drops the keeper.
    LoseKeeper,
    /// A connection comes back dirty.
    Soil,
    /// It comes back broken.
    Break,
    Detach,
    Adopt,
    Close,
    Resize,
    Pause,
    Reset,
    Retain,
    Fill,
    /// Users take the hot path.
    BeHot,
    /// The keeper looks although nothing is due.
    KeepAtWill,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How many places the pool is built with.
    pub(super) places: usize,
    pub(super) users: usize,
    /// How many things may go wrong; `u8::MAX` for any number.
    pub(super) faults: u8,
    /// For how long an attempt may be under way. Zero: time only passes between attempts.
    pub(super) slowest: Duration,
    pub(super) may: &'static [May],
}

#[derive(Clone, Debug)]
pub(super) enum User {
    Away,
    Holding(Conn),
    Waiting(Waiting),
}

/// A call to `acquire` that has joined the queue.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) key: usize,
    pub(super) deadline: Moment,
    /// Which of the two tasks of its user polled it last.
    pub(super) task: bool,
    pub(super) woken: bool,
    pub(super) at: At,
    /// When its timer goes off.
    pub(super) timer: Moment,
}

/// What a waiter will do next with the lock held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Nothing before its next poll.
    Parked,
    Leave,
    Look,
    Advance,
    Drive,
    TimeOut,
}

/// A place on its way, and all that the shell knows of it.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Connect(AttemptId),
    Check(Conn, AttemptId),
    Recycle(Conn),
    /// The connection itself will not be lent again; its epoch.
    Close(CloseReason, u32),
    /// An idle one that `retain` looks at.
    Aside(Conn),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    Runtime,
    /// A waiter drives it.
    User(usize),
    /// The call to `fill` drives it.
    Filler,
    /// It was dropped with the future that drove it, and is about to give its place back.
    Nobody,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) runner: Runner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    Absent,
    /// Spawned, and not polled yet.
    New,
    /// Asleep until then. Nudged: it is to look whether it is wanted earlier.
    Parked {
        until: Moment,
        nudged: bool,
    },
    /// It has seen that the pool is closed, and is about to say that it goes.
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    Absent,
    /// Asleep until then, beside the attempts that it runs. Rung: it is to look again.
    Parked {
        failed_before: u64,
        rung: bool,
        until: Moment,
    },
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) rules: Rules,
    pub(super) pool: Pool,
    pub(super) now: Moment,
    pub(super) users: Vec<User>,
    pub(super) jobs: Vec<Job>,
    pub(super) keeper: Keeper,
    pub(super) filler: Filler,
    /// How many connections there are anywhere.
    pub(super) connections: usize,
    /// How many things may still go wrong.
    pub(super) faults: u8,
    /// Those who wait for the end of a closed pool have been told.
    pub(super) drained: bool,
}

impl World {
    /// A pool that has just been built, its keeper spawned.
    pub(super) fn new(config: Config, rules: Rules) -> Self {
        let mut pool = Pool::new(config, 7);
        // Without coarse time the streaks and credits of its readers are no state.
        let tick = match rules.may.contains(&May::BeHot) {
            true => Tick::Every(UNIT),
            false => Tick::Exact,
        };
        pool.clock = Clock::new(tick, config.check_policy);
        // Of delays that are drawn at random there is no end.
        pool.retry = Retry::new(Backoff::new(UNIT, UNIT));
        let mut world = World {
            rules,
            pool,
            now: Moment::START.after(UNIT * 100),
            users: vec![User::Away; rules.users],
            jobs: Vec::new(),
            keeper: Keeper::New,
            filler: Filler::Absent,
            connections: 0,
            faults: rules.faults,
            drained: false,
        };
        let mut fx = Fx::new();
        world.pool.hurry(world.now, &mut fx);
        world.absorb(fx);
        world
    }

    pub(super) fn may(&self, what: May) -> bool {
        self.rules.may.contains(&what)
    }

    /// Takes note of what is outstanding now.
    pub(super) fn absorb(&mut self, fx: Fx) {
        for waker in fx.wake.into_iter().chain(fx.wake_more) {
            self.wake(&waker);
        }
        for (live, id) in fx.check {
            self.spawn(Task::Check(live, id));
        }
        for id in fx.connect {
            self.spawn(Task::Connect(id));
        }
        for (live, reason) in fx.close {
            self.spawn(Task::Close(reason, live.epoch));
        }
        if let (true, Keeper::Parked { nudged, .. }) = (fx.nudge, &mut self.keeper) {
            *nudged = true;
        }
        if fx.revive {
            assert_eq!(self.keeper, Keeper::Absent, "revived while there is one");
            self.keeper = Keeper::New;
        }
        if let (true, Filler::Parked { rung, .. }) = (fx.progress, &mut self.filler) {
            *rung = true;
        }
        self.drained |= fx.drained;
        // A look that finds nothing changes nothing, so it is as good as done.
        if let Keeper::Parked { until, nudged } = &mut self.keeper {
            *nudged &= self.pool.wants_keeper_before(*until);
        }
    }

    pub(super) fn spawn(&mut self, task: Task) {
        self.jobs.push(Job {
            task,
            runner: Runner::Runtime,
        });
    }

    fn wake(&mut self, waker: &Waker) {
        for (user, state) in self.users.iter_mut().enumerate() {
            if let User::Waiting(waiting) = state {
                waiting.woken |= waker_of(user, waiting.task).will_wake(waker);
            }
        }
    }

    pub(super) fn waiting(&self, user: usize) -> &Waiting {
        match &self.users[user] {
            User::Waiting(waiting) => waiting,
            other => panic!("user {user} does not wait but is {other:?}"),
        }
    }

    pub(super) fn waiting_mut(&mut self, user: usize) -> &mut Waiting {
        match &mut self.users[user] {
            User::Waiting(waiting) => waiting,
            other => panic!("user {user} does not wait but is {other:?}"),
        }
    }

    pub(super) fn all_waiting(&self) -> impl Iterator<Item = (usize, &Waiting)> {
        let users = self.users.iter().enumerate();
        users.filter_map(|(user, state)| match state {
            User::Waiting(waiting) => Some((user, waiting)),
            _ => None,
        })
    }

    /// Those in the queue, in order.
    pub(super) fn queue(&self) -> Vec<(usize, Moment)> {
        let user_of = |key| {
            let mut all = self.all_waiting();
            all.find(|(_, waiting)| waiting.key == key)
                .map(|(user, _)| user)
        };
        let queue = self.pool.waiters.iter();
        queue
            .map(|(key, waiter)| {
                let user = user_of(key).expect("an entry in the queue belongs to a user");
                (user, waiter.deadline)
            })
            .collect()
    }

    /// A future goes, and with it what it drove.
    pub(super) fn orphan(&mut self, runner: Runner) {
        for job in &mut self.jobs {
            if job.runner == runner {
                job.runner = Runner::Nobody;
            }
        }
    }

    pub(super) fn drives(&self, runner: Runner) -> bool {
        self.jobs.iter().any(|job| job.runner == runner)
    }

    /// When the next thing is due, whoever sees to it.
    pub(super) fn next_event(&self) -> Option<Moment> {
        let pool = &self.pool;
        let mut at = vec![pool.retry.due(), pool.refill_after];
        if let Keeper::Parked { until, .. } = self.keeper {
            at.push(until);
        }
        if let Filler::Parked { until, .. } = self.filler {
            at.push(until);
        }
        for (_, waiting) in self.all_waiting() {
            at.extend([waiting.timer, waiting.deadline]);
        }
        for (_, _, begun, overdue) in pool.attempts.iter() {
            at.push(begun.after(self.rules.slowest));
            at.extend(overdue);
        }
        for live in self.connections() {
            at.push(live.expires_at);
            at.push(live.idle_since.after_any(pool.config.idle_timeout));
            if let CheckPolicy::IdleFor(age) = pool.config.check_policy {
                at.push(live.fit_at.after(age + Duration::from_millis(1)));
            }
        }
        let next = at.into_iter().filter(|at| *at > self.now).min()?;
        let hung = |begun: Moment| begun.after(self.rules.slowest) <= self.now;
        let blocked = pool.attempts.iter().any(|(_, _, begun, _)| hung(begun));
        (next != Moment::NEVER && !blocked).then(|| self.at_next_grain(next))
    }

    /// The first moment that comes at this time or after it.
    pub(super) fn at_next_grain(&self, at: Moment) -> Moment {
        let ahead = at.elapsed_since(self.now).as_nanos();
        let grains = ahead.div_ceil(GRAIN.as_nanos());
        let grains = u32::try_from(grains).unwrap_or(u32::MAX);
        self.now.after(GRAIN.saturating_mul(grains))
    }

    /// All connections, wherever they are, as far as they may still be lent.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Conn> {
        let idle = self.pool.idle.iter();
        let held = self.users.iter().filter_map(|user| match user {
            User::Holding(live) => Some(live),
            User::Waiting(waiting) => self.granted(waiting),
            User::Away => None,
        });
        let busy = self.jobs.iter().filter_map(|job| match &job.task {
            Task::Check(live, _) | Task::Recycle(live) | Task::Aside(live) => Some(live),
            Task::Connect(_) | Task::Close(..) => None,
        });
        idle.chain(held).chain(busy)
    }

    /// The connection that a waiter has been given and has not seen yet.
    pub(super) fn granted(&self, waiting: &Waiting) -> Option<&Conn> {
        match &self.pool.waiters.get(waiting.key).outcome {
            Some(Outcome::Connection(live)) => Some(live),
            _ => None,
        }
    }

    /// The faults that an operation costs.
    pub(super) fn pay(&mut self, op: Op) {
        if op.is_fault(self) && self.faults != u8::MAX {
            self.faults = self.faults.saturating_sub(1);
        }
    }
}

/// One of the two wakers of a user, one for each of the tasks that may poll for it.
pub(super) fn waker_of(user: usize, task: bool) -> &'static Waker {
    struct Task(#[expect(dead_code, reason = "so that each has an address of its own")] usize);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    const MOST: usize = 16;
    static WAKERS: OnceLock<Vec<Waker>> = OnceLock::new();
    let wakers = WAKERS.get_or_init(|| {
        (0..MOST)
            .map(|number| Waker::from(Arc::new(Task(number))))
            .collect()
    });
    &wakers[2 * user + usize::from(task)]
}
