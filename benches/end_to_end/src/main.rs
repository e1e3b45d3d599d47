//! An HTTP service with PostgreSQL behind it under load, with one pool after the other. See README.md.

mod load;
mod measure;
mod pools;
mod report;
mod serve;

use clap::{Parser, Subcommand};

#[derive(Parser, Debug)]
#[command(about = "What a pool makes of an HTTP service with PostgreSQL behind it")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Starts PostgreSQL and the service with each pool in turn, has wrk send requests, prints tables
    Measure(measure::Options),
    /// Runs the service alone
    Serve(serve::Options),
}

fn main() -> Result<(), pools::Failure> {
    match Cli::parse().command {
        Command::Measure(options) => measure::run(options),
        Command::Serve(options) => serve::run(&options),
    }
}
