//! The fingerprint of a world: equal for two that differ in names only.
//!
//! Users and tasks are unordered, connections and attempts are known by their order, moments are
//! relative to now. What cannot be told apart any more is left out: a moment that has passed,
//! the number of uses if no one counts them, statistics.

use std::time::Duration;

use super::super::super::*;
use super::world::{
    At, Conn, Filler, GRAIN, Job, Keeper, May, Runner, Task, User, Waiting, World, waker_of,
};
use crate::attempts::AttemptId;

/// A row of small numbers.
#[derive(Debug, Default)]
struct Row(Vec<u8>);

impl Row {
    fn small(&mut self, number: usize) -> &mut Self {
        self.0.push(u8::try_from(number).expect("a small number"));
        self
    }

    fn flag(&mut self, flag: bool) -> &mut Self {
        self.small(usize::from(flag))
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn time(&mut self, duration: Duration) -> &mut Self {
        self.number(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Rows in whatever order.
    fn set(&mut self, mut rows: Vec<Row>) -> &mut Self {
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        self.small(rows.len());
        for row in rows {
            self.small(row.0.len());
            self.0.extend(row.0);
        }
        self
    }
}

impl World {
    /// With or without what may still go wrong.
    pub(super) fn fingerprint(&self, faults: bool) -> Box<[u8]> {
        let mut row = Row::default();
        if faults {
            row.small(self.faults.into());
        }
        self.print_pool(&mut row);
        self.print_time(&mut row);
        let idle = &self.pool.idle;
        row.small(idle.len());
        for live in idle {
            self.print_live(live, &mut row);
        }
        let users = 0..self.users.len();
        row.set(users.map(|user| self.user_row(user)).collect());
        row.set(self.jobs_of(|runner| !matches!(runner, Runner::User(_))));
        match self.keeper {
            Keeper::Absent => row.small(0),
            Keeper::New => row.small(1),
            Keeper::Ending => row.small(2),
            Keeper::Parked { until, nudged } => row.small(3).flag(nudged).time(self.until(until)),
        };
        match self.filler {
            Filler::Absent => row.small(0),
            Filler::Parked {
                failed_before,
                rung,
                until,
            } => {
                let row = row.small(1).flag(rung).flag(self.failed(failed_before));
                row.time(self.until(until))
            }
        };
        row.0.into_boxed_slice()
    }

    fn failed(&self, before: u64) -> bool {
        self.pool.statistics.failed_connects > before
    }

    fn print_pool(&self, row: &mut Row) {
        let pool = &self.pool;
        row.small(pool.config.max_size)
            .flag(pool.closed)
            .flag(pool.paused)
            .small(pool.renewals.old())
            .small(pool.driverless)
            .flag(pool.stranded)
            .flag(self.drained)
            .flag(pool.retry.is_failing())
            .flag(pool.retry.is_down())
            .flag(pool.retry.last_error().is_some());
        let since = pool.retry.since();
        let older = pool.attempts.iter().filter(|(id, ..)| *id < since);
        row.small(older.count());
        let [credit, lent, left, streak, keeper] = pool.clock.habits();
        // What a keeper extends is without end.
        let credit_is_left = credit == left;
        let credit = if credit > 1 << 20 { 1 << 20 } else { credit };
        row.number(credit.into())
            .flag(credit_is_left)
            .number(lent.into())
            .small(streak.min(8) as usize)
            .small(keeper as usize);
    }

    fn print_time(&self, row: &mut Row) {
        let pool = &self.pool;
        row.time(self.until(pool.retry.due()))
            .time(self.until(pool.refill_after))
            .flag(pool.refill_after > pool.clock.now())
            .time(self.until(pool.keeper_until));
        for usual in pool.attempts.usual() {
            // Up to a quarter of the shortest patience, what is usual makes no difference.
            let quick = !usual.is_zero() && usual <= GRAIN / 4;
            row.time(if quick { GRAIN / 4 } else { usual });
        }
        for (_, kind, begun, [overdue, hung]) in pool.attempts.iter() {
            row.small(kind as usize)
                .time(self.since(begun))
                .time(self.until(overdue))
                .flag(overdue > pool.clock.now())
                .flag(overdue > pool.pumped_at);
            if pool.config.connect_policy.breaks_circuits() {
                let before = pool.waiters.iter().filter(|(_, one)| one.since <= begun);
                row.small(before.count())
                    .time(self.until(hung))
                    .flag(hung > pool.clock.now())
                    .flag(hung > pool.pumped_at);
            }
        }
        if self.may(May::BeHot) {
            row.time(self.since(pool.clock.now()));
        }
    }

    /// As time goes by in grains, it makes no difference when in a grain something is due.
    fn until(&self, at: Moment) -> Duration {
        match at {
            Moment::NEVER => Duration::MAX,
            _ => self.at_next_grain(at).elapsed_since(self.now),
        }
    }

    fn since(&self, at: Moment) -> Duration {
        self.now.elapsed_since(at)
    }

    /// A connection that may still be lent as it is.
    fn print_live(&self, live: &Conn, row: &mut Row) {
        let config = &self.pool.config;
        row.time(self.until(live.expires_at))
            .flag(self.is_old(live.epoch));
        if config.idle_timeout.is_some() {
            row.time(self.until(live.idle_since.after_any(config.idle_timeout)));
        }
        if let CheckPolicy::IdleFor(age) = config.check_policy {
            row.time(self.since(live.fit_at).min(age + Duration::from_millis(1)));
        }
        if config.max_uses.is_some() {
            row.number(live.uses);
        }
        row.small(self.rank_of(live));
    }

    fn is_old(&self, epoch: u32) -> bool {
        epoch < self.pool.renewals.epoch()
    }

    /// One that is lent: its holder sets the rest anew when it comes back.
    fn print_lent(&self, live: &Conn, row: &mut Row) {
        row.time(self.until(live.expires_at))
            .flag(self.is_old(live.epoch));
        if self.pool.config.max_uses.is_some() {
            row.number(live.uses);
        }
    }

    /// Its place in the order of those that keep their turns.
    fn rank_of(&self, live: &Conn) -> usize {
        let lent = self.users.iter().filter_map(|user| match user {
            User::Holding(live) => Some(live.turn),
            _ => None,
        });
        let lent: Vec<u64> = lent.collect();
        self.connections()
            .filter(|other| other.turn < live.turn && !lent.contains(&other.turn))
            .count()
    }

    fn user_row(&self, user: usize) -> Row {
        let mut row = Row::default();
        match &self.users[user] {
            User::Away => {
                row.small(0);
            }
            User::Holding(live) => {
                row.small(1);
                self.print_lent(live, &mut row);
            }
            User::Waiting(waiting) => {
                row.small(2);
                self.print_waiting(user, waiting, &mut row);
                row.set(self.jobs_of(|runner| runner == Runner::User(user)));
            }
        }
        row
    }

    fn print_waiting(&self, user: usize, waiting: &Waiting, row: &mut Row) {
        let entry = self.pool.waiters.get(waiting.key);
        let mut queue = self.pool.waiters.iter();
        let place = queue.position(|(key, _)| key == waiting.key);
        row.small(place.map_or(0, |place| place + 1))
            .flag(waiting.woken)
            .small(waiting.at as usize)
            .time(self.until(waiting.deadline))
            .flag(entry.driving);
        if waiting.at == At::Parked {
            row.time(self.until(waiting.timer));
        }
        let ours = waker_of(user, waiting.task);
        let waker = entry.waker.as_ref();
        row.small(waker.map_or(0, |waker| 1 + usize::from(waker.will_wake(ours))));
        match &entry.outcome {
            None => row.small(0),
            Some(Outcome::Failed(_)) => row.small(1),
            Some(Outcome::Late { .. }) => row.small(2),
            Some(Outcome::Closed) => row.small(3),
            Some(Outcome::Shed { .. }) => row.small(5),
            Some(Outcome::Connection(live)) => {
                row.small(4);
                self.print_live(live, row);
                row
            }
        };
    }

    fn jobs_of(&self, whose: impl Fn(Runner) -> bool) -> Vec<Row> {
        let jobs = self.jobs.iter().filter(|job| whose(job.runner));
        jobs.map(|job| self.job_row(job)).collect()
    }

    fn job_row(&self, job: &Job) -> Row {
        let mut row = Row::default();
        row.small(match job.runner {
            Runner::Runtime => 0,
            Runner::User(_) => 1,
            Runner::Filler => 2,
            Runner::Nobody => 3,
        });
        let rank = |id: &AttemptId| {
            let mut attempts = self.pool.attempts.iter();
            let rank = attempts.position(|(other, ..)| other == *id);
            rank.expect("it is under way")
        };
        match &job.task {
            Task::Connect(id) => {
                let epoch = self.pool.renewals.epoch_of(Stage::Connecting(*id));
                row.small(0).small(rank(id)).flag(self.is_old(epoch));
            }
            Task::Check(live, id) => {
                row.small(1).small(rank(id));
                self.print_live(live, &mut row);
            }
            Task::Recycle(live) => {
                row.small(2);
                self.print_live(live, &mut row);
            }
            Task::Close(_, epoch) => {
                row.small(3).flag(self.is_old(*epoch));
            }
            Task::Aside(live) => {
                row.small(4);
                self.print_live(live, &mut row);
            }
        }
        row
    }
}
