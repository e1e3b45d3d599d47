//! Runs the scenarios for every pool in turn, and tells how they did. See the README.

mod report;
mod runs;
mod whole;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use watertight_peers::scenarios::{self, Contender, Scenario};

#[derive(Parser)]
#[command(about = "The same work for watertight and for other pools, side by side")]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Times all scenarios, each pool in turn, several rounds.
    Time {
        /// How often each is played; medians are told.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// The share of the usual work.
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        /// Only these scenarios.
        #[arg(long, value_enum)]
        only: Vec<Scenario>,
        /// Only these pools.
        #[arg(long, value_enum)]
        pools: Vec<Contender>,
        /// Where to write what was measured, as JSON.
        #[arg(long, default_value = "target/peers.json")]
        json: PathBuf,
        /// Where to draw pictures, if anywhere.
        #[arg(long)]
        plots: Option<PathBuf>,
    },
    /// Draws the pictures and tells the figures of an earlier run again.
    Report {
        json: PathBuf,
        #[arg(long)]
        plots: Option<PathBuf>,
    },
    /// Counts the instructions of an acquire and release, with valgrind.
    Instructions,
    /// Counts how often a process with 100 idle pools is woken in ten seconds.
    Idle,
    #[command(hide = true)]
    Sample {
        scenario: Scenario,
        contender: Contender,
        scale: f64,
    },
    #[command(hide = true)]
    Sleep { contender: Option<Contender> },
}

fn main() -> std::io::Result<()> {
    match Options::parse().what {
        What::Time {
            rounds,
            scale,
            only,
            pools,
            json,
            plots,
        } => {
            let all = |given: Vec<Scenario>| match given.is_empty() {
                true => Scenario::value_variants().to_vec(),
                false => given,
            };
            let pools = match pools.is_empty() {
                true => Contender::value_variants().to_vec(),
                false => pools,
            };
            let results = runs::play_all(&all(only), &pools, rounds, scale)?;
            std::fs::write(&json, serde_json::to_vec_pretty(&results)?)?;
            report::tell(&results);
            plots.map_or(Ok(()), |folder| report::draw(&results, &folder))
        }
        What::Report { json, plots } => {
            let results = serde_json::from_slice(&std::fs::read(json)?)?;
            report::tell(&results);
            plots.map_or(Ok(()), |folder| report::draw(&results, &folder))
        }
        What::Instructions => whole::instructions(),
        What::Idle => whole::idle(),
        What::Sample {
            scenario,
            contender,
            scale,
        } => {
            let sample = scenarios::play(scenario, contender, scale);
            println!("{}", serde_json::to_string(&sample)?);
            // Whatever the pool left running.
            std::process::exit(0)
        }
        What::Sleep { contender } => whole::sleep(contender),
    }
}
