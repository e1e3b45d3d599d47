//! What the pool asks of the allocator: nothing on the hot path, little for one who waits, and
//! all of it back. One test, because the allocator counts for the whole process.
#![cfg(feature = "tokio")]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use watertight::{BuildError, Pool};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WAITERS: usize = 1024;
const MOST_BYTES_PER_WAITER: usize = 256;

#[tokio::test]
async fn the_hot_path_allocates_nothing_and_a_waiter_little() -> Result<(), BuildError> {
    let _profiler = dhat::Profiler::builder().testing().build();
    let pool = Pool::from_fn(|| async { Ok::<_, ()>(0_u64) })
        .max_size(1)
        .build()?;
    for _ in 0..100 {
        drop(pool.acquire().await);
    }

    // The keeper may wake and make its timer; that is not once a cycle.
    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..100_000 {
        drop(pool.acquire().await);
    }
    let blocks = dhat::HeapStats::get().total_blocks - before;
    assert!(blocks < 100, "{blocks} allocations in 100,000 cycles");

    let held = pool.acquire().await;
    let mut queue: Vec<Pin<Box<_>>> = (0..WAITERS).map(|_| Box::pin(pool.acquire())).collect();
    let before = dhat::HeapStats::get().curr_bytes;
    for waiter in &mut queue {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    let each = (dhat::HeapStats::get().curr_bytes - before) / WAITERS;
    println!("{each} bytes for each of {WAITERS} waiters, beyond its future");
    assert!(each <= MOST_BYTES_PER_WAITER, "{each} bytes for a waiter");

    drop(queue);
    drop(held);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let left = dhat::HeapStats::get().curr_bytes.saturating_sub(before);
    assert!(
        left < 2 * WAITERS * MOST_BYTES_PER_WAITER,
        "{left} bytes are left of the queue"
    );
    pool.close().await;
    Ok(())
}
