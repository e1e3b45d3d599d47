//! smol's global executor.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::overdue::Overdue;
use super::{BoxFuture, Spawner, Timer};

/// Runs a pool on smol's global executor.
///
/// The executor and its timer live on threads of their own for as long as the process does, so a
/// pool on it works from any thread.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SmolRuntime;

impl SmolRuntime {
    /// Makes the runtime; there is nothing to start.
    pub fn new() -> Self {
        SmolRuntime
    }
}

impl Spawner for SmolRuntime {
    fn spawn(&self, task: BoxFuture<()>) {
        // A smol task that is merely dropped is cancelled.
        ::smol::spawn(task).detach();
    }

    /// Always: its reactor serves every thread.
    fn is_current(&self) -> bool {
        true
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        // Its threads are those of the process, so what has them begin in time is as well.
        static OVERDUE: OnceLock<Arc<Overdue>> = OnceLock::new();
        let (given, _) = OVERDUE.get_or_init(Arc::default).give(self, work);
        ::smol::unblock(|| given.begin()).detach();
    }
}

impl Timer for SmolRuntime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Box::pin(async move {
            ::smol::Timer::at(at).await;
        })
    }
}
