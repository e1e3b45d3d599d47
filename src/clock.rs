//! Coarse time, so that the hot path reads no clock.
//!
//! Reading a clock costs more than everything else that lending an idle connection takes. So the
//! pool remembers the last moment that anybody read (`now`), and while there is traffic the
//! keeper (the maintenance task) refreshes it every tick. Between two readings the true time lies
//! in `now ..= now + tick`, and later by as much as the runtime is late to poll the keeper.
//!
//! Whether `now` may be trusted at all is the *credit*: each use of the coarse time spends one,
//! and when it is used up somebody reads the clock. The keeper's tick renews it, and withdraws it
//! when a whole tick went by without traffic, so that an idle pool is left alone and the first
//! use after a silence reads the clock. When little happens there is no credit either: every use
//! reads the clock, and the keeper sleeps. Until the keeper gets to run (in a loop that hogs a
//! single-threaded runtime, say), those who read the clock extend each other's credit, twice as
//! much each time, for as long as the readings show that less than a tick has passed.
//! When the keeper is gone there is no credit: everybody reads the clock.

use std::time::{Duration, Instant};

use crate::config::{CheckPolicy, Tick};

/// A moment on a pool's own scale: nanoseconds since it was built, 584 years of them.
///
/// Comparing two takes one instruction, and arithmetic saturates at [`NEVER`](Moment::NEVER), so
/// no duration is too long and "no limit" needs no case of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) const START: Moment = Moment(0);
    pub(crate) const NEVER: Moment = Moment(u64::MAX);

    pub(crate) fn since(origin: Instant, at: Instant) -> Self {
        Moment::START.after(at.saturating_duration_since(origin))
    }

    /// The same moment on the runtime's clock; `None` for one that never comes.
    pub(crate) fn to_instant(self, origin: Instant) -> Option<Instant> {
        match self {
            Moment::NEVER => None,
            Moment(nanos) => origin.checked_add(Duration::from_nanos(nanos)),
        }
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        Moment(self.0.saturating_add(nanos(duration)))
    }

    /// After a duration, or never.
    pub(crate) fn after_any(self, duration: Option<Duration>) -> Self {
        duration.map_or(Moment::NEVER, |duration| self.after(duration))
    }

    pub(crate) fn elapsed_since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    fn before(self, duration: Duration) -> Self {
        Moment(self.0.saturating_sub(nanos(duration)))
    }
}

/// As nanoseconds, or as many as there can be.
fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(duration.subsec_nanos().into())
}

/// What the keeper extends at each of its ticks; far more than can be spent in one.
const KEPT_CREDIT: u32 = 1 << 30;
/// So many readings, each less than a tick after the one before, set the keeper ticking. With
/// less traffic than that, an exact reading each time is cheap enough.
const TRAFFIC: u32 = 8;
/// The most that those who read the clock extend to each other.
const LENT_CREDIT: u32 = 1 << 12;

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Clock {
    /// How often the coarse time may still be used before the next reading.
    credit: u32,
    /// What the last reading by one of the pool's users extended.
    lent: u32,
    /// How many readings in a row came less than a tick after the one before.
    streak: u32,
    /// With credit, the true time is before this.
    horizon: Moment,
    /// With credit, what was last used after this may be lent without a check.
    young_since: Moment,
    /// An upper bound of the true time, given credit: never makes anything look older than it is.
    latest: Moment,
    /// The last reading.
    now: Moment,
    tick: Tick,
    check_policy: CheckPolicy,
    keeper: Keeper,
    /// What the keeper left behind at its last tick; more credit used means traffic.
    left: u32,
}

/// What the maintenance task is doing for the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    /// Sleeping until something is due.
    Asleep,
    /// Refreshing the time each tick, or asked to.
    Ticking,
    /// The runtime dropped it.
    Gone,
}

impl Clock {
    pub(crate) fn new(tick: Tick, check_policy: CheckPolicy) -> Self {
        let mut clock = Clock {
            credit: 0,
            lent: 0,
            streak: 0,
            horizon: Moment::START,
            young_since: Moment::START,
            latest: Moment::START,
            now: Moment::START,
            tick,
            check_policy,
            keeper: Keeper::Asleep,
            left: 0,
        };
        clock.set(Moment::START);
        clock
    }

