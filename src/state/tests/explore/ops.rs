//! What can happen next, and what it does.

use std::time::Duration;

use super::super::super::*;
use super::world::{
    At, Conn, Filler, Fx, Job, Keeper, May, Runner, Task, UNIT, User, Waiting, World, waker_of,
};

/// One taking of the lock, or the passing of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Lend(usize),
    TryAcquire(usize),
    Join {
        user: usize,
        short: bool,
    },
    PutBack(usize),
    Return(usize, Verdict),
    Detach(usize),
    /// A poll of a waiter begins. Moved: by another task than the last.
    Poll {
        user: usize,
        moved: bool,
    },
    /// It goes on.
    Step(usize),
    Cancel(usize),
    End(usize, End),
    Keep,
    KeeperEnds,
    LoseKeeper,
    Tick,
    Resize(usize),
    Pause,
    Resume,
    Reset,
    Close,
    Adopt,
    Retain(usize),
    Fill,
    LookWarm,
    StopFilling,
}

/// Somebody has seen that it was lent to him.
pub(super) fn holding(mut live: Conn) -> User {
    live.connection += 1;
    User::Holding(live)
}

/// How a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Well,
    Badly,
    ForGood,
    Lost,
}

const BROKEN: Verdict = Verdict::Condemned(CloseReason::Broken);

impl Op {
    /// Things that go wrong.
    pub(super) fn is_fault(self, world: &World) -> bool {
        match self {
            Op::LoseKeeper | Op::Return(_, BROKEN) => true,
            Op::End(_, End::Well) => false,
            Op::End(job, end) => {
                let Job { task, runner } = &world.jobs[job];
                let foreseen = matches!(task, Task::Aside(_)) && end == End::Badly;
                *runner != Runner::Nobody && !foreseen
            }
            _ => false,
        }
    }
}

impl World {
    /// All that can happen next.
    pub(super) fn ops(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        self.user_ops(&mut ops);
        for index in 0..self.jobs.len() {
            self.job_ops(index, &mut ops);
        }
        self.keeper_ops(&mut ops);
        self.filler_ops(&mut ops);
        self.pool_ops(&mut ops);
        if self.next_event().is_some() {
            ops.push(Op::Tick);
        }
        if self.faults == 0 {
            ops.retain(|op| !op.is_fault(self));
        }
        ops
    }

    fn user_ops(&self, ops: &mut Vec<Op>) {
        // One who is away is like the other.
        let away = |user: &User| matches!(user, User::Away);
        if let Some(user) = self.users.iter().position(away) {
            ops.push(Op::Join { user, short: false });
            if self.may(May::BeShort) {
                ops.push(Op::Join { user, short: true });
            }
            if self.may(May::Try) {
                ops.push(Op::TryAcquire(user));
            }
            if self.may(May::BeHot) && self.may_be_hot() {
                ops.push(Op::Lend(user));
            }
        }
        for (user, state) in self.users.iter().enumerate() {
            match state {
                User::Away => {}
                User::Holding(_) => self.holder_ops(user, ops),
                User::Waiting(waiting) => self.waiter_ops(user, waiting, ops),
            }
        }
    }

    fn holder_ops(&self, user: usize, ops: &mut Vec<Op>) {
        ops.push(Op::Return(user, Verdict::Clean));
        if self.may(May::BeHot) && self.may_be_hot() {
            ops.push(Op::PutBack(user));
        }
        for (may, op) in [
            (May::Soil, Op::Return(user, Verdict::Dirty)),
            (May::Break, Op::Return(user, BROKEN)),
            (May::Detach, Op::Detach(user)),
        ] {
            if self.may(may) {
                ops.push(op);
            }
        }
    }

    /// The keeper is never so late that the users lend each other credit more often than twice.
    fn may_be_hot(&self) -> bool {
        let [_, lent, ..] = self.pool.clock.habits();
        lent <= 3
    }

    fn waiter_ops(&self, user: usize, waiting: &Waiting, ops: &mut Vec<Op>) {
        if waiting.at != At::Parked {
            ops.push(Op::Step(user));
            return;
        }
        let at_will = self.may(May::PollAtWill);
        if at_will || self.is_to_poll(waiting) {
            ops.push(Op::Poll { user, moved: false });
        }
        if at_will {
            ops.push(Op::Poll { user, moved: true });
        }
        if self.may(May::Cancel) {
            ops.push(Op::Cancel(user));
        }
    }

