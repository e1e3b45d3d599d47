//! How long to leave a server alone that has just refused a connection.

use std::time::Duration;

/// A schedule of delays between failed attempts: exponential, with decorrelated jitter, capped.
///
/// Each delay is drawn evenly from `first ..= 3 x the one before`, or up to the cap if that is less. The
/// first success ends it. The method is "decorrelated jitter" from Marc Brooker's "Exponential
/// Backoff And Jitter" (AWS Architecture Blog, 2015).
///
/// The default is 100 milliseconds, capped at 5 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// A schedule that starts at `first` and never exceeds `cap`. Building the pool fails unless
    /// `0 < first <= cap`.
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Backoff { first, cap }
    }

    /// The shortest delay, which is also the first.
    pub const fn first(&self) -> Duration {
        self.first
    }

    /// The longest delay.
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.first > Duration::ZERO && self.first <= self.cap
    }

    /// Draws the delay after `previous`, which is `None` for the first failure.
    pub(crate) fn next(&self, previous: Option<Duration>, rng: &mut fastrand::Rng) -> Duration {
        let Some(previous) = previous else {
            return self.first;
        };
        let longest = previous.saturating_mul(3).clamp(self.first, self.cap);
        let above = (longest - self.first).mul_f64(rng.f64());
        self.first.saturating_add(above).min(self.cap)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_within_their_bounds_and_grow() {
        let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(900));
        let mut rng = fastrand::Rng::with_seed(1);
        let mut previous = None;
        let mut longest = Duration::ZERO;
        for _ in 0..1000 {
            let delay = backoff.next(previous, &mut rng);
            let bound = previous.map_or(backoff.first(), |p| (p * 3).min(backoff.cap()));
            assert!(delay >= backoff.first() && delay <= bound.max(backoff.first()));
            longest = longest.max(delay);
            previous = Some(delay);
        }
        assert!(longest >= backoff.cap() / 3);
    }

    #[test]
    fn huge_delays_do_not_overflow() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::MAX);
        let mut rng = fastrand::Rng::with_seed(2);
        let mut previous = Some(Duration::MAX);
        for _ in 0..100 {
            previous = Some(backoff.next(previous, &mut rng));
        }
    }

    #[test]
    fn schedule_needs_a_delay_and_a_cap_not_below_it() {
        let valid = |first, cap| {
            Backoff::new(Duration::from_millis(first), Duration::from_millis(cap)).is_valid()
        };
        assert!(valid(1, 2) && valid(1, 1));
        assert!(!valid(0, 1) && !valid(2, 1) && !valid(0, 0));
    }
}
