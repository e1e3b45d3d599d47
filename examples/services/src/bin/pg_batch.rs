//! A command-line tool that uses the pool synchronously: runs the SQL statements that it reads, one a line,
//! over several sessions with a PostgreSQL at a time, and prints what each of them returned. Fails if
//! one of them did.
//!
//! ```sh
//! for n in 1 2 3 4 5 6 7 8; do echo "select $n, pg_sleep(1)"; done |
//!     cargo run --features cli --bin pg_batch -- --sessions 4 postgres://user:password@localhost/database
//! ```

use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use postgres::SimpleQueryMessage;
use watertight::{Blocking, SyncPool};
use watertight_services::blocking::Postgres;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Runs SQL statements, one a line, over several sessions at a time
#[derive(Parser)]
struct Options {
    /// How many sessions there may be
    #[arg(long, default_value_t = 4)]
    sessions: usize,

    /// How long to wait for a server that is not there yet
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    patience: u64,

    /// Where the server is, such as postgres://user:password@localhost/database
    url: String,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} statements failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            report("pg_batch", &*error);
            ExitCode::FAILURE
        }
    }
}

/// Returns how many statements failed.
fn run(options: &Options) -> Result<u32, Error> {
    let pool = SyncPool::builder(Blocking::new(Postgres::new(&options.url)?))
        .max_size(options.sessions)
        .acquire_timeout(Duration::from_secs(options.patience))
        .build()?;
    drop(pool.acquire()?); // if the password is wrong, say so once, and now

    let (begin, failed) = (Instant::now(), AtomicU32::new(0));
    let lines = Mutex::new(BufReader::new(io::stdin()).lines().enumerate());
    let next = || lines.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..options.sessions {
            // `next` holds its lock only while a line is read.
            scope.spawn(|| {
                while let Some((number, line)) = next() {
                    let done = line.map_err(Error::from);
                    if let Err(error) = done.and_then(|line| execute(&pool, number, &line)) {
                        report(&format!("line {}", number + 1), &*error);
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    eprintln!(
        "{:.1?}, {} sessions",
        begin.elapsed(),
        pool.statistics().connects
    );
    pool.close();
    Ok(failed.into_inner())
}

fn execute(
    pool: &SyncPool<Blocking<Postgres>>,
    number: usize,
    statement: &str,
) -> Result<(), Error> {
    for message in pool.acquire()?.simple_query(statement)? {
        if let SimpleQueryMessage::Row(row) = message {
            let columns = (0..row.len()).map(|column| row.get(column).unwrap_or("null"));
            println!("{}\t{}", number + 1, columns.collect::<Vec<_>>().join("\t"));
        }
    }
    Ok(())
}

/// With all that is behind it.
fn report(what: &str, error: &(dyn std::error::Error + 'static)) {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    eprintln!("{what}: {}", causes.join(": "));
}
