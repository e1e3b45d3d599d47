//! Whether what the pool answers is the right answer.

use std::time::Duration;

use watertight::{
    AcquireError, CheckPolicy, ConnectError, Phase, Pool, QueueOrder, Statistics, Status,
};

use crate::coverage::{saw, saw_variant};
use crate::model::{Ahead, Model, Served, Sight, Waiter};
use crate::support::{Acquired, Lent, Refused, Scripted};

/// What the statistics should say.
#[derive(Default)]
pub(crate) struct Tally {
    acquires: u64,
    pub(crate) waits: u64,
    timeouts: Timeouts,
    pub(crate) cancellations: u64,
    /// Those who were served, in time or late, and went away without having looked. It may have been
    /// a connection, a time-out or another error.
    pub(crate) unseen: u64,
    /// Those who were answered at once, and may have joined the queue all the same: to be given one
    /// that was fit while another is checked, or to do what a task should have done that was lost.
    quick: u64,
    pub(super) rejections: Rejections,
    /// Those who got the error of an attempt that might have gone well at another time.
    refusals: u64,
}

/// Those who were turned away, and know it.
#[derive(Default)]
pub(super) struct Rejections {
    pub(super) paused: u64,
    pub(super) queue_full: u64,
    pub(super) shed: u64,
}

#[derive(Default)]
struct Timeouts {
    wait: u64,
    check: u64,
    connect: u64,
}

/// A time-out, taken apart.
struct TimedOut<'a> {
    phase: Phase,
    cause: Option<&'a ConnectError<Refused>>,
    status: &'a Status,
}

impl Model {
    /// A call that waited has come to its end.
    pub(crate) fn ended(&self, waiter: &Waiter, ahead: &Ahead, result: &Acquired, before: &Sight) {
        let after = self.look_at_it();
        let still_ahead = self.books.borrow().queue.len() - after.status.waiting;
        let served = waiter.served.unwrap_or_else(|| after.served());
        match result {
            Ok(conn) => {
                self.lent(conn, served, false);
                assert!(served.at < waiter.deadline, "served after the deadline");
                match served.last_first {
                    true => self.assert_may_be_overloaded(served),
                    false => assert!(still_ahead >= ahead.all, "served before somebody else"),
                }
                assert!(!served.paused, "served while the pool was paused");
                self.note_wait(waiter, served);
                self.assert_open_at(served);
                self.books.borrow_mut().tally.acquires += 1;
                saw("acquire: lent to one who waited");
            }
            Err(AcquireError::TimedOut {
                phase,
                waited,
                cause,
                status,
            }) => {
                assert!(after.now >= waiter.deadline, "timed out too early");
                let in_time = waiter.served.is_some_and(|at| at.at < waiter.deadline);
                assert!(!in_time, "served, but told that it timed out");
                let timed_out = TimedOut {
                    phase: *phase,
                    cause: cause.as_ref(),
                    status,
                };
                assert_eq!(*waited, after.now - waiter.since, "how long it waited");
                // Those who are found to be late are told what would have served them.
                if waiter.served.is_none() && !self.loses_tasks {
                    timed_out.assert_phase_of_place(ahead.waiting);
                }
                self.timed_out(&timed_out, before, &after);
            }
            Err(AcquireError::Closed) => {
                assert!(after.status.closed, "told that an open pool is closed");
                saw("acquire: closed");
            }
            Err(AcquireError::Connect(error)) => {
                assert!(still_ahead >= ahead.all, "failed before somebody else");
                self.refused(error, waiter.failed_before, served, &after);
            }
            Err(AcquireError::Shed { waited }) => self.shed(waiter, served, *waited),
            Err(other) => panic!("an error that is not offered: {other}"),
        }
    }

