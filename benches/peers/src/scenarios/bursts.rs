//! Pools that must connect.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::measure::{Sample, Stopwatch, millis};
use crate::subject::{Setup, Subject};

/// 200 users come at once to a pool that has no connection yet.
pub async fn cold<S: Subject>() -> Sample {
    let setup = Setup {
        connect: Duration::from_millis(50),
        ..Setup::of(10)
    };
    let pool = S::open(setup).await;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let mut watch = Stopwatch::default();
            let conn = pool.acquire().await;
            watch.record(start);
            sleep(Duration::from_millis(2)).await;
            (u64::from(conn.is_none()), watch)
        });
    }
    let mut failures = 0;
    let mut waits = Stopwatch::default();
    for (failed, watch) in tasks.join_all().await {
        failures += failed;
        waits.add(&watch);
    }
    Sample {
        total_ms: Some(millis(start.elapsed())),
        waits: Some(waits.waits()),
        failures,
        ..Sample::default()
    }
}

/// A user comes while the only connection is held for another 20 ms; a second one takes 500 ms.
pub async fn slow_connect<S: Subject>() -> Sample {
    let setup = Setup {
        connect: Duration::from_millis(500),
        quick_connects: 1,
        ..Setup::of(2)
    };
    let pool = S::open(setup).await;
    let circulating = pool.acquire().await;
    let start = Instant::now();
    let waiter = tokio::spawn(async move {
        let mut watch = Stopwatch::default();
        let conn = pool.acquire().await;
        watch.record(start);
        (u64::from(conn.is_none()), watch, pool)
    });
    sleep(Duration::from_millis(20)).await;
    drop(circulating);
    let (failures, watch, _pool) = waiter.await.expect("it does not panic");
    Sample {
        waits: Some(watch.waits()),
        failures,
        ..Sample::default()
    }
}
