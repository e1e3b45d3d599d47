//! The time that attempts take.

use std::time::Instant;

use crate::clock::Moment;
use crate::primitives::{Arc, OnceLock, contain};
use crate::runtime::{BoxFuture, Runtime, Timer};

/// The runtime's time, or the system's as long as there is no runtime.
pub(super) struct Time {
    attached: OnceLock<(Arc<dyn Runtime>, Instant)>,
    made: Instant,
}

impl Time {
    pub(super) fn new() -> Self {
        Time {
            attached: OnceLock::new(),
            made: Instant::now(),
        }
    }

    pub(super) fn attach(&self, runtime: &Arc<dyn Runtime>) {
        // A manager belongs to one pool; should it ever be attached twice, the first wins.
        let _ = self.attached.set((Arc::clone(runtime), runtime.now()));
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached.get().is_some()
    }

    pub(super) fn moment(&self) -> Moment {
        let origin = self.attached.get().map_or(self.made, |attached| attached.1);
        Moment::since(origin, self.now())
    }
}

impl Timer for Time {
    fn now(&self) -> Instant {
        let now = self.attached.get();
        // A clock may belong to a thread that is being torn down; time goes on all the same.
        now.and_then(|(runtime, _)| contain(|| runtime.now()))
            .unwrap_or_else(Instant::now)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        match self.attached.get() {
            Some((runtime, _)) => runtime.sleep_until(at),
            None => Box::pin(std::future::pending()),
        }
    }
}
