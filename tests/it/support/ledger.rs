//! Who has which connection, written down by those who have it, and never by the pool.
//!
//! A violation is noted rather than raised where it is found, since that is inside the pool, which
//! survives panics. [`Ledger::assert_clean`] raises them all.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// In the pool's hands, idle or between two of the other states.
    Pool,
    Holder,
    Check,
    Recycling,
    Closing,
    Detached,
    /// Destroyed.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: At,
    /// How often a close of it was begun.
    closes: usize,
    /// A check or recycling of it did not succeed.
    condemned: bool,
    /// It was outside the pool when it was destroyed.
    detached: bool,
}

/// How many connections are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Connections made, and brought in from elsewhere.
    pub(crate) made: usize,
    /// Attempts to connect under way.
    pub(crate) connecting: usize,
    /// Neither destroyed nor detached.
    pub(crate) live: usize,
    pub(crate) held: usize,
    pub(crate) detached: usize,
    /// Destroyed while they were the pool's.
    pub(crate) closed: usize,
}

#[derive(Debug, Default)]
struct Books {
    entries: Vec<Entry>,
    connecting: usize,
    live: usize,
    limit: usize,
    peak: usize,
    managers: usize,
    violations: Vec<String>,
}

/// The ledger of one pool (laws L1 to L6).
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    books: Mutex<Books>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> Count {
        self.lock().count()
    }

    /// The most places that were taken at any instant.
    pub(crate) fn peak(&self) -> usize {
        self.lock().peak
    }

    /// Where a connection is now.
    pub(crate) fn place(&self, id: usize) -> At {
        self.lock().entries[id].at
    }

    /// How often a close of this connection was begun.
    pub(crate) fn closes_of(&self, id: usize) -> usize {
        self.lock().entries[id].closes
    }

    /// How many connections were closed by the manager, whatever came of it.
    pub(crate) fn closes_begun(&self) -> usize {
        self.lock().entries.iter().map(|entry| entry.closes).sum()
    }

    /// Pools whose manager still exists.
    pub(crate) fn managers(&self) -> usize {
        self.lock().managers
    }

    /// Notes a breach of the law.
    pub(crate) fn violation(&self, what: impl fmt::Display) {
        self.lock().violations.push(what.to_string());
    }

    /// Raises whatever was noted.
    pub(crate) fn assert_clean(&self) {
        let books = self.lock();
        assert!(
            books.violations.is_empty(),
            "violations: {:#?}",
            books.violations
        );
    }

    pub(super) fn manager_made(&self) {
        self.lock().managers += 1;
    }

    pub(super) fn manager_gone(&self) {
        self.lock().managers -= 1;
    }

    /// From now on so many places may be taken.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
    }

    pub(super) fn connect_begun(&self) {
        let mut books = self.lock();
        books.connecting += 1;
        books.note_peak();
    }

    pub(super) fn connect_over(&self) {
        self.lock().connecting -= 1;
    }

    /// A new connection; returns its id.
    pub(super) fn made(&self, at: At) -> usize {
        let mut books = self.lock();
        books.entries.push(Entry {
            at,
            closes: 0,
            condemned: false,
            detached: at == At::Detached,
        });
        books.live += usize::from(at != At::Detached);
        books.note_peak();
        books.entries.len() - 1
    }

    /// The connection moves on. `from` are the states in which that is lawful.
    pub(super) fn pass(&self, id: usize, from: &[At], to: At) {
        let mut books = self.lock();
        let was = books.change(id, |entry| {
            entry.at = to;
            entry.closes += usize::from(to == At::Closing);
            entry.detached = to == At::Detached;
        });
        if !from.contains(&was.at) {
            books.note(format!("connection {id} went from {:?} to {to:?}", was.at));
        }
        if to == At::Holder && was.condemned {
            books.note(format!(
                "connection {id} was lent though its state is unknown"
            ));
        }
        if to == At::Closing && was.closes > 0 {
            books.note(format!("connection {id} was closed twice"));
        }
    }

    /// The pool has taken a connection in that was made elsewhere.
    pub(super) fn adopted(&self) {
        self.lock().note_peak();
    }

    /// A check or recycling of the connection did not succeed, or was broken off.
    pub(super) fn condemn(&self, id: usize) {
        self.lock().entries[id].condemned = true;
    }

    pub(super) fn destroyed(&self, id: usize) {
        let mut books = self.lock();
        let was = books.change(id, |entry| entry.at = At::Gone);
        if was.at == At::Gone {
            books.note(format!("connection {id} was destroyed twice"));
        }
    }

    /// Asserts that every connection has come to an end, and the right one: closed exactly once,
    /// unless it was detached. `politely`: through the manager, for no task was lost.
    pub(crate) fn assert_all_gone(&self, politely: bool) {
        let books = self.lock();
        assert_eq!(books.connecting, 0, "attempts to connect are left");
        for (id, entry) in books.entries.iter().enumerate() {
            if entry.detached {
                continue;
            }
            assert_eq!(entry.at, At::Gone, "connection {id} leaked: {entry:?}");
            assert!(entry.closes <= 1, "connection {id}: {entry:?}");
            let closed = entry.closes == 1 || !politely;
            assert!(closed, "connection {id} was dropped, not closed");
        }
    }
}

impl Entry {
    /// Is it, or may it be, in the pool's hands or on loan?
    fn is_live(&self) -> bool {
        self.at != At::Gone && !self.detached
    }
}

impl Books {
    fn note(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Changes an entry. Returns what it was.
    fn change(&mut self, id: usize, change: impl FnOnce(&mut Entry)) -> Entry {
        let entry = &mut self.entries[id];
        let was = *entry;
        change(entry);
        self.live += usize::from(entry.is_live());
        self.live -= usize::from(was.is_live());
        was
    }

    fn count(&self) -> Count {
        let entries = || self.entries.iter();
        Count {
            made: self.entries.len(),
            connecting: self.connecting,
            live: self.live,
            held: entries().filter(|entry| entry.at == At::Holder).count(),
            detached: entries().filter(|entry| entry.detached).count(),
            closed: entries()
                .filter(|entry| entry.at == At::Gone && !entry.detached)
                .count(),
        }
    }

    /// Called whenever the number of places taken may have risen.
    fn note_peak(&mut self) {
        let taken = self.connecting + self.live;
        if taken > self.limit {
            let limit = self.limit;
            self.note(format!("{taken} places are taken, of {limit}"));
        }
        self.peak = self.peak.max(taken);
    }
}
