//! Pauses, resets, and what is left of before a reset.
//!
//! Every reset begins a new *epoch*. A connection belongs to the one in which its connect began, and
//! is *old* once there is a later one: it is closed at the reset, when it comes back, or, if the
//! reset is spread over a time, at its own moment within that. A place stays old until it is free.
//! What is of before a reset that is not spread is *dead*: nothing that becomes of it, good or bad,
//! says anything about what is there now.

use std::time::Duration;

use super::{Effects, Live, Stage, State};
use crate::attempts::AttemptId;
use crate::clock::Moment;

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Renewals {
    epoch: u32,
    /// What is of an earlier epoch than this is dead.
    dead_below: u32,
    /// The first attempt to connect of this epoch.
    first_attempt: AttemptId,
    /// Places that are taken by those of earlier epochs.
    old: usize,
    /// The resets that old ones are left of, in their order.
    pending: Vec<Renewal>,
}

/// A reset.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Renewal {
    /// It is for those of earlier epochs.
    epoch: u32,
    /// The first attempt to connect that it is not for.
    first_attempt: AttemptId,
    start: Moment,
    over: Duration,
}

impl Renewal {
    fn end(&self) -> Moment {
        self.start.after(self.over)
    }
}

impl Renewals {
    pub(super) fn new() -> Self {
        Renewals {
            epoch: 0,
            dead_below: 0,
            first_attempt: AttemptId::FIRST,
            old: 0,
            pending: Vec::new(),
        }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The epoch of what an attempt to connect makes.
    pub(super) fn epoch_of(&self, connecting: Stage) -> u32 {
        let Stage::Connecting(attempt) = connecting else {
            return self.epoch;
        };
        let mut renewals = self.pending.iter();
        let first = renewals.find(|renewal| attempt < renewal.first_attempt);
        first.map_or(self.epoch, |renewal| renewal.epoch - 1)
    }

    /// Whether what is of this epoch has nothing to say any more.
    pub(super) fn is_dead(&self, epoch: u32) -> bool {
        epoch < self.dead_below
    }

    pub(super) fn old(&self) -> usize {
        self.old
    }

    /// Begins an epoch, with so many old places.
    fn begin(&mut self, now: Moment, over: Duration, old: usize) {
        self.epoch += 1;
        self.old = old;
        if over.is_zero() {
            self.dead_below = self.epoch;
            // Whatever they are for is dead now.
            self.pending.clear();
        }
        if old == 0 {
            // It is for nobody, and those before it were forgotten with the last.
            return;
        }
        let end = now.after(over);
        // Those that end later have nothing to add.
        self.pending.retain(|earlier| earlier.end() < end);
        // Of those that are over, the last says it all, but for what is dead, which the first may say.
        let ended = self.pending.partition_point(|one| one.end() <= now);
        let kept = self.pending.first().is_some_and(|one| one.over.is_zero());
        let kept = usize::from(kept);
        if kept < ended {
            self.pending.drain(kept..ended - 1);
        }
        self.pending.push(Renewal {
            epoch: self.epoch,
            first_attempt: self.first_attempt,
            start: now,
            over,
        });
    }

    /// When this one is to be closed; never, if it is not old.
    pub(super) fn due<C>(&self, live: &Live<C>) -> Moment {
        if live.epoch == self.epoch {
            return Moment::NEVER;
        }
        if self.is_dead(live.epoch) {
            // Whoever looks may have read the clock before the reset.
            return Moment::START;
        }
        // Always the same share for the same connection.
        let share = fastrand::Rng::with_seed(live.id).f64();
        let renewals = self.pending.iter();
        let due = renewals
            .filter(|renewal| live.epoch < renewal.epoch)
            .map(|renewal| renewal.start.after(renewal.over.mul_f64(share)));
        due.min().unwrap_or(Moment::NEVER)
    }

    fn freed(&mut self, epoch: u32) {
        if epoch < self.epoch {
            debug_assert!(self.old > 0, "none was old");
            self.old = self.old.saturating_sub(1);
            if self.old == 0 {
                self.pending.clear();
            }
        }
    }
}

impl<C, E> State<C, E> {
    /// Makes all that is there now, or in the making, go: at once, or spread over a time.
    pub(crate) fn reset(&mut self, over: Duration, now: Moment, fx: &mut Effects<C, E>) {
        if self.closed {
            return;
        }
        if !cfg!(mutant = "reset-forgets-connects") {
            self.renewals.first_attempt = self.attempts.next();
        }
        self.renewals.begin(now, over, self.size());
        if over.is_zero() {
            // What they make is of no use to anybody, and how they fared says nothing any more.
            self.attempts.doubt_all(now);
            self.retry.begin_anew(self.attempts.next());
        }
        self.renew_idle(now, fx);
        self.pump(now, fx);
    }

    /// A check failed: the others are assumed to be as dead. What is in the making is not.
    pub(super) fn condemn_generation(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let connecting = self.stages.connecting;
        let old_attempts = self.attempts.connects_before(self.renewals.first_attempt);
        let old = self.size() - connecting + old_attempts;
        self.renewals.begin(now, Duration::ZERO, old);
        self.attempts
            .doubt_condemned(self.renewals.first_attempt, now);
        self.renew_idle(now, fx);
    }

    /// Closes idle ones that are due to be renewed, and has the rest go when they are.
    fn renew_idle(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        for live in &mut self.idle {
            live.expires_at = live.expires_at.min(self.renewals.due(live));
        }
        self.expire_lives(now, fx);
        fx.progress = true;
        let due = self.idle.iter().map(|live| live.expires_at).min();
        self.note_due(due.unwrap_or(Moment::NEVER), fx);
    }

    /// A place of that epoch is free.
    pub(super) fn freed(&mut self, epoch: u32) {
        self.renewals.freed(epoch);
    }

    /// True once nothing is left of before the last reset.
    pub(crate) fn is_renewed(&self) -> bool {
        self.renewals.old() == 0
    }

    /// From now on nothing is lent. False if that was so before.
    pub(crate) fn pause(&mut self, now: Moment, fx: &mut Effects<C, E>) -> bool {
        let before = std::mem::replace(&mut self.paused, !self.closed);
        self.update_barred();
        fx.progress = true;
        // They were for those who wait to run; what is begun in a pause is for the idle ones.
        if std::mem::take(&mut self.driverless) > 0 {
            self.pump(now, fx);
        }
        self.paused && !before
    }

    /// Serves those who have waited out the pause. False if there was none.
    pub(crate) fn resume(&mut self, now: Moment, fx: &mut Effects<C, E>) -> bool {
        let paused = std::mem::take(&mut self.paused);
        if paused {
            fx.progress = true;
            if let Some(overload) = &mut self.overload {
                overload.forget(now);
            }
            #[cfg(not(mutant = "resume-serves-nobody"))]
            self.hurry(now, fx);
            self.note_due(self.next_due(now), fx);
        }
        paused
    }

    /// True while the pool is paused and some connection is still in use; resuming ends it as well.
    pub(crate) fn is_quieting(&self) -> bool {
        let used = self.stages.lent + self.stages.checking + self.stages.recycling;
        self.paused && !self.closed && used > 0
    }
}

#[cfg(test)]
impl Renewals {
    /// How many resets are remembered.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}
