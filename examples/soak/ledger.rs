//! The books: every process that was ever started, and what became of it.
//!
//! They are kept by the manager and by the connections' own destructors, independently of the
//! pool, so that the two can be compared.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// What a process counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Started, but its manager has not handed it to the pool.
    HalfMade,
    /// A connection of the pool's.
    Pooled,
    /// Taken out of the pool for good.
    Detached,
}

/// Counts that only rise, but for `present` and `departing`.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    started: AtomicU64,
    connected: AtomicU64,
    detached: AtomicU64,
    half_made_ended: AtomicU64,
    pooled_ended: AtomicU64,
    detached_ended: AtomicU64,
    closes: AtomicU64,
    /// Processes that must have a place in the pool, and the most there ever were.
    present: AtomicUsize,
    most_present: AtomicUsize,
    /// Processes that have no place any more and are not yet reaped.
    departing: AtomicUsize,
}

impl Ledger {
    pub(crate) fn started(&self) {
        self.started.fetch_add(1, SeqCst);
        let present = self.present.fetch_add(1, SeqCst) + 1;
        self.most_present.fetch_max(present, SeqCst);
    }

    pub(crate) fn connected(&self) {
        self.connected.fetch_add(1, SeqCst);
    }

    /// To be called just before the pool lets go, or the next process could be counted first.
    pub(crate) fn detached(&self) {
        self.detached.fetch_add(1, SeqCst);
        self.departing.fetch_add(1, SeqCst);
        self.present.fetch_sub(1, SeqCst);
    }

    pub(crate) fn close_called(&self) {
        self.closes.fetch_add(1, SeqCst);
    }

    /// The connection is gone. Its process may be left to be reaped.
    pub(crate) fn ended(&self, standing: Standing, reaped: bool) {
        let (ended, had_place) = match standing {
            Standing::HalfMade => (&self.half_made_ended, true),
            Standing::Pooled => (&self.pooled_ended, true),
            Standing::Detached => (&self.detached_ended, false),
        };
        ended.fetch_add(1, SeqCst);
        match (had_place, reaped) {
            (true, false) => drop(self.departing.fetch_add(1, SeqCst)),
            (false, true) => self.reaped(),
            _ => {}
        }
        if had_place {
            self.present.fetch_sub(1, SeqCst);
        }
    }

    /// A process that had no place any more has been reaped.
    pub(crate) fn reaped(&self) {
        self.departing.fetch_sub(1, SeqCst);
    }

    pub(crate) fn departing(&self) -> usize {
        self.departing.load(SeqCst)
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            started: self.started.load(SeqCst),
            connected: self.connected.load(SeqCst),
            detached: self.detached.load(SeqCst),
            half_made_ended: self.half_made_ended.load(SeqCst),
            pooled_ended: self.pooled_ended.load(SeqCst),
            detached_ended: self.detached_ended.load(SeqCst),
            closes: self.closes.load(SeqCst),
            most_present: self.most_present.load(SeqCst),
            departing: self.departing(),
        }
    }
}

/// The books at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    /// Processes started.
    pub(crate) started: u64,
    /// Processes that were handed to the pool.
    pub(crate) connected: u64,
    /// Connections taken out of the pool for good.
    pub(crate) detached: u64,
    /// Processes that ended before they were handed to the pool.
    pub(crate) half_made_ended: u64,
    /// Connections of the pool's that are gone, closed or just dropped.
    pub(crate) pooled_ended: u64,
    /// Detached connections that are gone.
    pub(crate) detached_ended: u64,
    /// Calls of `Manager::close`.
    pub(crate) closes: u64,
    /// The most processes that ever had a place at the same time.
    pub(crate) most_present: usize,
    /// Processes without a place that are not yet reaped.
    pub(crate) departing: usize,
}
