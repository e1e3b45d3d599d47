//! A pool that is over leaves nothing: thousands are built, used, and closed or just dropped, and
//! neither the heap nor the number of threads grows. One test, because the allocator counts for
//! the whole process.
//!
//! By default there are fewer pools; `WATERTIGHT_LONG` asks for ten thousand, which wants
//! `--release`. `--nocapture` prints the figures.
#![cfg(feature = "tokio")]

use std::error::Error;
use std::io;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use tokio::runtime::{Builder, Runtime};
use watertight::{
    Blocking, BlockingManager, Pool, PooledConnection, Spawner, SyncPool, TokioRuntime,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const BLOCKS: usize = 10;
/// A collection of the runtime's here or there may have grown; a leak of one byte in ten pools is
/// found.
const SLACK: usize = 1024;
/// A runtime keeps some for blocking calls, now more, now fewer.
const SPARE_THREADS: usize = 8;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn pools_in_a_block() -> usize {
    match std::env::var_os("WATERTIGHT_LONG").is_some_and(|value| value != "0") {
        true => 1000,
        false => 100,
    }
}

/// How a pool comes to its end.
#[derive(Clone, Copy)]
enum Ending {
    Closed,
    Dropped,
    /// Its last guard outlives its last handle.
    Outlived,
    /// Somebody waits when it is closed.
    WaitedFor,
    /// Its connects hang when it is dropped.
    Connecting,
}

const ENDINGS: [Ending; 5] = [
    Ending::Closed,
    Ending::Dropped,
    Ending::Outlived,
    Ending::WaitedFor,
    Ending::Connecting,
];

/// A connection with some memory of its own.
async fn connect() -> io::Result<Vec<u8>> {
    tokio::task::yield_now().await;
    Ok(vec![0; 256])
}

/// Builds a pool, uses it and ends it.
async fn one_pool(ending: Ending) -> Result {
    let hangs = matches!(ending, Ending::Connecting);
    let connect = move || async move {
        if hangs {
            std::future::pending::<()>().await;
        }
        connect().await
    };
    let pool = Pool::from_fn(connect).max_size(2).min_idle(1).build()?;
    if hangs {
        let short = Duration::from_millis(1);
        assert!(pool.acquire_timeout(short).await.is_err());
        // The hung connects are given up on after the close; they belong to nobody's pool then.
        drop(pool);
        return Ok(());
    }
    let (first, second) = (pool.acquire().await?, pool.acquire().await?);
    PooledConnection::discard(first);
    match ending {
        Ending::Closed => {
            drop(second);
            pool.close().await;
        }
        Ending::Outlived => {
            drop(pool);
            drop(second);
        }
        Ending::WaitedFor => {
            let third = pool.acquire().await?;
            let waiter = tokio::spawn({
                let pool = pool.clone();
                async move { pool.acquire().await.is_err() }
            });
            while pool.status().waiting == 0 {
                tokio::task::yield_now().await;
            }
            let closed = pool.close();
            drop((second, third));
            closed.await;
            assert!(waiter.await?, "it is told that the pool is closed");
        }
        Ending::Dropped | Ending::Connecting => {}
    }
    Ok(())
}

struct Blockingly;

impl BlockingManager for Blockingly {
    type Connection = Vec<u8>;
    type Error = io::Error;

    fn connect(&self) -> io::Result<Vec<u8>> {
        Ok(vec![0; 256])
    }
}

/// Has the background runtime make all its threads for blocking calls that the pools may come to use
/// at a time: what a thread needs is no growth of the pools'.
fn make_blocking_threads() {
    let runtime = TokioRuntime::background();
    let all = Arc::new(Barrier::new(SPARE_THREADS + 1));
    for _ in 0..SPARE_THREADS {
        let all = Arc::clone(&all);
        runtime.spawn_blocking(Box::new(move || {
            all.wait();
        }));
    }
    all.wait();
}

/// The same on a plain thread, over the shared background runtime.
fn one_sync_pool(ending: Ending) -> Result {
    let pool = SyncPool::builder(Blocking::new(Blockingly))
        .max_size(2)
        .runtime(TokioRuntime::background())
        .build()?;
    let guard = pool.acquire()?;
    match ending {
        Ending::Outlived => drop((pool, guard)),
        Ending::Dropped => drop((guard, pool)),
        _ => {
            drop(guard);
            pool.close();
        }
    }
    Ok(())
}

fn threads() -> usize {
    // Elsewhere only the heap is looked at.
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The heap and the threads, once what was dropped unattended has gone.
fn settled() -> (usize, usize) {
    let bytes = || dhat::HeapStats::get().curr_bytes;
    let (mut before, mut since) = ((bytes(), threads()), Instant::now());
    while since.elapsed() < Duration::from_millis(50) {
        thread::sleep(Duration::from_millis(5));
        let now = (bytes(), threads());
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
    before
}

/// Runs blocks of pools, and compares what is in use after the first and after the last.
fn leaves_nothing(what: &str, mut block: impl FnMut() -> Result) -> Result {
    let start = Instant::now();
    let mut counts = Vec::with_capacity(BLOCKS);
    for _ in 0..BLOCKS {
        block()?;
        counts.push(settled());
    }
    println!(
        "{what}: (bytes, threads) {counts:?}, {:.1?}",
        start.elapsed()
    );
    let ((first, threads), (last, threads_now)) = (counts[0], counts[BLOCKS - 1]);
    assert!(last <= first + SLACK, "{what}: the heap grows: {counts:?}");
    assert!(
        threads_now <= threads + SPARE_THREADS,
        "{what}: threads are left: {counts:?}"
    );
    Ok(())
}

fn endings(pools: usize) -> impl Iterator<Item = Ending> {
    ENDINGS.into_iter().cycle().take(pools)
}

#[test]
fn pools_that_are_over_leave_nothing() -> Result {
    let _profiler = dhat::Profiler::builder().testing().build();
    let pools = pools_in_a_block();

    let paused: Runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    leaves_nothing("on one runtime", || {
        paused.block_on(async {
            for ending in endings(pools) {
                one_pool(ending).await?;
            }
            // Long enough for every time-out of a connect.
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(())
        })
    })?;
    make_blocking_threads();
    leaves_nothing("through the sync facade", || {
        endings(pools).try_for_each(one_sync_pool)
    })?;
    leaves_nothing("with a runtime each, which ends first", || {
        for ending in endings(pools / 10) {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()?;
            let pool = runtime.block_on(async { Pool::from_fn(connect).max_size(2).build() })?;
            let guard = runtime.block_on(pool.acquire())?;
            runtime.block_on(one_pool(ending))?;
            drop(runtime);
            drop(guard);
            match ending {
                Ending::Closed => block_on(pool.close()),
                _ => drop(pool),
            }
        }
        Ok(())
    })
}
