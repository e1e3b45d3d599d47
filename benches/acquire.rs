//! What it costs to acquire and give back: alone, in a crowd, from tasks and from threads.
//!
//! `cargo bench --bench acquire`. Times on a busy machine prove little: compare ratios within one
//! run. `benches/instructions.sh` counts instructions instead.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use divan::Bencher;
use divan::counter::ItemsCount;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use watertight::{FromFn, Manager, Pool, SyncPool};

fn main() {
    divan::main();
}

fn multi_thread() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn current_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A pool of trivial connections, all of them open.
fn pool(runtime: &Runtime, size: usize) -> Pool<impl Manager<Connection = u64, Error = ()>> {
    runtime.block_on(async {
        let pool = Pool::from_fn(|| async { Ok::<_, ()>(0_u64) })
            .max_size(size)
            .min_idle(size)
            .build()
            .expect("a pool");
        pool.fill().await.expect("trivial connections");
        pool
    })
}

/// One task, one idle connection: the hot path.
#[divan::bench]
fn uncontended(bencher: Bencher<'_, '_>) {
    let runtime = multi_thread();
    let pool = pool(&runtime, 1);
    bencher.bench_local(|| {
        runtime.block_on(async {
            for _ in 0..1000 {
                black_box(&*pool.acquire().await.expect("a connection"));
            }
        });
    });
}

/// The least that any pool can do: a pop and a push under a mutex.
#[divan::bench]
fn limit_mutex_pop_and_push(bencher: Bencher<'_, '_>) {
    let idle = std::sync::Mutex::new(vec![Box::new(0_u64)]);
    bencher.bench_local(|| {
        for _ in 0..1000 {
            let conn = idle.lock().expect("no poison").pop();
            black_box(&conn);
            idle.lock().expect("no poison").extend(conn);
        }
    });
}

async fn cycles<M: Manager>(pool: &Pool<M>, tasks: usize, each: usize) {
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        let pool = pool.clone();
        set.spawn(async move {
            for _ in 0..each {
                let conn = pool.acquire().await.ok().expect("a connection");
                tokio::task::yield_now().await;
                drop(conn);
            }
        });
    }
    set.join_all().await;
}

/// 64 tasks share 8 connections and yield while they hold one.
#[divan::bench(sample_count = 20)]
fn contended_64_on_8(bencher: Bencher<'_, '_>) {
    let runtime = multi_thread();
    let pool = pool(&runtime, 8);
    bencher
        .counter(ItemsCount::new(64_usize * 100))
        .bench_local(|| runtime.block_on(cycles(&pool, 64, 100)));
}

/// The same on one thread.
#[divan::bench(sample_count = 20)]
fn contended_64_on_8_current_thread(bencher: Bencher<'_, '_>) {
    let runtime = current_thread();
    let pool = pool(&runtime, 8);
    bencher
        .counter(ItemsCount::new(64_usize * 100))
        .bench_local(|| runtime.block_on(cycles(&pool, 64, 100)));
}

/// A crowd waits for 8 connections, each for its turn: the time from the first return until
/// everybody has been served. The cost of one hand-off is that divided by the crowd.
#[divan::bench(args = [100, 1_000, 10_000, 100_000], sample_count = 10, sample_size = 1)]
fn crowd(bencher: Bencher<'_, '_>, waiters: usize) {
    let runtime = current_thread();
    let pool = pool(&runtime, 8);
    bencher
        .counter(ItemsCount::new(waiters))
        .with_inputs(|| {
            runtime.block_on(async {
                let mut held = Vec::new();
                for _ in 0..8 {
                    held.push(pool.acquire().await.expect("a connection"));
                }
                let served = Arc::new(AtomicUsize::new(0));
                let mut crowd = JoinSet::new();
                for _ in 0..waiters {
                    let (pool, served) = (pool.clone(), Arc::clone(&served));
                    crowd.spawn(async move {
                        drop(pool.acquire().await.expect("a connection"));
                        served.fetch_add(1, Ordering::Relaxed);
                    });
                }
                while pool.status().waiting < waiters {
                    tokio::task::yield_now().await;
                }
                (held, crowd, served)
            })
        })
        .bench_local_values(|(held, crowd, served)| {
            runtime.block_on(async {
                drop(held);
                while served.load(Ordering::Relaxed) < waiters {
                    tokio::task::yield_now().await;
                }
            });
            // Dropped by divan, outside the measurement.
            crowd
        });
}

fn sync_pool(
    size: usize,
) -> SyncPool<FromFn<impl Fn() -> std::future::Ready<Result<u64, ()>> + Send + Sync + 'static>> {
    let pool = SyncPool::from_fn(|| std::future::ready(Ok::<u64, ()>(0)))
        .max_size(size)
        .min_idle(size)
        .build()
        .expect("a pool");
    pool.fill().expect("trivial connections");
    pool
}

/// One plain thread, one idle connection.
#[divan::bench]
fn sync_uncontended(bencher: Bencher<'_, '_>) {
    let pool = sync_pool(1);
    bencher.bench_local(|| {
        for _ in 0..1000 {
            black_box(&*pool.acquire().expect("a connection"));
        }
    });
}

/// 8 plain threads share 4 connections.
#[divan::bench(sample_count = 20)]
fn sync_8_threads_on_4(bencher: Bencher<'_, '_>) {
    let pool = sync_pool(4);
    bencher
        .counter(ItemsCount::new(8_usize * 1000))
        .bench_local(|| {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            black_box(&*pool.acquire().expect("a connection"));
                        }
                    });
                }
            });
        });
}
