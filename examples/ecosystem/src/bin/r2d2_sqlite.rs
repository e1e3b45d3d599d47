//! r2d2_sqlite: threads that write to one file through two connections. Nothing but threads, and
//! nobody gets a connection that has a transaction open.
//!
//! ```sh
//! cargo run --features sqlite --bin r2d2_sqlite
//! ```

use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use watertight::{Blocking, CheckPolicy, R2d2Manager, SyncPool};
use watertight_ecosystem::Outcome;

fn main() -> Outcome {
    let path = std::env::temp_dir().join(format!("watertight-{}.db", std::process::id()));
    let manager = SqliteConnectionManager::file(&path)
        .with_init(|connection| connection.busy_timeout(Duration::from_secs(5)));
    let pool = SyncPool::builder(Blocking::new(R2d2Manager::new(manager)))
        .max_size(2)
        .check_policy(CheckPolicy::Always)
        .build()?;
    pool.acquire()?
        .execute_batch("create table visits (thread integer)")?;

    std::thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for _ in 0..5 {
                    let mut connection = pool.acquire().expect("there is a file");
                    let transaction = connection.transaction().expect("none is open");
                    let insert = "insert into visits values (?1)";
                    transaction
                        .execute(insert, [thread])
                        .expect("it is written");
                    transaction.commit().expect("it is kept");
                }
            });
        }
    });

    let count = "select count(*) from visits";
    let visits: i64 = pool.acquire()?.query_row(count, [], |row| row.get(0))?;
    println!(
        "{visits} visits through {} connections",
        pool.statistics().connects
    );
    assert_eq!(visits, 40);
    assert!(pool.statistics().connects <= 2);
    pool.close();
    std::fs::remove_file(path)?;
    Ok(())
}
