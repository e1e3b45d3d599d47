//! Who has which connection, written down by those who have it, and never by the pool.
//!
//! A violation is noted rather than raised where it is found, since that is inside the pool, which
//! survives panics. [`Ledger::assert_clean`] raises them all.

mod generations;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use watertight::{Runtime, Timer};

pub(crate) use self::generations::{AtHand, Birth, Generation};

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
    /// It must not be lent any more.
    condemned: bool,
    /// It was checked since it was last lent.
    checked: bool,
    made_at: Option<Instant>,
    /// When it was last known to be fit to be lent: made, brought in, given back clean, or found so.
    fit_at: Option<Instant>,
    /// When it was last given back, made or brought in.
    back_at: Option<Instant>,
    /// It was outside the pool when it was destroyed.
    detached: bool,
    born: Birth,
}

/// What spoke for a connection when it was lent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials {
    /// It was checked since it was lent before.
    pub(crate) checked: bool,
    /// When it was last known to be fit.
    pub(crate) fit_at: Option<Instant>,
    pub(crate) born: Birth,
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
    /// The attempts to connect under way.
    connecting: Vec<Birth>,
    generation: Generation,
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
    clock: Clock,
}

/// The pool's, once there is one.
#[derive(Default)]
struct Clock(OnceLock<Arc<dyn Runtime>>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

impl Clock {
    fn now(&self) -> Option<Instant> {
        self.0.get().map(|runtime| runtime.now())
    }
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

    /// From now on, time is told by this.
    pub(super) fn set_clock(&self, clock: &Arc<dyn Runtime>) {
        let _ = self.clock.0.set(Arc::clone(clock));
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

    pub(super) fn connect_begun(&self) -> Birth {
        let mut books = self.lock();
        let born = books.generation.resets;
        books.connecting.push(born);
        books.note_peak();
        born
    }

    pub(super) fn connect_over(&self, born: Birth) {
        let mut books = self.lock();
        let attempt = books.connecting.iter().position(|other| *other == born);
        books.connecting.remove(attempt.expect("it had begun"));
    }

    /// A new connection; returns its id.
    pub(super) fn made(&self, at: At) -> usize {
        let born = self.generation().resets;
        self.made_by(at, born)
    }

    /// A new connection, by an attempt that began then; returns its id.
    pub(super) fn made_by(&self, at: At, born: Birth) -> usize {
        let mut books = self.lock();
        books.entries.push(Entry {
            at,
            closes: 0,
            condemned: false,
            checked: false,
            made_at: self.clock.now(),
            fit_at: self.clock.now(),
            back_at: self.clock.now(),
            detached: at == At::Detached,
            born,
        });
        books.live += usize::from(at != At::Detached);
        books.note_peak();
        books.entries.len() - 1
    }

    /// The connection moves on. `from` are the states in which that is lawful.
    pub(super) fn pass(&self, id: usize, from: &[At], to: At) {
        let mut books = self.lock();
        let now = self.clock.now();
        let was = books.change(id, |entry| {
            if to == At::Pool && matches!(entry.at, At::Holder | At::Detached) {
                entry.fit_at = now;
                entry.back_at = now;
            }
            entry.checked &= to != At::Holder;
            entry.at = to;
            entry.closes += usize::from(to == At::Closing);
            entry.detached = to == At::Detached;
        });
        if !from.contains(&was.at) {
            books.note(format!("connection {id} went from {:?} to {to:?}", was.at));
        }
        if to == At::Holder && was.condemned {
            books.note(format!("connection {id} was lent though it is condemned"));
        }
        if to == At::Closing && was.closes > 0 {
            books.note(format!("connection {id} was closed twice"));
        }
    }

    /// The pool has taken a connection in that was made elsewhere.
    pub(super) fn adopted(&self) {
        self.lock().note_peak();
    }

    /// The connection must not be lent any more: a check or recycling of it did not succeed or was
    /// broken off, or its last holder, `inspect` or `retain` has found against it.
    pub(crate) fn condemn(&self, id: usize) {
        self.lock().entries[id].condemned = true;
    }

    /// A check or recycling of the connection has succeeded.
    pub(super) fn found_fit(&self, id: usize, by: At) {
        let now = self.clock.now();
        let entry = &mut self.lock().entries[id];
        entry.fit_at = now;
        entry.checked |= by == At::Check;
    }

    /// What speaks for a connection that is about to be lent.
    pub(super) fn credentials(&self, id: usize) -> Credentials {
        let entry = self.lock().entries[id];
        Credentials {
            checked: entry.checked,
            fit_at: entry.fit_at,
            born: entry.born,
        }
    }

    /// True if the connection must not be lent any more.
    pub(crate) fn is_condemned(&self, id: usize) -> bool {
        self.lock().entries[id].condemned
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
        assert_eq!(books.connecting, [0; 0], "attempts to connect are left");
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
            connecting: self.connecting.len(),
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
        let taken = self.connecting.len() + self.live;
        if taken > self.limit {
            let limit = self.limit;
            self.note(format!("{taken} places are taken, of {limit}"));
        }
        self.peak = self.peak.max(taken);
    }
}