    pub(super) fn is_to_poll(&self, waiting: &Waiting) -> bool {
        waiting.at == At::Parked && (waiting.woken || waiting.timer <= self.now)
    }

    fn job_ops(&self, index: usize, ops: &mut Vec<Op>) {
        let Job { task, runner } = &self.jobs[index];
        if *runner == Runner::Nobody {
            ops.push(Op::End(index, End::Lost));
            return;
        }
        if let Runner::User(user) = *runner {
            // It is polled with its waiter.
            if self.waiting(user).at != At::Parked {
                return;
            }
        }
        ops.push(Op::End(index, End::Well));
        let badly = match task {
            Task::Connect(_) => self.may(May::Refuse),
            Task::Check(..) | Task::Recycle(_) => self.may(May::Condemn),
            Task::Aside(_) => true,
            Task::Close(..) => false,
        };
        let for_good = self.may(May::RefuseForGood) && matches!(task, Task::Connect(_));
        let lost =
            self.may(May::Lose) && *runner == Runner::Runtime && !matches!(task, Task::Aside(_));
        let ends = [
            (badly, End::Badly),
            (for_good, End::ForGood),
            (lost, End::Lost),
        ];
        let ends = ends.into_iter().filter(|(may, _)| *may);
        ops.extend(ends.map(|(_, end)| Op::End(index, end)));
    }

    fn keeper_ops(&self, ops: &mut Vec<Op>) {
        let here = match self.keeper {
            Keeper::Absent => return,
            Keeper::Ending => {
                ops.push(Op::KeeperEnds);
                return;
            }
            Keeper::New => false,
            Keeper::Parked { .. } => self.may(May::KeepAtWill),
        };
        if here || self.is_to_keep() {
            ops.push(Op::Keep);
        }
        if self.may(May::LoseKeeper) {
            ops.push(Op::LoseKeeper);
        }
    }

    pub(super) fn is_to_keep(&self) -> bool {
        match self.keeper {
            Keeper::New => true,
            Keeper::Parked { until, nudged } => nudged || until <= self.now,
            Keeper::Absent | Keeper::Ending => false,
        }
    }

    fn filler_ops(&self, ops: &mut Vec<Op>) {
        match self.filler {
            Filler::Absent if self.may(May::Fill) => ops.push(Op::Fill),
            Filler::Absent => {}
            Filler::Parked { .. } => {
                if self.is_to_fill() {
                    ops.push(Op::LookWarm);
                }
                ops.push(Op::StopFilling);
            }
        }
    }

    pub(super) fn is_to_fill(&self) -> bool {
        match self.filler {
            Filler::Absent => false,
            Filler::Parked { rung, until, .. } => rung || until <= self.now,
        }
    }

    fn pool_ops(&self, ops: &mut Vec<Op>) {
        if self.may(May::Resize) {
            let sizes = (0..=2).filter(|size| *size != self.pool.config.max_size);
            ops.extend(sizes.map(Op::Resize));
        }
        if self.may(May::Pause) && !self.pool.closed {
            ops.push(match self.pool.paused {
                true => Op::Resume,
                false => Op::Pause,
            });
        }
        if self.may(May::Reset) && self.pool.size() > 0 && !self.pool.closed {
            ops.push(Op::Reset);
        }
        if self.may(May::Close) && !self.pool.closed {
            ops.push(Op::Close);
        }
        if self.may(May::Adopt) {
            ops.push(Op::Adopt);
        }
        if self.may(May::Retain) {
            ops.extend((0..self.pool.idle.len()).map(Op::Retain));
        }
    }

