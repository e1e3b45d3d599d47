//! Who is alive, for the one who kills.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The processes that may be killed.
///
/// A process stays listed until just before it is reaped, and is killed under the same lock: so
/// its number cannot have gone to somebody else's process.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    entries: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    pid: u32,
    killed: Arc<AtomicBool>,
}

impl Roster {
    /// Lists a process. What it returns becomes true when the process is killed.
    pub(crate) fn enlist(&self, pid: u32) -> Arc<AtomicBool> {
        let killed = Arc::new(AtomicBool::new(false));
        self.entries().push(Entry {
            pid,
            killed: Arc::clone(&killed),
        });
        killed
    }

    /// Takes a process off the list. It may be reaped from now on.
    pub(crate) fn strike(&self, pid: u32) {
        self.entries().retain(|entry| entry.pid != pid);
    }

    /// Kills one of the processes, the one that `pick` falls on. False if there is none.
    pub(crate) fn kill(&self, pick: usize) -> bool {
        let entries = self.entries();
        let Some(entry) = pick
            .checked_rem(entries.len())
            .and_then(|index| entries.get(index))
        else {
            return false;
        };
        // First, so that whoever sees the process fail can tell why.
        entry.killed.store(true, SeqCst);
        kill(entry.pid)
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
fn kill(pid: u32) -> bool {
    use rustix::process::{Pid, Signal, kill_process};
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

#[cfg(not(unix))]
fn kill(_pid: u32) -> bool {
    false
}
