//! Somebody who watches the pool, and may lose his temper.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use watertight::{Observer, Statistics, event};

use crate::coverage::saw;

/// What an observer does once it has counted an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    Calm,
    /// It panics at every other event.
    Panics,
}

/// Cloning it makes another handle.
#[derive(Clone)]
pub(crate) struct Watcher {
    temper: Temper,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    events: u64,
    connected: u64,
    failed: u64,
    acquired: u64,
    closed: u64,
    timed_out: u64,
    rejected: u64,
    cancelled: u64,
    returned: u64,
    waits_begun: u64,
    waits_ended: u64,
}

impl Watcher {
    pub(crate) fn new(temper: Temper) -> Self {
        Watcher {
            temper,
            seen: Arc::default(),
        }
    }

    fn note(&self, count: impl FnOnce(&mut Seen)) {
        let events = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.events += 1;
            count(&mut seen);
            seen.events
        };
        if self.temper == Temper::Panics && events % 2 == 0 && !std::thread::panicking() {
            saw("observer: panics");
            resume_unwind(Box::new("as planned"));
        }
    }

    /// Nothing happens any more: as much has been told as has happened. So many connections are
    /// still `out`.
    pub(crate) fn compare(&self, statistics: &Statistics, out: u64) {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let told = [seen.connected, seen.failed, seen.acquired, seen.closed];
        let happened = [
            statistics.connects,
            statistics.failed_connects,
            statistics.acquires,
            statistics.closes.total(),
        ];
        assert_eq!(told, happened, "connected, failed, acquired, closed");
        let told = [seen.timed_out, seen.rejected, seen.cancelled];
        let happened = [
            statistics.timeouts.total(),
            statistics.rejections.total(),
            statistics.cancellations,
        ];
        assert_eq!(told, happened, "timed out, rejected, cancelled");
        assert_eq!(seen.returned + out, seen.acquired, "returned");
        let waits = [seen.waits_begun, seen.waits_ended];
        assert_eq!(waits, [statistics.waits; 2], "waits begun, ended");
    }
}

impl Observer for Watcher {
    fn connected(&self, _: &event::Connected) {
        self.note(|seen| seen.connected += 1);
    }

    fn connect_failed(&self, _: &event::ConnectFailed<'_>) {
        self.note(|seen| seen.failed += 1);
    }

    fn acquired(&self, _: &event::Acquired) {
        self.note(|seen| seen.acquired += 1);
    }

    fn returned(&self, _: &event::Returned) {
        self.note(|seen| seen.returned += 1);
    }

    fn wait_began(&self) {
        self.note(|seen| seen.waits_begun += 1);
    }

    fn wait_ended(&self, event: &event::WaitEnded) {
        let cancelled = event.ending() == event::WaitEnding::Cancelled;
        self.note(|seen| {
            seen.waits_ended += 1;
            seen.cancelled += u64::from(cancelled);
        });
    }

    fn timed_out(&self, _: &event::TimedOut) {
        self.note(|seen| seen.timed_out += 1);
    }

    fn rejected(&self, _: &event::Rejected) {
        self.note(|seen| seen.rejected += 1);
    }

    fn closed(&self, _: &event::Closed) {
        self.note(|seen| seen.closed += 1);
    }
}
