//! Twice as much work as can be done: what becomes of it by each of the pool's policies.
//!
//! ```text
//! cargo run --release --example overload --features test-util
//! cargo run --release --example overload --features test-util -- --plot docs/overload.svg
//! ```
//!
//! Clients come at random, whether or not those before them have been served, and each is patient
//! for a second: an answer after that is worth nothing to it. Eight connections are held for ten
//! milliseconds on average, so 800 clients in a second is all that can be done. The clock is
//! virtual and chance is drawn from `--seed`, so that every policy meets the same clients, and two
//! runs print the same table.

mod figures;
mod load;
mod plot;
mod policy;
mod run;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::figures::{Figures, table};
use crate::load::Load;
use crate::plot::Plot;
use crate::policy::Policy;

/// Offered load as multiples of what can be done: those in the table, and those between, for the
/// plot.
const LOADS: [f64; 5] = [0.5, 1.0, 1.5, 2.0, 3.0];
const BETWEEN: [f64; 6] = [0.8, 0.9, 1.1, 1.2, 1.3, 2.5];
/// The load of which the plot shows the course.
const OVERLOAD: f64 = 2.0;

/// Offers a pool more and more work, on a virtual clock, and says what each policy makes of it.
#[derive(Debug, Parser)]
#[command(name = "overload")]
struct Options {
    /// For how long clients come, on the virtual clock
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// How much of that is for the start and not counted
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    start_up: Duration,

    /// Which clients come: the same number draws the same ones
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Where to write the plot
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match overload(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn overload(options: &Options) -> Result<(), Box<dyn Error>> {
    if options.start_up >= options.duration {
        return Err("nothing is left to be counted: --start-up is too long".into());
    }
    let start = Instant::now();
    let mut all = Vec::new();
    for factor in LOADS {
        all.extend(measured(options, factor)?);
    }
    print!("{}", table(&all));
    if let Some(path) = &options.plot {
        for factor in BETWEEN {
            all.extend(measured(options, factor)?);
        }
        let plot = Plot {
            figures: &all,
            course_of: OVERLOAD,
            options: &format!(
                "{} s of virtual time at each load, the first {} s not counted; seed {}",
                options.duration.as_secs_f64(),
                options.start_up.as_secs_f64(),
                options.seed,
            ),
        };
        plot.write(path)?;
        println!("\nplot: {}", path.display());
    }
    eprintln!("took {:.1} s of real time", start.elapsed().as_secs_f64());
    Ok(())
}

/// What each policy makes of this load.
fn measured(options: &Options, factor: f64) -> Result<Vec<Figures>, Box<dyn Error>> {
    let load = Load::drawn(factor, options.duration, options.seed);
    let mut figures = Vec::new();
    for policy in Policy::ALL {
        let ends = run::run(policy, &load)?;
        let counted = options.start_up..options.duration;
        figures.push(Figures::new(policy, factor, ends, counted));
    }
    Ok(figures)
}
