//! A fixed number of acquire + drop cycles of an idle connection, for an instruction counter.
//!
//! The difference between two run lengths is the cost of the cycles alone:
//! `benches/instructions.sh` runs this under valgrind's callgrind and does the subtraction.

use std::hint::black_box;

use watertight::{Pool, SyncPool};

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"));
    let face = args.next().unwrap_or_else(|| "tokio".into());
    let cycles: u64 = args
        .next()
        .map_or(1000, |arg| arg.parse().expect("a number of cycles"));
    match face.as_str() {
        "tokio" => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(on_tasks(cycles)),
        "current" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(on_tasks(cycles)),
        "sync" => on_threads(cycles),
        "waiting" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(by_turns(cycles)),
        other => panic!("no such face of the pool: {other}"),
    }
}

async fn on_tasks(cycles: u64) {
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(0_u64) })
        .build()
        .expect("a pool");
    for _ in 0..cycles {
        let conn = pool.acquire().await.expect("a connection");
        black_box(&*conn);
    }
    pool.close().await;
}

/// 16 tasks share one connection and hold it across a yield, so that every acquire must wait.
async fn by_turns(cycles: u64) {
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(0_u64) })
        .max_size(1)
        .build()
        .expect("a pool");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let pool = pool.clone();
        tasks.spawn(async move {
            for _ in 0..cycles / 16 {
                let conn = pool.acquire().await.expect("a connection");
                tokio::task::yield_now().await;
                black_box(&*conn);
            }
        });
    }
    tasks.join_all().await;
    pool.close().await;
}

fn on_threads(cycles: u64) {
    let pool = SyncPool::from_fn(|| async { Ok::<_, std::io::Error>(0_u64) })
        .build()
        .expect("a pool");
    for _ in 0..cycles {
        let conn = pool.acquire().expect("a connection");
        black_box(&*conn);
    }
    pool.close();
}
