//! Users that are threads.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::{tokio, warm};
use crate::measure::{Sample, Stopwatch, each, fairness};
use crate::subject::{Setup, Subject, SyncSubject};

fn warm_sync<S: SyncSubject>(size: usize) -> S {
    let pool = S::open(Setup::of(size));
    let lent: Vec<_> = (0..size).map(|_| pool.acquire()).collect();
    drop(lent);
    pool
}

pub fn alone<S: SyncSubject>(times: u64) -> Sample {
    let pool: S = warm_sync(1);
    let start = Instant::now();
    let mut failures = 0;
    for _ in 0..times {
        match pool.acquire() {
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

/// Several threads: once for the throughput, and once more with a clock beside each of them.
pub fn together<S: SyncSubject>(users: usize, size: usize, times: u64) -> Sample {
    let pool: S = warm_sync(size);
    let start = Instant::now();
    let ends = each_thread(users, || {
        let mut failures = 0;
        for _ in 0..times {
            match pool.acquire() {
                Some(conn) => drop(black_box(conn)),
                None => failures += 1,
            }
        }
        (start.elapsed(), failures)
    });
    let took = start.elapsed();
    let watches = each_thread(users, || {
        let mut watch = Stopwatch::default();
        for _ in 0..times {
            let asked = Instant::now();
            let conn = pool.acquire();
            watch.record(asked);
            drop(black_box(conn));
        }
        watch
    });
    let mut waits = Stopwatch::default();
    for watch in &watches {
        waits.add(watch);
    }
    let failures = ends.iter().map(|(_, failures)| failures).sum();
    let ends: Vec<Duration> = ends.into_iter().map(|(end, _)| end).collect();
    Sample {
        cycle_ns: Some(each(took, users as u64 * times)),
        fairness: fairness(&ends),
        waits: Some(waits.waits()),
        failures,
        ..Sample::default()
    }
}

/// Runs it on so many threads, which begin together.
fn each_thread<T: Send>(users: usize, user: impl Fn() -> T + Sync) -> Vec<T> {
    let begin = Barrier::new(users);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..users)
            .map(|_| {
                scope.spawn(|| {
                    begin.wait();
                    user()
                })
            })
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| end.expect("no panic")).collect()
    })
}

/// Tasks and threads share one pool; the threads block on the pool's future.
pub fn mixed<S: Subject>(tasks: u64, threads: usize, size: usize, times: u64) -> Sample {
    let runtime = tokio(true);
    let pool: S = runtime.block_on(warm(Setup::of(size)));
    let start = Instant::now();
    let by_tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let pool = pool.clone();
            runtime.spawn(async move {
                for _ in 0..times {
                    let conn = pool.acquire().await;
                    ::tokio::task::yield_now().await;
                    drop(black_box(conn));
                }
                start.elapsed()
            })
        })
        .collect();
    let mut ends = each_thread(threads, || {
        for _ in 0..times {
            drop(black_box(runtime.block_on(pool.acquire())));
        }
        start.elapsed()
    });
    for task in by_tasks {
        ends.push(runtime.block_on(task).expect("no panic"));
    }
    Sample {
        cycle_ns: Some(each(start.elapsed(), (tasks + threads as u64) * times)),
        fairness: fairness(&ends),
        ..Sample::default()
    }
}
