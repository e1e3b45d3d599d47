//! Plays each scenario in a process of its own, so that none inherits anything from another, and one
//! that hangs can be ended.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use watertight_peers::measure::Sample;
use watertight_peers::scenarios::{Contender, Scenario};

/// Nobody needs more than a few seconds who does not hang.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    pub machine: String,
    pub rounds: usize,
    pub runs: Vec<Runs>,
}

/// What one pool did in one scenario.
#[derive(Debug, Serialize, Deserialize)]
pub struct Runs {
    pub scenario: Scenario,
    pub contender: Contender,
    pub samples: Vec<Sample>,
    /// Why it was not played any more.
    pub stopped: Option<Stopped>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Stopped {
    /// It did not come to its end in [`PATIENCE`].
    Hung,
    Panicked,
}

pub fn play_all(
    scenarios: &[Scenario],
    contenders: &[Contender],
    rounds: usize,
    scale: f64,
) -> io::Result<Results> {
    let mut runs: Vec<Runs> = Vec::new();
    for &scenario in scenarios {
        for &contender in contenders.iter().filter(|it| it.takes_part(scenario)) {
            runs.push(Runs {
                scenario,
                contender,
                samples: Vec::new(),
                stopped: None,
            });
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let bar = ProgressBar::new((runs.len() * rounds) as u64);
    bar.set_style(ProgressStyle::with_template("{pos}/{len} {msg}").expect("a sound template"));
    for round in 0..rounds {
        // Another begins each time, in case the machine is not the same all the while.
        for index in 0..runs.len() {
            let count = runs.len();
            let run = &mut runs[(index + round) % count];
            bar.set_message(format!("{:?} {}", run.scenario, run.contender.name()));
            bar.inc(1);
            if run.stopped.is_some() {
                continue;
            }
            match runtime.block_on(play(run.scenario, run.contender, scale))? {
                Ok(sample) => run.samples.push(sample),
                Err(stopped) => run.stopped = Some(stopped),
            }
        }
    }
    bar.finish_and_clear();
    Ok(Results {
        machine: machine(),
        rounds,
        runs,
    })
}

async fn play(
    scenario: Scenario,
    contender: Contender,
    scale: f64,
) -> io::Result<Result<Sample, Stopped>> {
    let child = Command::new(std::env::current_exe()?)
        .arg("sample")
        .args([argument(&scenario), argument(&contender), scale.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let Ok(output) = tokio::time::timeout(PATIENCE, child.wait_with_output()).await else {
        return Ok(Err(Stopped::Hung));
    };
    let output = output?;
    Ok(match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(Stopped::Panicked),
    })
}

/// What a value is called on the command line.
pub fn argument(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value().expect("none is skipped");
    value.get_name().to_owned()
}

/// The processor and how many of its cores there are.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |it| {
        it.trim_start_matches([' ', '\t', ':'])
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores")
}
