//! bb8-postgres: many tasks, few sessions. Everybody who asks the server for its process number gets
//! one of four.
//!
//! ```sh
//! cargo run --features postgres --bin bb8_postgres -- postgres://user:password@localhost/database
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use bb8_postgres::tokio_postgres::NoTls;
use watertight::{Bb8Manager, CheckPolicy, Pool};
use watertight_ecosystem::{Outcome, url};

#[tokio::main]
async fn main() -> Outcome {
    let url = url("postgres://user:password@localhost/database");
    let manager = PostgresConnectionManager::new_from_stringlike(url, NoTls)?;
    let pool = Pool::builder(Bb8Manager::new(manager))
        .max_size(4)
        .min_idle(1)
        .check_policy(CheckPolicy::Always)
        .acquire_timeout(Duration::from_secs(5))
        .build()?;
    pool.fill().await?; // says at once if the server cannot be reached

    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let session = pool.acquire().await.expect("the server is there");
                let row = session.query_one("select pg_backend_pid()", &[]).await;
                row.expect("it answers").get::<_, i32>(0)
            })
        })
        .collect();
    let mut sessions = BTreeSet::new();
    for task in tasks {
        sessions.insert(task.await?);
    }
    println!(
        "100 tasks were served by {} sessions: {sessions:?}",
        sessions.len()
    );
    assert!(sessions.len() <= 4);
    pool.close().await;
    Ok(())
}
