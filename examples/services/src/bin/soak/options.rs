//! What can be set on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Puts a pool of sessions with a PostgreSQL under load and under attack
#[derive(Clone, Debug, Parser)]
#[command(name = "soak")]
pub(crate) struct Options {
    /// How long to keep it up, such as 20s, 10m or 1h
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,

    /// How many tasks share the pool
    #[arg(long, default_value_t = 48)]
    pub(crate) tasks: usize,

    /// How many plain threads share it with them
    #[arg(long, default_value_t = 4)]
    pub(crate) threads: usize,

    /// Which faults there are and when: the same number draws the same ones
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Where to write soak.json, samples.csv and soak.svg
    #[arg(long, default_value = "target/soak", value_name = "DIRECTORY")]
    pub(crate) out: PathBuf,
}
