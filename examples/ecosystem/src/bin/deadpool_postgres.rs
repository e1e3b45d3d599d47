//! deadpool-postgres: the server ends a session that is idle, and the next caller does not notice.
//! Its statement cache works as ever.
//!
//! ```sh
//! cargo run --features postgres --bin deadpool_postgres -- postgres://user:password@localhost/database
//! ```

use deadpool_postgres::tokio_postgres::NoTls;
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use watertight::{CheckPolicy, ConnectPolicy, DeadpoolManager, Pool};
use watertight_ecosystem::{Outcome, url};

#[tokio::main]
async fn main() -> Outcome {
    let config = url("postgres://user:password@localhost/database").parse()?;
    let method = ManagerConfig {
        recycling_method: RecyclingMethod::Verified,
    };
    let manager = Manager::from_config(config, NoTls, method);
    let pool = Pool::builder(DeadpoolManager::new(manager))
        .max_size(2)
        .check_policy(CheckPolicy::Always) // deadpool recycles before each loan
        .connect_policy(ConnectPolicy::FailFast) // and tells of a failed connect at once
        .build()?;

    let victim = pool.acquire().await?;
    let statement = victim.prepare_cached("select pg_backend_pid()").await?;
    let pid: i32 = victim.query_one(&statement, &[]).await?.get(0);
    assert_eq!(victim.statement_cache.size(), 1);
    let executioner = pool.acquire().await?;
    drop(victim);
    let kill = "select pg_terminate_backend($1)";
    executioner.execute(kill, &[&pid]).await?;

    let session = pool.acquire().await?;
    let statement = session.prepare_cached("select pg_backend_pid()").await?;
    let other: i32 = session.query_one(&statement, &[]).await?.get(0);
    println!("session {pid} was ended by the server, the next caller got {other}");
    assert_ne!(pid, other);
    assert_eq!(pool.statistics().closes.check_failed, 1);

    drop((session, executioner));
    pool.close().await;
    Ok(())
}
