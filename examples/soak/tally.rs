//! What the callers did and saw.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A count that only rises.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Everything that is counted on the callers' side of the pool.
#[derive(Debug)]
pub(crate) struct Tally {
    begun: Instant,
    over: AtomicBool,
    /// Requests that got their own answer.
    pub(crate) answered: Count,
    /// Requests that got somebody else's.
    pub(crate) crossed: Count,
    /// Requests that got none in time, from a process that was not killed.
    pub(crate) unanswered: Count,
    /// Requests that died with a process that was killed.
    pub(crate) lost_to_kills: Count,

    /// Connections that callers were lent.
    pub(crate) lent: Count,
    /// Callers that went away while they waited for a connection.
    pub(crate) cancelled: Count,
    /// Callers whose deadline was too short, and that were told so.
    pub(crate) impatient: Count,
    /// Callers that were given time, and did not get a connection all the same.
    pub(crate) timed_out: Count,
    /// Holders that were aborted in the middle of a request.
    pub(crate) aborted: Count,
    pub(crate) panicked: Count,
    pub(crate) slow_returns: Count,
    pub(crate) failed_returns: Count,
    pub(crate) awaited_returns: Count,
    pub(crate) thread_returns: Count,
    pub(crate) discarded: Count,
    pub(crate) detached: Count,

    pub(crate) kills: Count,
    pub(crate) refusals: Count,
    pub(crate) hangs: Count,
    pub(crate) lulls: Count,

    /// The longest that anybody waited for a connection, in microseconds.
    longest_wait: AtomicU64,
    /// By how much a deadline was missed at worst, in microseconds.
    worst_overrun: AtomicU64,
    /// For each caller, when the connection it asks for is due, in microseconds since `begun`;
    /// 0 if it asks for none.
    due: Vec<AtomicU64>,
    surprise: Mutex<Option<String>>,
}

impl Tally {
    pub(crate) fn new(callers: usize) -> Self {
        Tally {
            begun: Instant::now(),
            over: AtomicBool::new(false),
            answered: Count::default(),
            crossed: Count::default(),
            unanswered: Count::default(),
            lost_to_kills: Count::default(),
            lent: Count::default(),
            cancelled: Count::default(),
            impatient: Count::default(),
            timed_out: Count::default(),
            aborted: Count::default(),
            panicked: Count::default(),
            slow_returns: Count::default(),
            failed_returns: Count::default(),
            awaited_returns: Count::default(),
            thread_returns: Count::default(),
            discarded: Count::default(),
            detached: Count::default(),
            kills: Count::default(),
            refusals: Count::default(),
            hangs: Count::default(),
            lulls: Count::default(),
            longest_wait: AtomicU64::new(0),
            worst_overrun: AtomicU64::new(0),
            due: (0..callers).map(|_| AtomicU64::new(0)).collect(),
            surprise: Mutex::new(None),
        }
    }

    /// Tells everybody to come to an end.
    pub(crate) fn finish(&self) {
        self.over.store(true, Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Keeps the first thing that cannot be explained by a fault.
    pub(crate) fn surprise(&self, what: impl FnOnce() -> String) {
        self.first_surprise().get_or_insert_with(what);
    }

    pub(crate) fn surprised_by(&self) -> Option<String> {
        self.first_surprise().clone()
    }

    fn first_surprise(&self) -> MutexGuard<'_, Option<String>> {
        self.surprise.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches over one wait for a connection, from now until what it returns is dropped.
    pub(crate) fn expect(&self, caller: usize, within: Duration) -> Expectation<'_> {
        let begun = self.micros();
        let due = begun + micros(within);
        if let Some(slot) = self.due.get(caller) {
            slot.store(due.max(1), Relaxed);
        }
        Expectation {
            tally: self,
            caller,
            begun,
            due,
        }
    }

    /// Notes those who still wait although their deadline has passed. Without this, a caller that
    /// is never answered would never be noticed.
    pub(crate) fn look_for_overdue(&self) {
        let now = self.micros();
        for due in self.due.iter().map(|due| due.load(Relaxed)) {
            if due > 0 {
                self.worst_overrun
                    .fetch_max(now.saturating_sub(due), Relaxed);
            }
        }
    }

    pub(crate) fn longest_wait(&self) -> Duration {
        Duration::from_micros(self.longest_wait.load(Relaxed))
    }

    pub(crate) fn worst_overrun(&self) -> Duration {
        Duration::from_micros(self.worst_overrun.load(Relaxed))
    }

    fn micros(&self) -> u64 {
        micros(self.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A caller that waits for a connection.
#[derive(Debug)]
pub(crate) struct Expectation<'a> {
    tally: &'a Tally,
    caller: usize,
    begun: u64,
    due: u64,
}

impl Drop for Expectation<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.tally.due.get(self.caller) {
            slot.store(0, Relaxed);
        }
        let tally = self.tally;
        let now = tally.micros();
        tally
            .longest_wait
            .fetch_max(now.saturating_sub(self.begun), Relaxed);
        tally
            .worst_overrun
            .fetch_max(now.saturating_sub(self.due), Relaxed);
    }
}
