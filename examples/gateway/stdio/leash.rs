//! What makes sure that no server is left behind.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use watertight::Runtime;

use super::process::Process;
use super::roster::{Entry, Roster};

/// A server that is killed and reaped whatever becomes of its holder. It is in the roster until
/// it has been.
pub(crate) struct Leash<P: Process> {
    /// Always there, but in `drop`.
    held: Option<(P, Entry)>,
    runtime: Arc<dyn Runtime>,
}

impl<P: Process> Leash<P> {
    pub(crate) fn new(process: P, roster: &Roster, runtime: Arc<dyn Runtime>) -> Self {
        let entry = roster.enter(process.id());
        Leash {
            held: Some((process, entry)),
            runtime,
        }
    }
}

impl<P: Process> Drop for Leash<P> {
    /// After a proper goodbye there is nothing left to do. Otherwise whoever held it was
    /// interrupted, and the runtime takes over; if that is gone as well it drops the process,
    /// which kills it.
    fn drop(&mut self) {
        let Some((mut process, entry)) = self.held.take() else {
            return;
        };
        if process.has_exited() {
            return;
        }
        self.runtime.spawn(Box::pin(async move {
            process.kill();
            process.ended().await;
            drop(entry);
        }));
    }
}

impl<P: Process> Deref for Leash<P> {
    type Target = P;

    fn deref(&self) -> &P {
        match &self.held {
            Some((process, _)) => process,
            None => unreachable!("it is taken out in `drop` only"),
        }
    }
}

impl<P: Process> DerefMut for Leash<P> {
    fn deref_mut(&mut self) -> &mut P {
        match &mut self.held {
            Some((process, _)) => process,
            None => unreachable!("it is taken out in `drop` only"),
        }
    }
}
