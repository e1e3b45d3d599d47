//! Counts the heap of pools, idle connections and waiters. See README.md.

mod heap;
mod measure;
mod pools;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

use crate::measure::{Findings, tasks, threads};
use crate::pools::{Bb8, Deadpool, FastPool, Mobc, Watertight};

#[derive(Parser, Debug)]
#[command(about = "Counts the heap of pools, idle connections and waiters")]
struct Options {
    /// How many wait at a time
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    waiters: u32,
    /// Fails if one of watertight's waiters takes more than this many bytes beyond its future
    #[arg(long)]
    limit: Option<f64>,
    /// Writes the figures to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let waiters = options.waiters;
    let ours = tasks::<Watertight<true>>(waiters);
    let beyond = ours.waiter.map_or(0.0, |waiter| waiter.beyond);
    let all = [
        ours,
        tasks::<Watertight<false>>(waiters),
        tasks::<Deadpool<true>>(waiters),
        tasks::<Deadpool<false>>(waiters),
        tasks::<Bb8>(waiters),
        tasks::<Mobc>(waiters),
        tasks::<FastPool>(waiters),
        threads(),
    ];
    print(&all);
    if let Some(file) = options.json {
        std::fs::write(file, serde_json::to_string_pretty(&all)?)?;
    }
    match options.limit {
        Some(limit) if beyond > limit => Err(format!(
            "one of watertight's waiters takes {beyond:.1} bytes beyond its future"
        )
        .into()),
        _ => Ok(()),
    }
}

fn print(all: &[Findings]) {
    println!(
        "| pool | a pool | its handle | an idle connection | a waiter's future | beyond it \
         | allocations each | each, the second time |\n|---|---|---|---|---|---|---|---|"
    );
    for findings in all {
        let Findings {
            name,
            pool,
            handle,
            idle,
            waiter,
        } = findings;
        let waiter = waiter.map_or("- | - | - | -".to_owned(), |waiter| {
            format!(
                "{} | {:.0} | {:.2} | {:.2}",
                waiter.future, waiter.beyond, waiter.allocations, waiter.allocations_again
            )
        });
        println!("| {name} | {pool:.0} | {handle} | {idle:.1} | {waiter} |");
    }
}
