//! What a runtime may do wrong.

use std::time::Duration;

/// What a [`VirtualRuntime`](crate::VirtualRuntime) does wrong to its tasks, and how often.
///
/// All of it is allowed to a [`Spawner`](crate::Spawner), and happens in production: a runtime that
/// shuts down drops its tasks, a busy one is late, a combinator polls in vain. Probabilities are
/// between 0, never, and 1, always; what is less or more counts as these.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    pub(super) drops_unpolled: f64,
    pub(super) drops_midway: f64,
    pub(super) polls_in_vain: f64,
    pub(super) delays: f64,
    pub(super) longest_delay: Duration,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Faults::default()
    }

    /// Tasks are dropped as they are spawned, unpolled, this often.
    #[must_use]
    pub fn drop_unpolled(mut self, probability: f64) -> Self {
        self.drops_unpolled = probability;
        self
    }

    /// Tasks are dropped when they should be polled, this often.
    #[must_use]
    pub fn drop_midway(mut self, probability: f64) -> Self {
        self.drops_midway = probability;
        self
    }

    /// Tasks that wait are polled once more although nobody woke them, this often.
    #[must_use]
    pub fn poll_in_vain(mut self, probability: f64) -> Self {
        self.polls_in_vain = probability;
        self
    }

    /// Tasks that are woken get to run only after a delay, drawn from zero to `longest` (a day at
    /// most), this often.
    #[must_use]
    pub fn delay_wakes(mut self, probability: f64, longest: Duration) -> Self {
        self.delays = probability;
        self.longest_delay = longest.min(super::DAY);
        self
    }
}
