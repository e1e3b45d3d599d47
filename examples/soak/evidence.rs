//! What the verdict is based on.

use std::time::Duration;

use watertight::{CloseReason, Statistics};

use crate::caller::PATIENCE;
use crate::ledger::Totals;
use crate::samples::{Sample, count};
use crate::tally::Tally;
use crate::vitals::Vitals;

/// Everything that is known when it is all over.
pub(crate) struct Evidence<'a> {
    pub(crate) title: String,
    pub(crate) samples: &'a [Sample],
    pub(crate) warm_up: Duration,
    pub(crate) loaded_for: Duration,
    pub(crate) tally: &'a Tally,
    pub(crate) books: Totals,
    pub(crate) statistics: Statistics,
    pub(crate) max_size: usize,
    /// Places still taken when the pool was closed.
    pub(crate) left_in_pool: usize,
    /// Callers that never came to an end.
    pub(crate) stuck: usize,
    /// Samples in which there were more children than there may be.
    pub(crate) crowded: u64,
    /// Samples in which the pool's own numbers did not add up.
    pub(crate) inconsistent: u64,
    pub(crate) before: Vitals,
    pub(crate) after: Vitals,
}

impl Evidence<'_> {
    /// How much was done, in one line.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} requests answered; {} processes started, {} of them killed; {} callers gone \
             while they waited, {} holders while they held",
            self.tally.answered.get(),
            self.books.started,
            self.tally.kills.get(),
            self.tally.cancelled.get(),
            self.tally.aborted.get() + self.tally.panicked.get(),
        )
    }

    /// What was done and what happened, a line each.
    pub(crate) fn facts(&self) -> Vec<String> {
        let tally = self.tally;
        let answered = tally.answered.get();
        let per_second = count(answered) / self.loaded_for.as_secs_f64().max(0.001);
        let books = &self.books;
        vec![
            format!("requests: {answered} answered, {per_second:.0} per second"),
            format!(
                "outside faults: {} kills ({} requests lost), {} refusals, {} hangs, {} lulls",
                tally.kills.get(),
                tally.lost_to_kills.get(),
                tally.refusals.get(),
                tally.hangs.get(),
                tally.lulls.get()
            ),
            format!(
                "callers: {} cancelled, {} impatient, {} timed out after {PATIENCE:?}; \
                 the longest wait took {:.1?}",
                tally.cancelled.get(),
                tally.impatient.get(),
                tally.timed_out.get(),
                tally.longest_wait()
            ),
            format!(
                "holders: {} aborted, {} panicked, {} discarded, {} detached",
                tally.aborted.get(),
                tally.panicked.get(),
                tally.discarded.get(),
                tally.detached.get()
            ),
            format!(
                "returns: {} slow, {} that failed, {} awaited, {} on a plain thread",
                tally.slow_returns.get(),
                tally.failed_returns.get(),
                tally.awaited_returns.get(),
                tally.thread_returns.get()
            ),
            format!(
                "connects: {} made, {} failed ({} half made); {} closed politely",
                books.connected,
                self.statistics.failed_connects,
                books.half_made_ended,
                books.closes
            ),
            format!("closes: {}", closes(&self.statistics)),
        ]
    }
}

fn closes(statistics: &Statistics) -> String {
    let reasons = CloseReason::ALL.iter();
    let parts: Vec<String> = reasons
        .map(|&reason| (statistics.closes.get(reason), reason))
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{count} {reason}"))
        .collect();
    parts.join(", ")
}
