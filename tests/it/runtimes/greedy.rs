//! Work that does too much in each turn, so that tokio's timers are never heard in the same task.

use std::future::Future;

use tokio::time::timeout;
use watertight::{AcquireError, ConnectError, ConnectPolicy};

use super::*;

/// Uses up what tokio lets a task do at a time, in each of its turns.
async fn gorge<T>() -> T {
    loop {
        tokio::task::consume_budget().await;
    }
}

/// What this comes to beside work that is greedy.
async fn beside_gorging<T>(work: impl Future<Output = T>) -> T {
    let both = async {
        tokio::select! {
            biased;
            never = gorge() => never,
            done = work => done,
        }
    };
    let both = timeout(Duration::from_secs(20), both).await;
    both.expect("it hears of its deadline")
}

#[tokio::test]
async fn greedy_connects_are_timed_out_all_the_same() {
    let pool = Pool::from_fn(gorge::<io::Result<u8>>)
        .connect_timeout(Duration::from_millis(50))
        .connect_policy(ConnectPolicy::FailFast)
        .acquire_timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let error = pool.acquire().await.unwrap_err();
    let timed_out = matches!(error, AcquireError::Connect(ConnectError::TimedOut));
    assert!(timed_out, "{error:?}");
}

#[tokio::test]
async fn deadlines_hold_beside_greedy_work() {
    let pool = Pool::from_fn(async || Ok::<_, io::Error>(7))
        .max_size(1)
        .build()
        .unwrap();
    let _held = pool.acquire().await.unwrap();
    let patience = Duration::from_millis(50);
    let acquired = beside_gorging(pool.acquire_timeout(patience)).await;
    assert!(acquired.unwrap_err().is_timed_out());
    let _ = beside_gorging(pool.close_within(patience)).await;
    assert!(pool.is_closed());
}

/// Connects at once, and is greedy in its checks.
struct Gorging;

impl watertight::Manager for Gorging {
    type Connection = u8;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<u8> {
        Ok(7)
    }

    async fn check(&self, _: &mut u8, _: &watertight::Metrics) -> io::Result<()> {
        gorge().await
    }
}

#[tokio::test]
async fn greedy_checks_are_timed_out_all_the_same() {
    let pool = Pool::builder(Gorging)
        .check_policy(watertight::CheckPolicy::Always)
        .check_timeout(Duration::from_millis(50))
        .acquire_timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    drop(pool.acquire().await.unwrap());
    drop(pool.acquire().await.unwrap());
    let statistics = pool.statistics();
    assert_eq!(
        (statistics.closes.check_failed, statistics.connects),
        (1, 2)
    );
}
