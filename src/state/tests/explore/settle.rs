//! The way out: what happens if nothing goes wrong any more, and what must have come of it.

use super::super::super::*;
use super::laws::Before;
use super::ops::{End, Op};
use super::world::{At, Filler, Keeper, Runner, Task, User, World};

/// Who is quick and so acts first, or does not act at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    QuickWaiters,
    QuickTasks,
    /// The runtime drops all that it has been given and will be given.
    DeadRuntime,
}

impl World {
    /// The next thing that happens if users give back what they hold, tasks end well, and nobody
    /// new comes. Waiters are polled when they have been woken, and at no other time.
    pub(super) fn next_to_settle(&self, way: Way) -> Option<Op> {
        let full = self.full_size();
        if self.pool.config.max_size != full && !self.pool.closed {
            return Some(Op::Resize(full));
        }
        if self.pool.paused && !self.pool.closed {
            return Some(Op::Resume);
        }
        let waiters = || self.next_poll();
        let dead = way == Way::DeadRuntime;
        let tasks = || self.next_end(dead);
        let keeper = || match self.keeper {
            Keeper::New | Keeper::Parked { .. } if dead => Some(Op::LoseKeeper),
            Keeper::Ending => Some(Op::KeeperEnds),
            _ => self.is_to_keep().then_some(Op::Keep),
        };
        let filler = || self.is_to_fill().then_some(Op::LookWarm);
        let holders = || {
            let mut users = self.users.iter();
            let holds = |user: &User| matches!(user, User::Holding(_));
            let holder = users.position(holds)?;
            Some(Op::Return(holder, Verdict::Clean))
        };
        let first = match way {
            Way::QuickWaiters | Way::DeadRuntime => waiters()
                .or_else(keeper)
                .or_else(filler)
                .or_else(tasks)
                .or_else(holders),
            Way::QuickTasks => holders()
                .or_else(tasks)
                .or_else(filler)
                .or_else(keeper)
                .or_else(waiters),
        };
        first.or_else(|| (self.has_to_wait() && self.next_event().is_some()).then_some(Op::Tick))
    }

    /// As many places as the pool was built with.
    fn full_size(&self) -> usize {
        self.rules.places
    }

    fn next_poll(&self) -> Option<Op> {
        self.all_waiting()
            .find_map(|(user, waiting)| match waiting.at {
                At::Parked if self.is_to_poll(waiting) => Some(Op::Poll { user, moved: false }),
                At::Parked => None,
                _ => Some(Op::Step(user)),
            })
    }

    fn next_end(&self, dead: bool) -> Option<Op> {
        let jobs = self.jobs.iter().enumerate();
        let mut ready = jobs.filter(|(_, job)| match job.runner {
            Runner::User(user) => self.waiting(user).at == At::Parked,
            _ => true,
        });
        let (index, job) = ready.next()?;
        let end = match job.runner {
            Runner::Nobody => End::Lost,
            Runner::Runtime if dead && !matches!(job.task, Task::Aside(_)) => End::Lost,
            _ => End::Well,
        };
        Some(Op::End(index, end))
    }

    fn has_to_wait(&self) -> bool {
        let cold = self.pool.idle.len() < self.pool.min_idle();
        self.all_waiting().next().is_some()
            || self.filler != Filler::Absent
            || (cold && self.pool.is_kept() && !self.pool.closed)
    }

    /// Everybody has been answered, nothing is left over, and the pool can be used to the full.
    pub(super) fn assert_settled(&self) {
        assert!(self.all_waiting().next().is_none(), "somebody waits on");
        assert!(self.jobs.is_empty(), "tasks are left");
        assert_eq!(self.filler, Filler::Absent, "`fill` is not over");
        if self.pool.closed {
            assert_eq!(self.pool.size(), 0, "places are still taken");
            assert_eq!(self.connections, 0, "connections are left");
            assert_eq!(self.keeper, Keeper::Absent, "the keeper does not end");
            assert!(self.drained, "nobody was told that it is over");
            return;
        }
        if self.pool.is_kept() {
            let idle = self.pool.idle.len();
            assert!(idle >= self.pool.min_idle(), "too few idle");
        }
        self.assert_full_capacity();
    }

    /// So many can hold a connection at the same time as there are places.
    fn assert_full_capacity(&self) {
        let mut world = self.clone();
        let places = self.full_size();
        world.users = vec![User::Away; places];
        for _ in 0..1000 {
            let holds = |user: &User| matches!(user, User::Holding(_));
            if world.users.iter().all(holds) {
                return;
            }
            // Where the circuit is broken nobody is let in.
            let may_join = world.pool.broken_circuit(world.now).is_none();
            let mut users = world.users.iter();
            let away = users.position(|user| matches!(user, User::Away));
            if let Some(user) = away.filter(|_| may_join) {
                world.obey(Op::Join { user, short: false });
                continue;
            }
            let op = world.next_to_settle(Way::QuickWaiters);
            // All the rest comes before a return, and nobody gives back before all hold.
            let op = match op {
                Some(Op::Return(..)) | None => world.next_event().map(|_| Op::Tick),
                op => op,
            };
            let op = op.expect("nothing happens any more");
            world.obey(op);
        }
        panic!("the pool does not get to its full capacity");
    }

    fn obey(&mut self, op: Op) {
        let before = Before::of(self);
        self.apply(op);
        self.assert_laws(&before, op);
    }
}