    /// A call that did not wait has come to its end.
    pub(crate) fn answered(&self, patience: Duration, result: &Acquired, before: &Sight) {
        let after = self.look_at_it();
        self.books.borrow_mut().tally.quick += 1;
        match result {
            Ok(conn) => {
                let served = self.served_at_once(before, &after);
                self.lent(conn, served, patience.is_zero());
                assert!(!before.status.paused, "lent by a paused pool");
                self.assert_open_at(served);
                self.books.borrow_mut().tally.acquires += 1;
                saw("acquire: lent at once");
            }
            Err(AcquireError::TimedOut {
                phase,
                waited,
                cause,
                status,
            }) => {
                assert_eq!(patience, Duration::ZERO, "timed out at once");
                assert_eq!((*phase, *waited), (Phase::Wait, Duration::ZERO));
                assert!(!after.status.closed, "not told that it is closed");
                assert!(!self.tells_of_pause(before), "not told of the pause");
                self.assert_nothing_to_lend(before, &after);
                let timed_out = TimedOut {
                    phase: *phase,
                    cause: cause.as_ref(),
                    status,
                };
                self.timed_out(&timed_out, before, &after);
            }
            Err(AcquireError::Closed) => {
                assert!(after.status.closed, "told that an open pool is closed");
                saw("acquire: closed");
            }
            Err(AcquireError::Connect(error)) => {
                assert!(self.loses_tasks, "an answer that needs waiting: {error}");
                self.refused(error, before.outage.failed(), after.served(), &after);
            }
            Err(AcquireError::Paused) => self.turned_away_by_pause(before),
            Err(AcquireError::QueueFull) => self.turned_away_by_queue(before, &after),
            Err(other) => panic!("an error that is not offered: {other}"),
        }
    }

    /// How things stood for a call that was answered with a connection when it was first polled. It
    /// may have begun a check that was over at once: then it waited for that, behind all others; and
    /// if the check failed, it did so after the caller had been given another.
    fn served_at_once(&self, before: &Sight, after: &Sight) -> Served {
        let checks = self.settings().check_policy != CheckPolicy::Never;
        let overtaken = match self.loses_tasks || checks {
            true => after.status.waiting,
            false => before.status.waiting,
        };
        let served = Served {
            generation: before.generation,
            last_first: overtaken > 0,
            ..after.served()
        };
        if overtaken > 0 {
            let may_be = self.settings().queue_order == QueueOrder::AdaptiveLifo;
            assert!(may_be, "a newcomer overtook");
            self.assert_may_be_overloaded(served);
        }
        served
    }

    /// What `try_acquire` gave.
    pub(crate) fn tried(&self, conn: Option<&Lent>, before: &Sight) {
        let after = self.look_at_it();
        let Some(conn) = conn else {
            saw("try_acquire: nothing");
            if self.tells_of_pause(before) {
                return self.turned_away_by_pause(before);
            }
            return self.assert_nothing_to_lend(before, &after);
        };
        self.lent(conn, after.served(), true);
        saw("try_acquire: lent");
        assert!(!before.status.paused, "lent by a paused pool");
        assert_eq!(before.status.waiting, 0, "a newcomer overtook");
        self.assert_open_at(after.served());
        self.books.borrow_mut().tally.acquires += 1;
    }

    /// What `fill` said.
    pub(crate) fn filled(&self, result: Result<(), AcquireError<Refused>>, before: &Sight) {
        let after = self.look_at_it();
        let status = after.status;
        match result {
            Ok(()) => {
                saw("fill: warm");
                let ready = status.idle + status.recycling + status.checking;
                let enough = ready >= self.settings().min_idle.min(status.max_size);
                let full = status.size - status.connecting >= status.max_size;
                assert!(enough || full, "filled, it says: {status:?}");
            }
            Err(AcquireError::Connect(_)) => {
                saw("fill: failed");
                let failed = after.outage.failed() > before.outage.failed();
                assert!(failed, "an attempt failed, it says");
            }
            Err(AcquireError::Closed) => {
                saw("fill: closed");
                assert!(status.closed, "told that an open pool is closed");
            }
            Err(other) => panic!("an error that is not offered: {other}"),
        }
    }

    /// Whether `adopt` took a connection in.
    pub(crate) fn adopted(&self, taken: bool, before: &Sight) {
        saw(if taken {
            "adopt: taken"
        } else {
            "adopt: refused"
        });
        let status = before.status;
        let full = status.closed || status.size >= status.max_size;
        assert!(!(taken && full), "no place for it: {status:?}");
        let room = self.settings().max_idle.is_none_or(|max| status.idle < max);
        // Those who wait may all be late. Nobody waits for it in a pause.
        let wanted = !full && room && (status.waiting == 0 || status.paused);
        assert!(taken || !wanted, "a place for it: {status:?}");
    }

    fn assert_open_at(&self, served: Served) {
        let closed_at = self.books.borrow().closed_at;
        let open = closed_at.is_none_or(|closed| served.at <= closed);
        assert!(open, "served by a closed pool");
    }

    /// Somebody who would not wait got nothing. An idle connection whose lifetime has passed may
    /// still have been there; none is afterwards.
    fn assert_nothing_to_lend(&self, before: &Sight, after: &Sight) {
        if before.status.waiting > 0 || before.status.closed || before.status.paused {
            return;
        }
        let may_expire = self.shortest_lifetime().is_some() || self.was_spread();
        assert!(
            after.status.idle == 0 && (before.status.idle == 0 || may_expire),
            "nothing was lent, beside an idle one: {:?}",
            before.status
        );
    }

