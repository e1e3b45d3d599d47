//! bb8-redis: a hundred tasks count to a hundred over three connections.
//!
//! ```sh
//! cargo run --features redis --bin bb8_redis -- redis://localhost
//! ```

use bb8_redis::{RedisConnectionManager, redis};
use watertight::{Bb8Manager, CheckPolicy, Pool};
use watertight_ecosystem::{Outcome, url};

const KEY: &str = "watertight-bb8-redis";

#[tokio::main]
async fn main() -> Outcome {
    let manager = RedisConnectionManager::new(url("redis://localhost"))?;
    let pool = Pool::builder(Bb8Manager::new(manager))
        .max_size(3)
        .check_policy(CheckPolicy::Always)
        .build()?;

    let del = redis::cmd("DEL").arg(KEY).to_owned();
    del.query_async::<()>(&mut *pool.acquire().await?).await?;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut conn = pool.acquire().await.expect("the server is there");
                let incr = redis::cmd("INCR").arg(KEY).to_owned();
                incr.query_async::<i64>(&mut *conn).await
            })
        })
        .collect();
    let mut highest = 0;
    for task in tasks {
        highest = highest.max(task.await??);
    }
    del.query_async::<()>(&mut *pool.acquire().await?).await?;
    println!(
        "100 tasks counted to {highest} over {} connections",
        pool.status().size
    );
    assert_eq!(highest, 100);
    pool.close().await;
    Ok(())
}
