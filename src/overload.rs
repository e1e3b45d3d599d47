//! Controlled delay: whom to turn away when more work comes than can be done.
//!
//! The rule is that of Elixir's `db_connection`, which goes back to the CoDel of Nichols and Jacobson
//! ("Controlling Queue Delay", ACM Queue, 2012), but decides once per interval:
//!
//! Of each interval the shortest wait of those served is kept. When a connection comes free after the
//! end of an interval, the pool is *slow* in the next if that wait was above the target; whoever is
//! first is served then, whatever his wait. Within a slow interval, those who have waited for more than
//! twice the target are turned away before somebody is served. What comes free while nobody waits ends
//! it. If nothing comes free, a timer decides in its place.
//!
//! Where the last to come is served first in a slow interval, and those before it are turned away, the
//! first in the queue may be young however many come. There, a short wait ends it only if nobody has
//! been turned away for a quarter of an interval. (Otherwise, with a third more work than can be done,
//! the pool is taken for recovered every few intervals, and waits grow to most of a second again:
//! `examples/overload` measures it.)
//!
//! Plain data, like the rest of the state. Nothing here runs for as long as nobody waits.

use std::time::Duration;

use crate::clock::Moment;

/// The setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControlledDelay {
    pub(crate) target: Duration,
    pub(crate) interval: Duration,
}

impl ControlledDelay {
    pub(crate) fn shorter(&self) -> Duration {
        self.target.min(self.interval)
    }
}

/// How it stands.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Overload {
    rule: ControlledDelay,
    /// The shortest wait of those served in this interval.
    delay: Duration,
    slow: bool,
    /// When the interval ends.
    next: Moment,
    /// When the timer goes off next, if somebody waits.
    tick: Moment,
    /// When the timer went off last.
    seen: Moment,
    /// Somebody was served since.
    serves: bool,
    /// How many connections had been given back when somebody was last served.
    turn: u64,
    /// A connection has become idle.
    idle: bool,
    /// Until then a short wait is no sign that less work comes, for some were turned away.
    misled_until: Moment,
    /// When a pause ended. What anybody has waited before that is none of the load's doing.
    excused: Moment,
}

/// A shorter interval counts as one of this: nobody looks that often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

impl Overload {
    pub(crate) fn new(mut rule: ControlledDelay) -> Self {
        rule.interval = rule.interval.max(SHORTEST_INTERVAL);
        let end = Moment::START.after(rule.interval);
        Overload {
            rule,
            delay: Duration::ZERO,
            slow: false,
            next: end,
            tick: end,
            seen: Moment::START,
            serves: false,
            turn: 0,
            idle: false,
            misled_until: Moment::START,
            excused: Moment::START,
        }
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.slow
    }

    /// Who has waited for longer than this is turned away by a slow pool.
    pub(crate) fn patience(&self) -> Duration {
        self.rule.target.saturating_mul(2)
    }

    /// A connection has come free while somebody waits. True if those who have lost
    /// [patience](Overload::patience) are to be turned away.
    pub(crate) fn comes_free(&mut self, now: Moment) -> bool {
        if now < self.next {
            return self.slow;
        }
        self.slow = self.delay > self.rule.target;
        self.next = now.after(self.rule.interval);
        self.delay = Duration::MAX;
        false
    }

    /// Somebody was served, after so many returns, when the first in the queue had waited since
    /// `first`.
    pub(crate) fn served(&mut self, first: Moment, turn: u64, now: Moment) {
        self.turn = turn;
        self.serves = true;
        self.saw(self.waited(first, now), now);
    }

    /// A connection has come free while nobody waits. What follows from that, follows when somebody
    /// waits again.
    pub(crate) fn is_idle(&mut self) {
        self.idle = true;
    }

    /// So short a wait is enough at present.
    fn saw(&mut self, wait: Duration, now: Moment) {
        if now >= self.misled_until {
            self.delay = self.delay.min(wait);
        }
    }

    /// Somebody was turned away where the last to come is served first.
    pub(crate) fn turned_away(&mut self, now: Moment) {
        self.misled_until = now.after(self.rule.interval / 4);
    }

    /// Somebody joins the queue as its first. Returns when the timer goes off.
    pub(crate) fn joined(&mut self, now: Moment, turn: u64) -> Moment {
        if std::mem::take(&mut self.idle) || turn != self.turn {
            // Something was given back since, and nobody waited for it.
            self.saw(Duration::ZERO, now);
        }
        self.skip_to(now);
        self.tick
    }

    /// When the timer goes off.
    pub(crate) fn tick(&self) -> Moment {
        self.tick
    }

    /// The timer may have gone off: true if those who have lost patience are to be turned away, of
    /// whom the first has waited since `first`.
    pub(crate) fn ticks(&mut self, first: Moment, now: Moment) -> bool {
        if now < self.tick {
            return false;
        }
        self.skip_to(now);
        let has_served = std::mem::take(&mut self.serves);
        // Whoever is first may be another since: those before him may have gone away.
        let was_there = first <= std::mem::replace(&mut self.seen, now);
        if has_served || !was_there {
            return false;
        }
        if now < self.next {
            return false;
        }
        self.slow = self.delay > self.rule.target;
        self.delay = self.waited(first, now);
        // Not an interval from now: whoever looks may be late, and less so the next time.
        self.next = self.tick;
        self.slow
    }

    /// Waits until now were none of the load's doing: they are forgotten, and what is left of them does
    /// not count.
    pub(crate) fn forget(&mut self, now: Moment) {
        self.delay = Duration::ZERO;
        self.slow = false;
        self.excused = now;
    }

    /// How long somebody has been waiting who has done so since then, as far as it counts.
    pub(crate) fn waited(&self, since: Moment, now: Moment) -> Duration {
        now.elapsed_since(since.max(self.excused))
    }

    /// The timer's next time after this, on its grid.
    fn skip_to(&mut self, now: Moment) {
        if self.tick <= now {
            let behind = now.elapsed_since(self.tick).as_nanos() / self.rule.interval.as_nanos();
            let steps = u32::try_from(behind + 1).unwrap_or(u32::MAX);
            self.tick = self.tick.after(self.rule.interval.saturating_mul(steps));
        }
    }
}

#[cfg(test)]
mod tests;
