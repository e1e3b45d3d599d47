//! What can be set on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Puts a pool of child processes under load and under attack, and proves that nothing leaks.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak")]
pub(crate) struct Options {
    /// How long to keep the load up, such as 20s, 10m or 1h
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,

    /// How many tasks share the pool
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) tasks: u32,

    /// How many child processes there may be
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) max_size: u16,

    /// Which faults to inject and when: the same number draws the same ones
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Where to write samples.csv and soak.svg
    #[arg(long, default_value = "target/soak", value_name = "DIRECTORY")]
    pub(crate) out: PathBuf,

    /// Leaks on purpose, to see that the verdict notices
    #[arg(long, hide = true)]
    pub(crate) leak: bool,

    /// Is the child process: answers every line on stdin with the same line on stdout
    #[arg(long, hide = true)]
    pub(crate) echo_server: bool,
}