    /// Spends one credit. If there is none, the caller must [`read`](Clock::read) the clock.
    #[inline]
    pub(crate) fn spend(&mut self) -> bool {
        match self.credit.checked_sub(1) {
            Some(left) => {
                self.credit = left;
                true
            }
            None => false,
        }
    }

    /// After [spending](Clock::spend): is it surely not `at` yet?
    #[inline]
    pub(crate) fn is_surely_before(&self, at: Moment) -> bool {
        at > self.horizon
    }

    /// After [spending](Clock::spend): does one that was fit at this time surely need no check?
    #[inline]
    pub(crate) fn is_surely_fit(&self, fit_at: Moment) -> bool {
        fit_at >= self.young_since
    }

    /// The coarse time, rounded up.
    #[inline]
    pub(crate) fn latest(&self) -> Moment {
        self.latest
    }

    /// Somebody read the clock. Returns true if the keeper should be asked to tick: the reading
    /// ones before this were each less than a tick apart, so there is traffic.
    pub(crate) fn read(&mut self, now: Moment) -> bool {
        let elapsed = now.elapsed_since(self.now);
        self.set(now);
        let Tick::Every(tick) = self.tick else {
            return false;
        };
        if self.keeper == Keeper::Gone {
            return false;
        }
        if elapsed >= tick {
            self.lent = 0;
            self.streak = 0;
            return false;
        }
        self.streak = self.streak.saturating_add(1);
        if self.streak < TRAFFIC {
            return false;
        }
        // Only with a keeper ticking, or about to, is there credit: it is what withdraws it.
        if self.credit == 0 {
            self.lent = (self.lent * 2 + 1).min(LENT_CREDIT);
            self.credit = self.lent;
        }
        std::mem::replace(&mut self.keeper, Keeper::Ticking) == Keeper::Asleep
    }

    /// The keeper read the clock. Returns when it should do so again, if there is traffic.
    pub(crate) fn keep(&mut self, now: Moment) -> Moment {
        let elapsed = now.elapsed_since(self.now);
        self.set(now);
        let Tick::Every(tick) = self.tick else {
            return Moment::NEVER;
        };
        let quiet = self.credit == self.left && elapsed >= tick;
        if self.keeper != Keeper::Ticking || quiet {
            self.keeper = Keeper::Asleep;
            self.credit = 0;
            self.lent = 0;
            self.streak = 0;
            return Moment::NEVER;
        }
        self.credit = KEPT_CREDIT;
        self.left = KEPT_CREDIT;
        now.after(tick)
    }

    /// The runtime dropped the keeper.
    pub(crate) fn keeper_gone(&mut self) {
        self.keeper = Keeper::Gone;
        self.credit = 0;
    }

    /// Somebody read the clock for a reason that is not traffic.
    pub(crate) fn observe(&mut self, now: Moment) {
        self.set(now);
    }

    /// The settings have changed.
    pub(crate) fn set_tick(&mut self, tick: Tick) {
        if tick != self.tick {
            self.tick = tick;
            self.credit = 0;
            self.lent = 0;
            self.streak = 0;
            // It sleeps for as long as the tick was, and must be asked for the new one.
            if self.keeper == Keeper::Ticking {
                self.keeper = Keeper::Asleep;
            }
            self.set(self.now);
        }
    }

    /// There is a new keeper.
    pub(crate) fn keeper_back(&mut self) {
        self.keeper = Keeper::Asleep;
    }

    /// The last reading.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.keeper != Keeper::Gone
    }

    /// What decides who reads the clock when: credit, what was lent and left of it, streak, and
    /// what the keeper does.
    #[cfg(test)]
    pub(crate) fn habits(&self) -> [u32; 5] {
        [
            self.credit,
            self.lent,
            self.left,
            self.streak,
            self.keeper as u32,
        ]
    }

    fn set(&mut self, now: Moment) {
        self.now = now.max(self.now);
        let tick = match self.tick {
            Tick::Every(tick) => tick,
            Tick::Exact => Duration::ZERO,
        };
        self.latest = self.now.after(tick);
        // One tick for the next reading, one for a runtime that is late to poll the keeper.
        self.horizon = self.latest.after(tick);
        self.young_since = match self.check_policy {
            CheckPolicy::Always => Moment::NEVER,
            CheckPolicy::IdleFor(age) => self.latest.before(age),
            CheckPolicy::Never => Moment::START,
        };
    }
}

#[cfg(test)]
mod tests;
