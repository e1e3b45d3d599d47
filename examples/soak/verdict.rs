//! The verdict: what must hold at the end, and whether it does.

use std::fmt;
use std::time::Duration;

use crate::evidence::Evidence;
use crate::growth::{FIGURES, Growth};
use crate::ledger::Totals;
use crate::vitals;

/// By how much a deadline may be missed: what a busy machine's scheduler may take.
const SLACK: Duration = Duration::from_secs(1);

/// One thing that must hold.
#[derive(Debug)]
struct Finding {
    holds: bool,
    what: String,
}

/// The outcome. Its `Display` is the report.
#[derive(Debug)]
pub(crate) struct Verdict {
    title: String,
    facts: Vec<String>,
    growth_was_judged: bool,
    findings: Vec<Finding>,
}

impl Verdict {
    pub(crate) fn reach(evidence: &Evidence<'_>) -> Verdict {
        let mut verdict = Verdict {
            title: evidence.title.clone(),
            facts: evidence.facts(),
            growth_was_judged: true,
            findings: Vec::new(),
        };
        verdict.judge_growth(evidence);
        verdict.judge_books(evidence);
        verdict.compare_with_pool(evidence);
        verdict.judge_end(evidence);
        verdict.judge_requests(evidence);
        verdict
    }

    pub(crate) fn is_tight(&self) -> bool {
        self.findings.iter().all(|finding| finding.holds)
    }

    /// In one line.
    pub(crate) fn headline(&self) -> String {
        let failed: Vec<&str> = self
            .findings
            .iter()
            .filter(|finding| !finding.holds)
            .map(|finding| finding.what.as_str())
            .collect();
        match failed.as_slice() {
            [] if self.growth_was_judged => {
                "watertight: no growth, every connection accounted for".into()
            }
            [] => "every connection accounted for; growth was not judged".into(),
            [first] => format!("NOT WATERTIGHT: {first}"),
            [first, more @ ..] => format!("NOT WATERTIGHT: {first} (and {} more)", more.len()),
        }
    }

    fn require(&mut self, holds: bool, what: String) {
        self.findings.push(Finding { holds, what });
    }

    fn require_equal(&mut self, what: &str, left: u64, right: u64) {
        self.require(left == right, format!("{what}: {left} and {right}"));
    }

    fn judge_growth(&mut self, evidence: &Evidence<'_>) {
        let samples = match vitals::AVAILABLE {
            true => evidence.samples,
            false => &[],
        };
        for figure in &FIGURES {
            let Some(growth) = Growth::of(figure, samples, evidence.warm_up) else {
                self.growth_was_judged = false;
                continue;
            };
            let Growth {
                before,
                after,
                allowed,
            } = growth;
            let change = after - before;
            let (name, unit) = (figure.name, figure.unit);
            self.require(
                !growth.is_leak(),
                format!(
                    "{name}: {change:+.1}{unit}, from {before:.1} to {after:.1} \
                     (allowed {allowed:+.1})"
                ),
            );
        }
        if !self.growth_was_judged {
            self.facts.push(match vitals::AVAILABLE {
                true => "growth: too short a run to judge it".into(),
                false => "growth: can be judged on Linux only, by what is in /proc".into(),
            });
        }
    }

    /// The manager's books must balance.
    fn judge_books(&mut self, evidence: &Evidence<'_>) {
        let Totals {
            started,
            connected,
            detached,
            half_made_ended,
            pooled_ended,
            detached_ended,
            most_present,
            ..
        } = evidence.books;
        self.require_equal(
            "processes started, and connected or ended half made",
            started,
            connected + half_made_ended,
        );
        self.require_equal(
            "connected, and closed or detached",
            connected,
            pooled_ended + detached,
        );
        self.require_equal("detached, and ended", detached, detached_ended);
        self.require(
            most_present <= evidence.max_size,
            format!(
                "most processes at a time {most_present} of {}",
                evidence.max_size
            ),
        );
    }

    /// The pool must have counted what its manager and its callers counted.
    fn compare_with_pool(&mut self, evidence: &Evidence<'_>) {
        let Evidence {
            books,
            tally,
            statistics,
            ..
        } = evidence;
        let left = books.pooled_ended + books.detached;
        let timed_out = tally.impatient.get() + tally.timed_out.get();
        let cancelled = tally.cancelled.get();
        for (what, counted, by_pool) in [
            ("connected", books.connected, statistics.connects),
            ("gone", left, statistics.closes.total()),
            ("detached", books.detached, statistics.closes.detached),
            ("lent", tally.lent.get(), statistics.acquires),
            ("timed out", timed_out, statistics.timeouts.total()),
            ("cancelled", cancelled, statistics.cancellations),
        ] {
            let what = format!("{what}, as counted outside and by the pool");
            self.require_equal(&what, counted, by_pool);
        }
    }

    /// What is left when everything has been given back.
    fn judge_end(&mut self, evidence: &Evidence<'_>) {
        let Evidence { before, after, .. } = evidence;
        let nothing = |count: usize, what: &str| (count == 0, format!("{count} {what}"));
        for (holds, what) in [
            nothing(evidence.left_in_pool, "places still taken after the close"),
            nothing(
                evidence.books.departing,
                "processes without a place not reaped",
            ),
            nothing(after.children, "child processes at the end"),
            nothing(evidence.stuck, "callers stuck"),
        ] {
            self.require(holds, what);
        }
        self.require_equal("samples with too many children", evidence.crowded, 0);
        self.require_equal("samples that do not add up", evidence.inconsistent, 0);
        for (what, before, after) in [
            ("descriptors", before.fds, after.fds),
            ("threads", before.threads, after.threads),
        ] {
            self.require(
                after <= before,
                format!("{what} before the load {before}, after it {after}"),
            );
        }
    }

    fn judge_requests(&mut self, evidence: &Evidence<'_>) {
        let tally = evidence.tally;
        let (crossed, unanswered) = (tally.crossed.get(), tally.unanswered.get());
        self.require(
            crossed == 0,
            format!("{crossed} answers to another's request"),
        );
        self.require(
            unanswered == 0,
            format!("{unanswered} requests never answered"),
        );
        self.require(
            tally.answered.get() > 0,
            format!("{} requests answered", tally.answered.get()),
        );
        let overrun = tally.worst_overrun();
        self.require(
            overrun <= SLACK,
            format!(
                "the latest caller was served or told {overrun:.1?} after its deadline \
                 (allowed {SLACK:?})"
            ),
        );
        if let Some(surprise) = tally.surprised_by() {
            self.require(false, format!("unexplained: {surprise}"));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        for fact in &self.facts {
            writeln!(f, "  {fact}")?;
        }
        writeln!(f)?;
        for Finding { holds, what } in &self.findings {
            let mark = if *holds { "ok  " } else { "FAIL" };
            writeln!(f, "  {mark}  {what}")?;
        }
        write!(f, "\n{}", self.headline())
    }
}
