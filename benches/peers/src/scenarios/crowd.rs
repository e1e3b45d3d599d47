//! Very many users who wait.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::warm;
use crate::measure::{Sample, each, fairness, millis};
use crate::subject::{Setup, Subject};

const SIZE: usize = 8;

/// All wait before the first connection comes back, and come back for another as often as they must
/// for the whole crowd to be served about so many times.
pub async fn crowd<S: Subject>(users: u64, hand_offs: u64) -> Sample {
    let times = (hand_offs / users).max(2);
    let pool: S = warm(Setup::of(SIZE)).await;
    let mut lent = Vec::new();
    for _ in 0..SIZE {
        lent.push(pool.acquire().await);
    }
    let arrived = Arc::new(AtomicU64::new(0));
    let all_there = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    for _ in 0..users {
        let (pool, arrived, all_there) = (pool.clone(), arrived.clone(), all_there.clone());
        tasks.spawn(async move {
            if arrived.fetch_add(1, Ordering::Relaxed) + 1 == users {
                all_there.notify_one();
            }
            let mut failures = 0;
            let mut first = None;
            for _ in 0..times {
                let conn = pool.acquire().await;
                failures += u64::from(conn.is_none());
                first.get_or_insert_with(Instant::now);
                drop(black_box(conn));
            }
            (first, Instant::now(), failures)
        });
    }
    all_there.notified().await;
    // Until the last of them waits as well.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let start = Instant::now();
    drop(lent);
    let ends = tasks.join_all().await;
    let took = start.elapsed();
    let failures = ends.iter().map(|(.., failures)| failures).sum();
    let ends: Vec<_> = ends.iter().map(|(_, end, _)| *end - start).collect();
    Sample {
        cycle_ns: Some(each(took, users * times)),
        fairness: fairness(&ends),
        total_ms: Some(millis(took)),
        failures,
        ..Sample::default()
    }
}