    /// Does it, and takes note of what follows.
    pub(super) fn apply(&mut self, op: Op) {
        self.pay(op);
        let mut fx = Fx::new();
        let now = self.now;
        match op {
            Op::Lend(user) => {
                if let Some(live) = self.pool.lend() {
                    self.users[user] = holding(live);
                }
            }
            Op::TryAcquire(user) => {
                if let Lend::Connection(live) = self.pool.lend_at(now, false, &mut fx) {
                    self.users[user] = holding(live);
                }
            }
            Op::Join { user, short } => self.join(user, short, &mut fx),
            Op::PutBack(user) => self.put_back(user),
            Op::Return(user, verdict) => self.give_back(user, verdict, &mut fx),
            Op::Detach(user) => {
                let live = self.take_from(user);
                self.connections -= 1;
                self.pool.detached(live.epoch, now, &mut fx);
            }
            Op::Poll { user, moved } => {
                let waiting = self.waiting_mut(user);
                waiting.woken = false;
                waiting.task ^= moved;
                let waker = waker_of(user, waiting.task);
                self.look(user, Some(waker));
            }
            Op::Step(user) => self.step(user, &mut fx),
            Op::Cancel(user) => {
                let key = self.waiting(user).key;
                if self.pool.quit(key).is_none() {
                    let _ = self.pool.cancel(key, now, &mut fx);
                }
                self.leave(user, User::Away);
            }
            Op::End(index, end) => self.end(index, end, &mut fx),
            Op::Keep => {
                let until = self.pool.keep(now, &mut fx);
                self.keeper = match self.pool.is_closed() {
                    true => Keeper::Ending,
                    false => Keeper::Parked {
                        until,
                        nudged: true,
                    },
                };
            }
            Op::KeeperEnds | Op::LoseKeeper => {
                self.keeper = Keeper::Absent;
                self.pool.keeper_gone(&mut fx);
            }
            Op::Tick => self.now = self.next_event().expect("something is due"),
            Op::Resize(size) => self.pool.resize(size, now, &mut fx),
            Op::Pause => _ = self.pool.pause(now, &mut fx),
            Op::Resume => _ = self.pool.resume(now, &mut fx),
            Op::Reset => self.pool.reset(Duration::ZERO, now, &mut fx),
            Op::Close => self.pool.close(&mut fx),
            Op::Adopt => {
                let adopted = self.pool.adopt(0, now, &mut fx);
                self.connections += usize::from(adopted.is_ok());
            }
            Op::Retain(index) => {
                let id = self.pool.idle[index].id;
                let live = self.pool.borrow_idle(id).expect("it is idle");
                self.spawn(Task::Aside(live));
            }
            Op::Fill => {
                let failed_before = self.pool.begin_fill(now, &mut fx);
                self.filler = Filler::Parked {
                    failed_before,
                    rung: true,
                    until: Moment::NEVER,
                };
            }
            Op::LookWarm => self.look_warm(),
            Op::StopFilling => self.stop_filling(),
        }
        self.absorb(fx);
    }

    fn join(&mut self, user: usize, short: bool, fx: &mut Fx) {
        let deadline = match short {
            true => self.now.after(UNIT),
            false => Moment::NEVER,
        };
        let mut waker = Some(waker_of(user, false).clone());
        self.users[user] = match self.pool.join(self.now, deadline, &mut waker, fx) {
            Join::Served(live) => holding(live),
            Join::Closed | Join::Rejected(_) => User::Away,
            Join::Queued { key, busy } => User::Waiting(Waiting {
                key,
                deadline,
                task: false,
                woken: false,
                // There is nothing to look for: its waker has been left.
                at: if busy { At::Look } else { At::Parked },
                timer: if busy { Moment::NEVER } else { deadline },
            }),
        };
    }

    fn take_from(&mut self, user: usize) -> Conn {
        match std::mem::replace(&mut self.users[user], User::Away) {
            User::Holding(live) => live,
            other => panic!("user {user} does not hold anything but is {other:?}"),
        }
    }

    fn put_back(&mut self, user: usize) {
        let live = self.take_from(user);
        if let Err(live) = self.pool.put_back(live) {
            self.users[user] = User::Holding(live);
        }
    }

    fn give_back(&mut self, user: usize, verdict: Verdict, fx: &mut Fx) {
        let live = self.take_from(user);
        match self.pool.returned(live, verdict, self.now, fx) {
            Returned::Kept => {}
            Returned::Recycle(live) => self.spawn(Task::Recycle(live)),
            Returned::Close(live, reason) => self.spawn(Task::Close(reason, live.epoch)),
        }
    }

    fn look_warm(&mut self) {
        let Filler::Parked { failed_before, .. } = self.filler else {
            panic!("nobody looks");
        };
        let parked = |rung, until| Filler::Parked {
            failed_before,
            rung,
            until,
        };
        match self.pool.warmth(failed_before, self.now) {
            Warmth::Cold => {
                let until = self.pool.fills_again_at(self.now);
                self.filler = parked(false, until);
            }
            Warmth::Drive(id) => {
                let (task, runner) = (Task::Connect(id), Runner::Filler);
                self.jobs.push(Job { task, runner });
                self.filler = parked(true, Moment::NEVER);
            }
            Warmth::Warm | Warmth::Failed(_) | Warmth::Closed => self.stop_filling(),
        }
    }

    fn stop_filling(&mut self) {
        self.filler = Filler::Absent;
        self.orphan(Runner::Filler);
        self.pool.end_fill();
    }
}
