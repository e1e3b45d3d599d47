//! SQLite from a thread pool: rayon's threads share four connections to one file, without any async
//! runtime in sight. SQLite knows whether a transaction is open, so the manager need not guess.
//!
//! ```sh
//! cargo run --features sqlite --bin sqlite_threads -- /tmp/example.db
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rusqlite::{Connection, TransactionBehavior};
use watertight::{Blocking, BlockingManager, Condition, Metrics, PooledConnection, SyncPool};
use watertight_services::{Outcome, url};

struct Sqlite {
    file: PathBuf,
}

impl BlockingManager for Sqlite {
    type Connection = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.file)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        Ok(connection)
    }

    fn check(&self, connection: &mut Connection, _: &Metrics) -> rusqlite::Result<()> {
        connection.query_row("select 1", [], |_| Ok(()))
    }

    fn inspect(&self, connection: &mut Connection) -> Condition {
        if connection.is_autocommit() {
            Condition::Clean
        } else {
            Condition::Dirty
        }
    }

    fn recycle(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        connection.execute_batch("rollback")
    }
}

fn main() -> Outcome {
    let file = url("/tmp/example.db").into();
    let pool = SyncPool::builder(Blocking::new(Sqlite { file }))
        .max_size(4)
        .build()?;
    pool.acquire()?.execute_batch(
        "create table if not exists primes (number integer primary key, factors integer);
         delete from primes",
    )?;

    // A transaction that somebody forgets keeps everybody else from writing until it is rolled back.
    let forgetful = pool.acquire()?;
    forgetful.execute_batch("begin immediate; insert into primes values (-1, 0)")?;
    pool.release(forgetful);

    let begin = Instant::now();
    let used = Mutex::new(BTreeSet::new());
    (2..2000_u32)
        .into_par_iter()
        .try_for_each(|number| -> Outcome {
            let factors = (1..=number).filter(|divisor| number % divisor == 0).count();
            let mut connection = pool.acquire()?;
            if let Ok(mut used) = used.lock() {
                used.insert(PooledConnection::metrics(&connection).id());
            }
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "insert into primes values (?1, ?2)",
                (number, factors as u32),
            )?;
            Ok(transaction.commit()?)
        })?;

    let question = "select count(*), sum(factors = 2) from primes";
    let (all, primes): (u32, u32) = pool
        .acquire()?
        .query_row(question, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    println!(
        "{} threads stored {all} numbers, {primes} of them prime, through {} connections in {:.1?}",
        rayon::current_num_threads(),
        used.lock().map_or(0, |used| used.len()),
        begin.elapsed()
    );
    assert_eq!((all, primes), (1998, 303));
    pool.close();
    Ok(())
}
