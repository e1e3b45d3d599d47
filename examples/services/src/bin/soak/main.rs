//! A pool of sessions with a private PostgreSQL, under load and under attack for as long as you like: the
//! server is killed, frozen and restarted, sessions are cut off, callers are gone half-way. Ends with a
//! verdict, and with exit code 1 if anything was lost, late, wrong or grew.
//!
//! ```sh
//! cargo run --release --features soak --bin soak -- --duration 1h
//! ```

mod callers;
mod faults;
mod options;
mod verdict;

// What the pool's other soak has to measure and to draw by.
#[path = "../../../../soak/growth.rs"]
mod growth;
#[path = "../../../../soak/plot.rs"]
mod plot;
#[allow(dead_code)]
#[path = "../../../../soak/samples.rs"]
mod samples;
#[path = "../../../../soak/vitals.rs"]
mod vitals;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use watertight::{Backoff, CheckPolicy, ConnectPolicy, Pool};
use watertight_services::net::Net;
use watertight_services::postgres::Postgres;
use watertight_services::servers::{PostgreSql, available};

use callers::Callers;
use faults::Faults;
use options::Options;
use samples::{Sample, Samples};
use verdict::Verdict;
use vitals::Vitals;

/// Within this an acquire has to come to its end.
const DEADLINE: Duration = Duration::from_secs(2);
/// What the pool's own sessions are called.
const CLIENT: &str = "soak";
/// How many sessions there are, unless a fault changes that for a while.
const SIZE: usize = 8;

fn main() -> ExitCode {
    let options = Options::parse();
    if !available(PostgreSql::PROGRAMS) {
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(soak(&options)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(verdict) if verdict.holds() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(options: &Options) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>> {
    fs::create_dir_all(&options.out)?;
    // What was committed outlives the death of the server's processes.
    let server = Arc::new(PostgreSql::start(&["synchronous_commit=on"]));
    server.sql("create table kept (token bigint); create table abandoned (token bigint)");
    server.sql("grant all on kept, abandoned to guest");
    let pool = Pool::builder(Postgres::new(&server.url(CLIENT), Net::Tokio)?)
        .max_size(SIZE)
        .min_idle(SIZE / 2)
        .acquire_timeout(DEADLINE)
        .connect_timeout(Duration::from_secs(1))
        .check_timeout(Duration::from_secs(1))
        .recycle_timeout(Duration::from_secs(1))
        .close_timeout(Duration::from_secs(1))
        .keepalive(Duration::from_secs(1))
        .max_lifetime(Duration::from_secs(60))
        .check_policy(CheckPolicy::IdleFor(Duration::from_millis(500)))
        .connect_policy(ConnectPolicy::Retry(Backoff::new(
            Duration::from_millis(50),
            Duration::from_secs(1),
        )))
        .build()?;
    pool.fill().await?;

    let begin = Instant::now();
    let callers = Callers::start(&pool, options);
    let faults = Faults::start(&pool, &server, options.seed);
    let mut samples = Samples::with_room_for(options.duration);
    while begin.elapsed() < options.duration {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut sample = Sample::new(begin.elapsed(), Vitals::take()?, &pool.status());
        sample.answered = callers.answers();
        samples.push(sample);
        if samples.all().len().is_multiple_of(60) {
            println!("{:>6.0?}  {}", begin.elapsed(), pool.status());
        }
    }
    let faults = faults.stop().await;
    let tally = callers.stop().await;
    let verdict = Verdict::reach(options, &pool, &server, &samples, faults, tally).await;
    verdict.publish(options, &samples)?;
    Ok(verdict)
}
