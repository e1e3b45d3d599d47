//! Whether attempts to connect fail at the moment, as far as a pool's numbers tell.

use watertight::{Statistics, Status};

/// What is certain. Between the two is doubt: when more than one attempt has ended since the last
/// look, nobody knows in which order; and one that began before another succeeded says nothing
/// about the server when it fails afterwards. What began before a reset says nothing at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outage {
    made: u64,
    failed: u64,
    /// Attempts that were under way when one last succeeded, or at a reset, and may not have ended
    /// yet.
    old: u64,
    /// Of these, those of before a reset.
    dead: u64,
    is_failing: bool,
    is_possible: bool,
}

impl Outage {
    /// To be called at every step.
    pub(crate) fn look(&mut self, status: &Status, statistics: &Statistics) {
        let made = statistics.connects - self.made;
        let failed = statistics.failed_connects - self.failed;
        self.made += made;
        self.failed += failed;
        if made > 0 {
            self.old = status.connecting as u64;
            self.is_failing = false;
            self.is_possible = failed > 0 || self.is_possible && self.dead > 0;
        } else if failed > 0 {
            self.is_possible = true;
            self.is_failing |= failed > self.old;
            self.old = self.old.saturating_sub(failed);
        }
        self.dead = self.dead.min(status.connecting as u64);
    }

    /// So many attempts are under way, and may have nothing to say any more; nor have those before,
    /// if it is not spread.
    pub(crate) fn reset(&mut self, connecting: usize, at_once: bool) {
        self.old = connecting as u64;
        self.dead = self.old;
        if at_once {
            self.is_failing = false;
            self.is_possible = false;
        }
    }

    /// An attempt has failed that says something, and none has succeeded since.
    pub(crate) fn is_certain(&self) -> bool {
        self.is_failing
    }

    /// Some attempt has failed, and none has certainly succeeded since.
    pub(crate) fn is_possible(&self) -> bool {
        self.is_possible
    }

    /// How many attempts have failed so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }
}
