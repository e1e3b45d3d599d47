//! deadpool-redis: what one holder watches is no longer watched when the next one gets the connection,
//! for the manager's `recycle` says UNWATCH before each loan.
//!
//! ```sh
//! cargo run --features redis --bin deadpool_redis -- redis://localhost
//! ```

use deadpool_redis::{Manager, redis};
use watertight::{CheckPolicy, DeadpoolManager, Pool};
use watertight_ecosystem::{Outcome, url};

const KEY: &str = "watertight-deadpool-redis";

#[tokio::main]
async fn main() -> Outcome {
    let manager = Manager::new(url("redis://localhost"))?;
    let pool = Pool::builder(DeadpoolManager::new(manager))
        .max_size(2)
        .check_policy(CheckPolicy::Always) // it cleans in `recycle`, so this must not be less
        .build()?;

    let mut watcher = pool.acquire().await?;
    let watch = redis::cmd("WATCH").arg(KEY).to_owned();
    watch.query_async::<()>(&mut *watcher).await?;
    let mut writer = pool.acquire().await?;
    let set = redis::cmd("SET").arg(KEY).arg("changed").to_owned();
    set.query_async::<()>(&mut *writer).await?;
    drop(watcher);

    // The same connection: the other one is still lent. Were the key watched, this would be refused.
    let mut next = pool.acquire().await?;
    let mut transaction = redis::pipe();
    transaction.atomic().get(KEY).del(KEY);
    let answer: Option<(String, i64)> = transaction.query_async(&mut *next).await?;
    println!("the next holder's transaction: {answer:?}");
    assert_eq!(answer, Some(("changed".to_owned(), 1)));
    assert_eq!(pool.statistics().connects, 2);

    drop((next, writer));
    pool.close().await;
    Ok(())
}
