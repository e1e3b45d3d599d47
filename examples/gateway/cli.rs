//! The options that only this gateway has.

use std::time::Duration;

use clap::Parser;
use humantime::parse_duration;
use tracing::level_filters::LevelFilter;

use crate::log::Format;
use crate::stdio::Options;

/// Serves pools of stdio servers (JSON-RPC 2.0, one message a line, as the Model Context Protocol
/// has it) over HTTP.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,

    /// How to log, to standard error
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) log_format: Format,

    /// What to log: off, error, warn, info, debug (every request, and what the pools do if the
    /// gateway was built with the feature `tracing`) or trace
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: LevelFilter,

    /// How long to go on accepting requests after Ctrl-C, SIGTERM or SIGHUP, while /healthz says 503
    /// already. For a load balancer that must notice first
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) shutdown_delay: Duration,
}
