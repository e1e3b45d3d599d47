//! deadpool-lapin: one connection to a message broker, for as many channels as there are tasks.
//!
//! ```sh
//! cargo run --features lapin --bin deadpool_lapin -- amqp://localhost
//! ```

use deadpool_lapin::Manager;
use deadpool_lapin::lapin::ConnectionProperties;
use watertight::{CheckPolicy, DeadpoolManager, Pool};
use watertight_ecosystem::{Outcome, url};

#[tokio::main]
async fn main() -> Outcome {
    let runtime = async_rs::Runtime::tokio_current();
    let manager = Manager::new(
        url("amqp://localhost"),
        ConnectionProperties::default,
        runtime,
    );
    let pool = Pool::builder(DeadpoolManager::new(manager))
        .max_size(1)
        .check_policy(CheckPolicy::Always)
        .build()?;
    for _ in 0..10 {
        let connection = pool.acquire().await?;
        let channel = connection.create_channel().await?;
        assert!(channel.status().connected());
    }
    println!("ten channels, {} connection", pool.statistics().connects);
    assert_eq!(pool.statistics().connects, 1);
    pool.close().await;
    Ok(())
}
