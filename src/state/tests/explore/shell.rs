//! A poll of a waiter, step by step, and the end of a task.

use super::super::super::*;
use super::ops::{End, holding};
use super::world::{At, Filler, Fx, Job, Runner, Task, User, World, waker_of};
use crate::error::ConnectError;
use std::task::Waker;

impl World {
    /// What a waiter does the next time that it takes the lock.
    pub(super) fn step(&mut self, user: usize, fx: &mut Fx) {
        let now = self.now;
        let waiting = self.waiting(user);
        let key = waiting.key;
        match waiting.at {
            At::Parked => panic!("user {user} is not in the middle of a poll"),
            At::Look => self.look(user, None),
            At::Leave => {
                let waker = waker_of(user, waiting.task).clone();
                let _ = self.pool.leave_waker(key, waker);
                self.waiting_mut(user).at = At::Look;
            }
            At::Advance => {
                let _ = self.pool.advance(now, fx);
                self.waiting_mut(user).at = At::Look;
            }
            At::Drive => {
                if let Some(id) = self.pool.drive(key, now) {
                    let (task, runner) = (Task::Connect(id), Runner::User(user));
                    self.jobs.push(Job { task, runner });
                }
                self.waiting_mut(user).at = At::Look;
            }
            At::TimeOut => match self.pool.time_out(key, now, fx) {
                TimeOut::Served(outcome) => self.over(user, outcome),
                TimeOut::Missed(..) => self.leave(user, User::Away),
            },
        }
    }

    /// Looks whether a waiter has been served.
    pub(super) fn look(&mut self, user: usize, waker: Option<&Waker>) {
        let now = self.now;
        let key = self.waiting(user).key;
        let turn = self.pool.poll_waiter(key, waker);
        if let Turn::Over(outcome) = turn {
            return self.over(user, outcome);
        }
        let waiting = self.waiting_mut(user);
        waiting.at = match turn {
            Turn::Over(_) => unreachable!("seen to above"),
            Turn::LeaveWaker => At::Leave,
            Turn::Drive => At::Drive,
            Turn::Advance => At::Advance,
            Turn::Wait(due) => {
                waiting.timer = waiting.deadline.min(due);
                match () {
                    () if waiting.deadline <= now => At::TimeOut,
                    () if due <= now => At::Advance,
                    () => At::Parked,
                }
            }
        };
    }

    fn over(&mut self, user: usize, outcome: Outcome<u64, ()>) {
        let next = match outcome {
            Outcome::Connection(live) => holding(live),
            Outcome::Failed(_) | Outcome::Late { .. } | Outcome::Shed { .. } | Outcome::Closed => {
                User::Away
            }
        };
        self.leave(user, next);
    }

    /// A waiter's future is over, or dropped.
    pub(super) fn leave(&mut self, user: usize, next: User) {
        self.users[user] = next;
        self.orphan(Runner::User(user));
    }

    /// A task comes to its end, or to the close that follows.
    pub(super) fn end(&mut self, index: usize, end: End, fx: &mut Fx) {
        let Job { task, runner } = self.jobs.remove(index);
        let next = match end {
            End::Lost => {
                self.lose(task, fx);
                None
            }
            End::Well => self.end_well(task, fx),
            End::Badly | End::ForGood => self.end_badly(task, end == End::ForGood, fx),
        };
        // A `retain` closes in a task of its own; who else closes does so where he is.
        let over = next.is_none();
        if let Some(task) = next {
            self.jobs.push(Job { task, runner });
        }
        match runner {
            Runner::Runtime | Runner::Nobody => {}
            Runner::User(user) => {
                let key = self.waiting(user).key;
                if over && !self.drives(runner) {
                    self.pool.stopped_driving(key);
                }
                self.waiting_mut(user).woken = true;
            }
            Runner::Filler => {
                if let (true, Filler::Parked { rung, .. }) = (over, &mut self.filler) {
                    *rung = true;
                }
            }
        }
    }

    fn end_well(&mut self, task: Task, fx: &mut Fx) -> Option<Task> {
        let now = self.now;
        let rejected = match task {
            Task::Connect(id) => {
                self.connections += 1;
                super::super::connected(&mut self.pool, 0, Stage::Connecting(id), now, fx)
            }
            Task::Check(live, id) => {
                let from = Stage::Checking(Some(id));
                self.pool.passed(live, from, true, now, fx)
            }
            Task::Recycle(live) => self.pool.passed(live, Stage::Recycling, true, now, fx),
            Task::Aside(live) => self
                .pool
                .passed(live, Stage::Checking(None), false, now, fx),
            Task::Close(reason, epoch) => {
                self.connections -= 1;
                self.pool
                    .given_back(Stage::Closing, epoch, reason, false, now, fx);
                None
            }
        };
        rejected.map(|(live, reason)| Task::Close(reason, live.epoch))
    }

    fn end_badly(&mut self, task: Task, permanent: bool, fx: &mut Fx) -> Option<Task> {
        let now = self.now;
        let (from, epoch, reason) = match task {
            Task::Connect(id) => {
                let (from, error) = (Stage::Connecting(id), ConnectError::TimedOut);
                self.pool.connect_failed(from, error, permanent, now, fx);
                return None;
            }
            Task::Check(live, id) => {
                let from = Stage::Checking(Some(id));
                (from, live.epoch, CloseReason::CheckFailed)
            }
            Task::Recycle(live) => (Stage::Recycling, live.epoch, CloseReason::RecycleFailed),
            Task::Aside(live) => (Stage::Checking(None), live.epoch, CloseReason::Discarded),
            Task::Close(..) => panic!("a close has no bad end"),
        };
        self.pool.condemned(from, epoch, now, fx);
        Some(Task::Close(reason, epoch))
    }

    fn lose(&mut self, task: Task, fx: &mut Fx) {
        let (stage, epoch, reason) = match task {
            Task::Connect(id) => (Stage::Connecting(id), 0, CloseReason::Shutdown),
            Task::Check(live, id) => {
                let stage = Stage::Checking(Some(id));
                (stage, live.epoch, CloseReason::CheckFailed)
            }
            Task::Recycle(live) => (Stage::Recycling, live.epoch, CloseReason::RecycleFailed),
            Task::Close(reason, epoch) => (Stage::Closing, epoch, reason),
            Task::Aside(_) => panic!("`retain` does not lose what it looks at"),
        };
        self.connections -= usize::from(!matches!(stage, Stage::Connecting(_)));
        self.pool
            .given_back(stage, epoch, reason, true, self.now, fx);
    }
}
