//! Tells the medians, and whether the crate's aims are reached, and draws pictures.

mod aims;
mod plot;

use watertight_peers::measure::Sample;
use watertight_peers::scenarios::{Contender, Scenario};

use crate::runs::{PATIENCE, Results, Runs, Stopped};

pub use plot::draw;

/// The median of what was measured, and the least and the most.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Results {
    fn of(&self, scenario: Scenario, contender: Contender) -> Option<&Runs> {
        let mut runs = self.runs.iter();
        runs.find(|it| it.scenario == scenario && it.contender == contender)
    }

    fn median(
        &self,
        scenario: Scenario,
        contender: Contender,
        which: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        Some(self.of(scenario, contender)?.spread(which)?.median)
    }
}

impl Runs {
    pub fn spread(&self, which: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        let mut values: Vec<f64> = self.samples.iter().filter_map(which).collect();
        values.sort_by(f64::total_cmp);
        Some(Spread {
            least: *values.first()?,
            median: values[values.len() / 2],
            most: *values.last()?,
        })
    }
}

type Measure = (&'static str, fn(&Sample) -> Option<f64>);

/// What can be told of a scenario, and what it is called.
const MEASURES: [Measure; 7] = [
    ("ns per cycle", |it| it.cycle_ns),
    ("fairness", |it| it.fairness),
    ("all done, ms", |it| it.total_ms),
    ("wait p50, ms", |it| Some(it.waits.as_ref()?.p50)),
    ("p99", |it| Some(it.waits.as_ref()?.p99)),
    ("p99.9", |it| Some(it.waits.as_ref()?.p999)),
    ("worst", |it| Some(it.waits.as_ref()?.worst)),
];

pub fn tell(results: &Results) {
    println!("{}, median of {} rounds", results.machine, results.rounds);
    let mut scenarios: Vec<Scenario> = results.runs.iter().map(|it| it.scenario).collect();
    scenarios.dedup();
    for scenario in scenarios {
        tell_one(results, scenario);
    }
    aims::tell(results);
}

fn tell_one(results: &Results, scenario: Scenario) {
    let runs: Vec<&Runs> = results
        .runs
        .iter()
        .filter(|it| it.scenario == scenario)
        .collect();
    let told: Vec<&Measure> = MEASURES
        .iter()
        .filter(|(_, which)| runs.iter().any(|it| it.spread(which).is_some()))
        .collect();
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    println!(
        "\n{scenario:?}\n\n| pool | {} | failed |",
        names.join(" | ")
    );
    println!("|---|{}---|", "---|".repeat(told.len()));
    for run in runs {
        let cells: Vec<String> = told
            .iter()
            .map(|(_, which)| match run.spread(which) {
                Some(spread) => shortly(spread),
                None => "-".into(),
            })
            .collect();
        let failures: u64 = run.samples.iter().map(|it| it.failures).sum();
        let end = match run.stopped {
            None => failures.to_string(),
            Some(Stopped::Hung) => format!("not over in {} s", PATIENCE.as_secs()),
            Some(Stopped::Panicked) => "panicked".into(),
        };
        println!(
            "| {} | {} | {end} |",
            run.contender.name(),
            cells.join(" | ")
        );
    }
}

/// The median, and how far the rounds were apart.
fn shortly(spread: Spread) -> String {
    let digits = |value: f64| match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.4}"),
    };
    let Spread {
        least,
        median,
        most,
    } = spread;
    format!("{} ({} to {})", digits(median), digits(least), digits(most))
}
