//! The servers that have not been reaped yet, whatever the pool is doing with them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use event_listener::Event;

/// The process ids of all the servers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    ids: Arc<Mutex<BTreeSet<u32>>>,
    departure: Arc<Event>,
}

impl Roster {
    pub(crate) fn enter(&self, id: u32) -> Entry {
        self.with(|ids| ids.insert(id));
        Entry {
            roster: self.clone(),
            id,
        }
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.with(|ids| ids.iter().copied().collect())
    }

    /// Resolves when there is none left.
    pub(crate) async fn emptied(&self) {
        loop {
            let departure = self.departure.listen();
            if self.with(|ids| ids.is_empty()) {
                return;
            }
            departure.await;
        }
    }

    /// Resolves when none of these is left.
    pub(crate) async fn without(&self, gone: &[u32]) {
        loop {
            let departure = self.departure.listen();
            if self.with(|ids| gone.iter().all(|id| !ids.contains(id))) {
                return;
            }
            departure.await;
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeSet<u32>) -> T) -> T {
        // A set of numbers is whole whenever a panic may strike.
        look(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One server's line in the roster, until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    roster: Roster,
    id: u32,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roster.with(|ids| ids.remove(&self.id));
        self.roster.departure.notify(usize::MAX);
    }
}
