//! Measures one pool after the other, in several rounds.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use serde::Serialize;
use watertight_services::servers::PostgreSql;

use crate::load::{Seen, Service, Wrk};
use crate::pools::Failure;
use crate::report;
use crate::serve::{ACCOUNTS, Subject};

#[derive(Args, Debug)]
pub struct Options {
    /// The pools to compare
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [
        Subject::Watertight, Subject::Deadpool, Subject::Bb8, Subject::Bb8Unchecked,
    ])]
    pools: Vec<Subject>,
    /// How many sessions with PostgreSQL each pool may have
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// How many clients there are, each with one request at a time
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64], value_parser = clap::value_parser!(u16).range(1..))]
    clients: Vec<u16>,
    /// How often each pool has its turn; best a multiple of the number of pools
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Seconds of each turn
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    /// One round of one second for each pool and route, with the first number of clients only: to see
    /// that it works, not to measure
    #[arg(long)]
    quick: bool,
    /// Writes all runs to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One run of wrk's.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Run {
    pub round: u16,
    pub pool: Subject,
    pub route: &'static str,
    pub clients: u16,
    #[serde(flatten)]
    pub seen: Seen,
}

/// Everything that was measured, and how.
#[derive(Debug, Serialize)]
pub struct Findings {
    pub connections: u16,
    pub rounds: u16,
    pub seconds: u16,
    pub runs: Vec<Run>,
}

pub const ROUTES: [&str; 2] = ["read", "write"];

/// Runs everything and prints tables. Ctrl-C ends it after the run that is under way.
pub fn run(mut options: Options) -> Result<(), Failure> {
    if options.quick {
        (options.rounds, options.seconds) = (1, 1);
        options.clients.truncate(1);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    ctrlc::set_handler(move || stopped.store(true, Ordering::Relaxed))?;
    let findings = measure(&options, &stop)?;
    print!("{}", report::tables(&findings));
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&findings)?)?;
    }
    match findings.runs.iter().map(|run| run.seen.failed).sum() {
        0 => Ok(()),
        failed => Err(format!("{failed} requests have failed").into()),
    }
}

fn measure(options: &Options, stop: &AtomicBool) -> Result<Findings, Failure> {
    let wrk = Wrk::new()?;
    let server = PostgreSql::start(&["shared_buffers=128MB", "max_connections=200"]);
    server.sql(&accounts());
    let url = server.url("service");
    let mut services = Vec::new();
    for &pool in &options.pools {
        let service = Service::start(pool, options.connections, &url)?;
        // Not counted: the pool makes its sessions, and PostgreSQL reads its catalogues.
        wrk.run(&service, ROUTES[0], options.clients[0], 1)?;
        services.push((pool, service));
    }
    let mut runs = Vec::new();
    for round in 0..options.rounds {
        // What has been outdated in one round, nobody has to step over in the next.
        server.sql("vacuum accounts");
        for route in ROUTES {
            for &clients in &options.clients {
                for (pool, service) in &services {
                    let seen = wrk.run(service, route, clients, options.seconds)?;
                    if stop.load(Ordering::Relaxed) {
                        return Err("stopped".into());
                    }
                    eprintln!("{round} {pool:?} /{route} {clients}: {seen:?}");
                    runs.push(Run {
                        round,
                        pool: *pool,
                        route,
                        clients,
                        seen,
                    });
                }
            }
        }
        // So that each is as often first, second and so on.
        services.rotate_left(1);
    }
    Ok(Findings {
        connections: options.connections,
        rounds: options.rounds,
        seconds: options.seconds,
        runs,
    })
}

/// Room is left in every page, for an update to put the new row beside the old one.
fn accounts() -> String {
    format!(
        "create table accounts (id integer primary key, balance integer not null) with (fillfactor = 50);
         insert into accounts select id, 100 from generate_series(0, {ACCOUNTS} - 1) as id;
         grant select, update on accounts to guest; analyze accounts"
    )
}
