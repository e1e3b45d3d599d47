//! Users that acquire and release, over and over.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::{poll_once, yield_now};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::warm;
use crate::measure::{Sample, Stopwatch, each, fairness};
use crate::subject::{Host, Setup, Subject};

/// One user.
pub async fn alone<S: Subject>(setup: Setup, times: u64) -> Sample {
    let pool = warm::<S>(setup).await;
    let start = Instant::now();
    let mut failures = 0;
    for _ in 0..times {
        match pool.acquire().await {
            Some(conn) => drop(black_box(conn)),
            None => failures += 1,
        }
    }
    Sample {
        cycle_ns: Some(each(start.elapsed(), times)),
        failures,
        ..Sample::default()
    }
}

/// Several users that hold each connection across a yield: once for the throughput, and once more
/// with a clock beside each of them.
pub async fn together<S: Subject>(setup: Setup, users: u64, times: u64) -> Sample {
    let pool = warm::<S>(setup).await;
    let begin = Arc::new(Barrier::new(users as usize));
    let ends = all(setup.host, users, |_| {
        let (pool, begin) = (pool.clone(), begin.clone());
        async move {
            begin.wait().await;
            let start = Instant::now();
            let mut failures = 0;
            for _ in 0..times {
                match pool.acquire().await {
                    Some(conn) => {
                        yield_now().await;
                        drop(black_box(conn));
                    }
                    None => failures += 1,
                }
            }
            (start, Instant::now(), failures)
        }
    })
    .await;
    let start = ends.iter().map(|(start, ..)| *start).min();
    let start = start.expect("there are users");
    let failures = ends.iter().map(|(.., failures)| failures).sum();
    let ends: Vec<Duration> = ends.iter().map(|(_, end, _)| *end - start).collect();
    let took = ends.iter().max().copied().unwrap_or_default();
    Sample {
        cycle_ns: Some(each(took, users * times)),
        fairness: fairness(&ends),
        waits: Some(waits(&pool, setup.host, users, times).await),
        failures,
        ..Sample::default()
    }
}

async fn waits<S: Subject>(pool: &S, host: Host, users: u64, times: u64) -> crate::measure::Waits {
    let watches = all(host, users, |_| {
        let pool = pool.clone();
        async move {
            let mut watch = Stopwatch::default();
            for _ in 0..times {
                let asked = Instant::now();
                let conn = pool.acquire().await;
                watch.record(asked);
                yield_now().await;
                drop(black_box(conn));
            }
            watch
        }
    })
    .await;
    let mut sum = Stopwatch::default();
    for watch in &watches {
        sum.add(watch);
    }
    sum.waits()
}

/// Every other user goes away again at once if it cannot be served at once. Only what is served
/// counts.
pub async fn storm<S: Subject>(setup: Setup, users: u64, times: u64) -> Sample {
    let pool = warm::<S>(setup).await;
    let start = Instant::now();
    let served = all(setup.host, users, |user| {
        let pool = pool.clone();
        async move {
            let mut served = 0;
            for _ in 0..times {
                let conn = if user % 2 == 0 {
                    pool.acquire().await
                } else {
                    poll_once(pool.acquire()).await.flatten()
                };
                served += u64::from(conn.is_some());
                yield_now().await;
                drop(black_box(conn));
            }
            served
        }
    })
    .await;
    Sample {
        cycle_ns: Some(each(start.elapsed(), served.iter().sum())),
        ..Sample::default()
    }
}

/// Runs all of them as tasks.
async fn all<T, F>(host: Host, users: u64, user: impl Fn(u64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    match host {
        Host::Tokio => {
            let mut tasks = JoinSet::new();
            for number in 0..users {
                tasks.spawn(user(number));
            }
            tasks.join_all().await
        }
        Host::Smol => {
            let tasks: Vec<_> = (0..users).map(|number| smol::spawn(user(number))).collect();
            let mut results = Vec::new();
            for task in tasks {
                results.push(task.await);
            }
            results
        }
    }
}
