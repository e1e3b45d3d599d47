//! What was measured, in numbers.

use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

use crate::load::CONNECTIONS;
use crate::policy::Policy;
use crate::run::{Answer, End};

/// What a policy made of a load.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) policy: Policy,
    /// Offered load as a multiple of the capacity.
    pub(crate) load: f64,
    /// Answers in time, as a share of how many there can be.
    pub(crate) goodput: f64,
    waits: Spread,
    late: f64,
    refused: f64,
    timed_out: f64,
    refusals: Spread,
    /// When those who were served were so, and for how long they had waited.
    pub(crate) served: Vec<(Duration, Duration)>,
}

impl Figures {
    /// Counts those who had their answer in this time.
    pub(crate) fn new(
        policy: Policy,
        load: f64,
        mut ends: Vec<End>,
        counted: Range<Duration>,
    ) -> Self {
        ends.sort_by_key(|end| end.answered);
        let is_served = |end: &&End| matches!(end.answer, Answer::InTime | Answer::Late);
        let served = ends.iter().filter(is_served);
        // After that nobody comes any more.
        let served = served.filter(|end| end.answered < counted.end);
        let served = served.map(|end| (end.answered, end.waited)).collect();
        ends.retain(|end| counted.contains(&end.answered));
        let possible = (counted.end - counted.start) * CONNECTIONS;
        let held: Duration = ends.iter().map(|end| end.held).sum();
        let count = |answer| ends.iter().filter(|end| end.answer == answer).count() as f64;
        let (in_time, late) = (count(Answer::InTime), count(Answer::Late));
        let all = ends.len() as f64;
        let waits = |answers: &[Answer]| {
            let those = ends.iter().filter(|end| answers.contains(&end.answer));
            Spread::of(those.map(|end| end.waited).collect())
        };
        Figures {
            policy,
            load,
            // How many there can be, if each takes as long as these did.
            goodput: in_time / (in_time + late) * held.div_duration_f64(possible),
            waits: waits(&[Answer::InTime, Answer::Late]),
            late: late / all,
            refused: count(Answer::Refused) / all,
            timed_out: count(Answer::TimedOut) / all,
            refusals: waits(&[Answer::Refused, Answer::TimedOut]),
            served,
        }
    }
}

/// How long some of them waited.
#[derive(Debug)]
pub(crate) struct Spread {
    sorted: Vec<Duration>,
}

impl Spread {
    pub(crate) fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Spread { sorted: waits }
    }

    /// The wait that such a part of them did not exceed.
    pub(crate) fn quantile(&self, part: f64) -> Option<Duration> {
        let rank = (self.sorted.len() as f64 * part).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).copied()
    }

    fn column(&self, part: f64) -> String {
        match self.quantile(part) {
            Some(wait) => format!("{:.1}", wait.as_secs_f64() * 1000.0),
            None => "-".into(),
        }
    }
}

const HEAD: &str = "\
load  policy              in time | wait of those served, ms |  too late  turned   timed |  told so, ms
                                  |     p50     p99      max |              away     out |    p50     p99
";

/// All figures, a line each.
pub(crate) fn table(all: &[Figures]) -> String {
    let mut text = String::from(HEAD);
    let mut load = 0.0;
    for line in all {
        if line.load != load {
            load = line.load;
            text.push('\n');
        }
        let percent = |part: f64| format!("{:.1}%", part * 100.0);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<5} {:<19} {:>7} | {:>7} {:>7} {:>8} | {:>8} {:>8} {:>7} | {:>6} {:>7}",
            format!("{load}x"),
            line.policy.name(),
            percent(line.goodput),
            line.waits.column(0.5),
            line.waits.column(0.99),
            line.waits.column(1.0),
            percent(line.late),
            percent(line.refused),
            percent(line.timed_out),
            line.refusals.column(0.5),
            line.refusals.column(0.99),
        );
    }
    text
}
