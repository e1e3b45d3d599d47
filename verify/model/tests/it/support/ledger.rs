//! What became of every connection, written down by the connections and their manager.

use std::sync::{Mutex, MutexGuard};

/// Not the model's mutex: nothing is interleaved with a note.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Default)]
struct Books {
    entries: Vec<Entry>,
    /// The attempts to connect under way, by their numbers.
    connecting: Vec<usize>,
    limit: usize,
    pools: usize,
    attempts: usize,
    checks: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The number of the attempt that made it; 0 if it was made elsewhere.
    attempt: usize,
    closes: usize,
    detached: bool,
    gone: bool,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("notes are made outside of assertions")
    }

    pub(super) fn pool_begins(&self, limit: usize) {
        let mut books = self.lock();
        books.pools += 1;
        books.limit = limit;
    }

    pub(crate) fn pool_ends(&self) {
        self.lock().pools -= 1;
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
    }

    /// Returns the number of the attempt.
    pub(super) fn connect_begins(&self) -> usize {
        let (taken, limit, attempt) = {
            let mut books = self.lock();
            books.attempts += 1;
            let attempt = books.attempts;
            books.connecting.push(attempt);
            (books.taken(), books.limit, books.attempts)
        };
        assert!(taken <= limit, "{taken} places are taken, of {limit}");
        attempt
    }

    pub(super) fn connect_ends(&self, attempt: usize) {
        let connecting = &mut self.lock().connecting;
        connecting.retain(|other| *other != attempt);
    }

    /// How many attempts to connect have begun.
    pub(crate) fn attempts(&self) -> usize {
        self.lock().attempts
    }

    /// True if the first so many attempts are over, and what they made, or was made elsewhere, is
    /// gone.
    pub(crate) fn is_done_with(&self, attempts: usize) -> bool {
        let books = self.lock();
        let live = books.entries.iter().filter(|entry| entry.is_live());
        let mut of = books.connecting.iter().copied();
        let mut made_by = live.map(|entry| entry.attempt);
        of.all(|attempt| attempt > attempts) && made_by.all(|attempt| attempt > attempts)
    }

    /// A connection was made by that attempt, or elsewhere.
    pub(super) fn made(&self, attempt: usize) -> usize {
        let mut books = self.lock();
        books.entries.push(Entry {
            attempt,
            ..Entry::default()
        });
        books.entries.len() - 1
    }

    pub(super) fn check_begins(&self) {
        self.lock().checks += 1;
    }

    /// How many checks have begun.
    pub(crate) fn checks(&self) -> usize {
        self.lock().checks
    }

    pub(super) fn closes(&self, id: usize) {
        self.lock().entries[id].closes += 1;
    }

    pub(crate) fn detached(&self, id: usize) {
        self.lock().entries[id].detached = true;
    }

    pub(super) fn gone(&self, id: usize) {
        self.lock().entries[id].gone = true;
    }

    /// Connections that are neither gone nor detached.
    pub(crate) fn live(&self) -> usize {
        self.lock().live()
    }

    /// Every connection was closed exactly once, or detached; `politely` if none was just dropped.
    pub(super) fn assert_balanced(&self, politely: bool) {
        let (entries, connecting, pools) = {
            let books = self.lock();
            (books.entries.clone(), books.connecting.len(), books.pools)
        };
        assert_eq!(connecting, 0, "attempts to connect are left");
        for (id, entry) in entries.iter().enumerate() {
            let fine = entry.detached
                || entry.gone && (entry.closes == 1 || !politely && entry.closes == 0);
            assert!(fine, "connection {id}: {entry:?}");
        }
        assert_eq!(pools, 0, "a pool is left in memory");
    }
}

impl Entry {
    fn is_live(&self) -> bool {
        !self.gone && !self.detached
    }
}

impl Books {
    fn live(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_live()).count()
    }

    fn taken(&self) -> usize {
        self.connecting.len() + self.live()
    }
}
