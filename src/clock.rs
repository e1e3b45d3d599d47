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
//! use after a silence reads the clock. Until the keeper gets to run (in a loop that hogs a
//! single-threaded runtime, say), those who read the clock extend each other's credit, twice as
//! much each time, for as long as the readings show that less than a tick has passed.
//! When the keeper is gone there is no credit: everybody reads the clock.

use std::time::{Duration, Instant};

use crate::config::Tick;

/// What the keeper extends at each of its ticks; far more than can be spent in one.
const KEPT_CREDIT: u32 = 1 << 30;
/// The most that those who read the clock extend to each other.
const LENT_CREDIT: u32 = 1 << 12;

#[derive(Debug)]
pub(crate) struct Clock {
    tick: Tick,
    /// The last reading.
    now: Instant,
    /// How often the coarse time may still be used before the next reading.
    credit: u32,
    /// What the last reading by one of the pool's users extended.
    lent: u32,
    /// What the keeper left behind at its last tick; more credit used means traffic.
    left: u32,
    keeper: Keeper,
    /// With credit, the true time is before this.
    horizon: Instant,
    /// With credit, what was last used after this is younger than the age asked about.
    young_since: Option<Instant>,
    /// An upper bound of the true time, given credit: never makes anything look older than it is.
    latest: Instant,
    /// The age at which a connection wants to be checked.
    check_age: Option<Duration>,
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
    pub(crate) fn new(tick: Tick, check_age: Option<Duration>, now: Instant) -> Self {
        let mut clock = Clock {
            tick,
            now,
            credit: 0,
            lent: 0,
            left: 0,
            keeper: Keeper::Asleep,
            horizon: now,
            young_since: None,
            latest: now,
            check_age,
        };
        clock.set(now);
        clock
    }

    /// Spends one credit. If there is none, the caller must [`read`](Clock::read) the clock.
    #[inline]
    pub(crate) fn spend(&mut self) -> bool {
        let covered = self.credit > 0;
        self.credit -= u32::from(covered);
        covered
    }

    /// With credit: surely not later than `at`?
    #[inline]
    pub(crate) fn is_surely_before(&self, at: Instant) -> bool {
        self.credit > 0 && at > self.horizon
    }

    /// With credit: is this surely younger than the age at which a check is due?
    #[inline]
    pub(crate) fn is_surely_young(&self, since: Instant) -> bool {
        match self.young_since {
            Some(young) => since > young,
            None => true,
        }
    }

    /// The coarse time, rounded up.
    #[inline]
    pub(crate) fn latest(&self) -> Instant {
        self.latest
    }

    /// Somebody read the clock. Returns true if the keeper should be asked to tick: the reading
    /// before this one is less than a tick ago, so there is traffic.
    pub(crate) fn read(&mut self, now: Instant) -> bool {
        let Tick::Every(tick) = self.tick else {
            self.set(now);
            return false;
        };
        let elapsed = now.saturating_duration_since(self.now);
        self.set(now);
        match self.keeper {
            Keeper::Gone => false,
            Keeper::Asleep | Keeper::Ticking if elapsed >= tick => {
                self.lent = 0;
                false
            }
            keeper => {
                if self.credit == 0 {
                    self.lent = (self.lent * 2 + 1).min(LENT_CREDIT);
                    self.credit = self.lent;
                }
                self.keeper = Keeper::Ticking;
                keeper == Keeper::Asleep
            }
        }
    }

    /// The keeper read the clock. Returns when it should do so again, if there is traffic.
    pub(crate) fn keep(&mut self, now: Instant) -> Option<Instant> {
        let elapsed = now.saturating_duration_since(self.now);
        self.set(now);
        let Tick::Every(tick) = self.tick else {
            return None;
        };
        if self.keeper != Keeper::Ticking {
            self.keeper = Keeper::Asleep;
            return None;
        }
        let quiet = self.credit == self.left;
        if quiet && elapsed >= tick {
            self.keeper = Keeper::Asleep;
            self.credit = 0;
            self.lent = 0;
            return None;
        }
        self.credit = KEPT_CREDIT;
        self.left = KEPT_CREDIT;
        now.checked_add(tick)
    }

    /// The keeper is gone for good, or back.
    pub(crate) fn keeper_gone(&mut self) {
        self.keeper = Keeper::Gone;
        self.credit = 0;
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.keeper != Keeper::Gone
    }

    fn set(&mut self, now: Instant) {
        let now = now.max(self.now);
        self.now = now;
        let tick = match self.tick {
            Tick::Every(tick) => tick,
            Tick::Exact => Duration::ZERO,
        };
        self.latest = now.checked_add(tick).unwrap_or(now);
        // One tick for the next reading, one for a runtime that is late to poll the keeper.
        self.horizon = self.latest.checked_add(tick).unwrap_or(self.latest);
        self.young_since = self.check_age.and_then(|age| self.latest.checked_sub(age));
    }
}