    fn timed_out(&self, timed_out: &TimedOut<'_>, before: &Sight, after: &Sight) {
        let TimedOut { phase, cause, .. } = *timed_out;
        saw(format!("acquire: timed out, {phase:?}"));
        // What happens during the last poll may come before or after.
        if before.outage == after.outage {
            let outage = after.outage;
            assert!(
                cause.is_none() || outage.is_possible(),
                "no attempt has failed since one succeeded, but: {cause:?}"
            );
            assert!(
                cause.is_some() || !outage.is_certain(),
                "an attempt has failed, and the time-out does not say so"
            );
        }
        if cause.is_some() {
            saw("acquire: timed out, with a cause");
        }
        let timeouts = &mut self.books.borrow_mut().tally.timeouts;
        match phase {
            Phase::Wait => timeouts.wait += 1,
            Phase::Check => timeouts.check += 1,
            Phase::Connect => timeouts.connect += 1,
            other => panic!("a phase that is not known: {other:?}"),
        }
    }

    /// Somebody got the error of an attempt to connect.
    fn refused(
        &self,
        error: &ConnectError<Refused>,
        failed_before: u64,
        served: Served,
        after: &Sight,
    ) {
        saw_variant("acquire: refused, the attempt", error);
        let failed = after.outage.failed();
        assert!(failed > failed_before, "no attempt has failed: {error:?}");
        let is_permanent = error.manager_error().is_some_and(|error| error.permanent);
        if !self.settings().fail_fast {
            assert!(is_permanent, "it was to try again: {error:?}");
            assert_eq!(served.live, 0, "told that it is hopeless");
            saw("acquire: hopeless");
        } else if !is_permanent {
            let refusals = &mut self.books.borrow_mut().tally.refusals;
            *refusals += 1;
            assert!(*refusals <= failed, "more are told than have failed");
        }
    }

    /// Compares the history of a pool that nobody uses any more.
    pub(crate) fn compare(&self, pool: &Pool<Scripted>) {
        let Statistics {
            acquires,
            waits,
            cancellations,
            timeouts,
            rejections,
            ..
        } = pool.statistics();
        let books = self.books.borrow();
        let tally = &books.tally;
        assert!(books.queue.is_empty(), "somebody is still waiting");
        assert_eq!(acquires, tally.acquires, "acquires");
        let quick = match self.settings().check_policy {
            // One whose check is over at once has waited, but not for long enough to be seen.
            CheckPolicy::IdleFor(_) | CheckPolicy::Always => tally.quick,
            _ if self.loses_tasks => tally.quick,
            _ => 0,
        };
        assert_between(waits, tally.waits, quick, "waits");
        for (number, seen, phase) in [
            (timeouts.wait, tally.timeouts.wait, Phase::Wait),
            (timeouts.check, tally.timeouts.check, Phase::Check),
            (timeouts.connect, tally.timeouts.connect, Phase::Connect),
        ] {
            assert_between(number, seen, tally.unseen, &format!("time-outs, {phase:?}"));
        }
        assert_eq!(rejections.paused, tally.rejections.paused, "paused");
        assert_eq!(rejections.queue_full, tally.rejections.queue_full, "full");
        assert_between(rejections.shed, tally.rejections.shed, tally.unseen, "shed");
        assert_between(
            cancellations,
            tally.cancellations,
            tally.unseen,
            "cancelled",
        );
    }
}

impl TimedOut<'_> {
    /// The first in the queue wait for checks, the next for connects that are under way or could
    /// be, the others for a return; and all of them for the end of a pause.
    fn assert_phase_of_place(&self, ahead: usize) {
        let status = self.status;
        let could_connect = status.max_size.saturating_sub(status.size);
        let phase = if status.paused {
            Phase::Wait
        } else if ahead < status.checking {
            Phase::Check
        } else if ahead < status.checking + status.connecting + could_connect {
            Phase::Connect
        } else {
            Phase::Wait
        };
        assert_eq!(self.phase, phase, "behind {ahead}: {status:?}");
    }
}

#[track_caller]
fn assert_between(number: u64, least: u64, slack: u64, what: &str) {
    let most = least + slack;
    assert!(
        (least..=most).contains(&number),
        "{what}: {number}, not {least} to {most}"
    );
}
