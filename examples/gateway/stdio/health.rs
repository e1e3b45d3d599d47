//! Whether servers can be started.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use watertight::Runtime;

/// For how long a failure counts. Longer than the schedule of a pool that tries again by itself; one
/// that waits to be asked must be asked again some time, and who is believed to be down is not.
const MEMORY: Duration = Duration::from_secs(30);

/// What has become of the attempts to start a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last attempt failed, if none has succeeded since.
    failed_at: Option<Instant>,
    /// How many are under way.
    attempts: usize,
    /// Set while the first processes are started.
    warming_up: bool,
}

impl State {
    /// A failure counts for a while, and until those who try again know better.
    fn is_failing(&self, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < MEMORY;
        self.failed_at
            .is_some_and(|at| self.attempts > 0 || recent(at))
    }
}

impl Health {
    /// An attempt begins. It has failed unless it is told otherwise: who waited for it may have lost
    /// patience.
    pub(crate) fn attempt(&self, runtime: &Arc<dyn Runtime>) -> Attempt {
        let mut state = self.lock();
        if !state.is_failing(runtime.now()) {
            state.failed_at = None;
        }
        state.attempts += 1;
        drop(state);
        Attempt {
            health: self.clone(),
            runtime: Arc::clone(runtime),
            succeeded: false,
        }
    }

    /// True if the last attempt to have ended failed, not long before `now`, or is being made up for.
    pub(crate) fn is_failing(&self, now: Instant) -> bool {
        self.lock().is_failing(now)
    }

    /// The first processes are started from now on, or have been.
    pub(crate) fn set_warming_up(&self, warming_up: bool) {
        self.lock().warming_up = warming_up;
    }

    pub(crate) fn is_warming_up(&self) -> bool {
        self.lock().warming_up
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // It is whole whenever a panic may strike.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Attempt {
    health: Health,
    runtime: Arc<dyn Runtime>,
    succeeded: bool,
}

impl Attempt {
    pub(crate) fn succeeded(mut self) {
        self.succeeded = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.health.lock();
        state.attempts -= 1;
        state.failed_at = (!self.succeeded).then(|| self.runtime.now());
    }
}

#[cfg(test)]
mod tests {
    use watertight::VirtualRuntime;

    use super::*;

    #[test]
    fn a_failure_counts_until_a_success_or_for_a_while() {
        let clock = VirtualRuntime::new();
        let runtime: Arc<dyn Runtime> = Arc::new(clock.clone());
        let health = Health::default();
        let failing = || health.is_failing(runtime.now());
        assert!(!failing(), "nothing has been tried");
        drop(health.attempt(&runtime));
        assert!(failing());
        health.attempt(&runtime).succeeded();
        assert!(!failing());
        drop(health.attempt(&runtime));
        clock.block_on(async { runtime.sleep_until(runtime.now() + MEMORY / 2).await });
        assert!(failing());
        clock.block_on(async { runtime.sleep_until(runtime.now() + MEMORY / 2).await });
        assert!(!failing());
    }

    #[test]
    fn a_failure_counts_while_it_is_tried_again() {
        let clock = VirtualRuntime::new();
        let runtime: Arc<dyn Runtime> = Arc::new(clock.clone());
        let health = Health::default();
        let failing = || health.is_failing(runtime.now());
        let pass =
            || clock.block_on(async { runtime.sleep_until(runtime.now() + 2 * MEMORY).await });
        drop(health.attempt(&runtime));
        let second = health.attempt(&runtime);
        pass();
        assert!(failing());
        second.succeeded();
        assert!(!failing());
        drop(health.attempt(&runtime));
        pass();
        let another = health.attempt(&runtime);
        assert!(!failing(), "it was forgotten before");
        drop(another);
        assert!(failing());
    }
}
