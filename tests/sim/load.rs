//! Whether the pool may take itself for overloaded, as far as can be told from outside.
//!
//! It does so for an interval, if a whole interval went by in which even the shortest wait was
//! longer than the target. The moments at which the pool decides are its own, so all that can be
//! said is that there must have been such an interval somewhere: one without *relief*.

use std::time::{Duration, Instant};

use watertight::QueueOrder;

use crate::plan::ms;
use crate::settings::Settings;

pub(crate) struct Load {
    pub(crate) target: Duration,
    pub(crate) interval: Duration,
    /// When somebody was served who had not waited for too long, or something became idle while
    /// nobody waited; in order.
    reliefs: Vec<Instant>,
    /// Whoever comes last may be served first. Then a short wait is no relief for a quarter of an
    /// interval after somebody was turned away.
    reverses: bool,
    /// When somebody may have been turned away.
    losses: Vec<Instant>,
    /// When pauses ended: all that was before is forgotten then.
    resumed: Vec<Instant>,
}

impl Load {
    pub(crate) fn new(settings: &Settings, start: Instant) -> Option<Self> {
        let (target, interval) = settings.controlled_delay?;
        let interval = ms(interval);
        Some(Load {
            target: ms(target),
            interval,
            // Nobody waits before there is a pool.
            reliefs: vec![start + interval],
            reverses: settings.queue_order == QueueOrder::AdaptiveLifo,
            losses: Vec::new(),
            resumed: Vec::new(),
        })
    }

    pub(crate) fn is_relieved(&mut self, at: Instant) {
        let mut losses = self.losses.iter();
        let misled = losses.any(|&loss| loss <= at && at < loss + self.interval / 4);
        if !(self.reverses && misled) {
            self.note(at);
        }
    }

    /// Somebody who had waited for this long was served, or turned away.
    pub(crate) fn is_waited_for(&mut self, waited: Duration, at: Instant) {
        if waited > 2 * self.target {
            self.losses.push(at);
        }
    }

    fn note(&mut self, at: Instant) {
        let place = self.reliefs.partition_point(|other| *other <= at);
        self.reliefs.insert(place, at);
    }

    pub(crate) fn is_resumed(&mut self, at: Instant) {
        self.note(at);
        self.resumed.push(at);
    }

    /// False if the pool certainly does not take itself for overloaded then.
    pub(crate) fn may_be_too_much(&self, at: Instant) -> bool {
        let resumed = self.resumed.iter().rfind(|resumed| **resumed < at);
        let known = |relief: &&Instant| resumed.is_none_or(|resumed| *relief >= resumed);
        let reliefs = || self.reliefs.iter().filter(known);
        let ends = reliefs().skip(1).copied().chain([at]);
        let mut between = reliefs().zip(ends);
        between.any(|(&relief, end)| {
            let decided = end.min(at);
            relief + self.interval <= decided && at <= decided + self.interval
        })
    }

    /// Nobody waits for longer than this in front of a pool that gives nothing back: the timer goes
    /// off once to see who is first, twice to find the pool slow, and once more for what it missed.
    pub(crate) fn longest_stall(&self, lateness: Duration) -> Duration {
        4 * (self.interval + lateness) + 2 * self.target
    }
}

#[test]
fn only_an_interval_without_relief_is_too_much() {
    let start = Instant::now();
    let at = |time| start + ms(time);
    let mut load = Load {
        target: ms(5),
        interval: ms(20),
        reliefs: vec![at(20)],
        resumed: Vec::new(),
        reverses: true,
        losses: vec![at(27)],
    };
    assert!(!load.may_be_too_much(at(39)));
    assert!(load.may_be_too_much(at(40)));
    load.is_relieved(at(30));
    assert!(load.may_be_too_much(at(49)), "somebody was turned away");
    load.is_relieved(at(32));
    assert!(!load.may_be_too_much(at(51)), "that is long ago");
    load.reliefs = vec![at(20), at(30)];
    assert!(!load.may_be_too_much(at(49)));
    load.is_relieved(at(55));
    assert!(load.may_be_too_much(at(55)), "it was so until now");
    assert!(load.may_be_too_much(at(70)), "decided before the relief");
    load.is_relieved(at(70));
    assert!(!load.may_be_too_much(at(76)));
    load.is_resumed(at(80));
    load.is_relieved(at(70));
    assert!(!load.may_be_too_much(at(99)));
    assert!(load.may_be_too_much(at(100)));
}
