//! Schedules that need a real runtime.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use futures_lite::future::block_on;
use tokio::runtime::{Builder, Runtime};
use watertight::{
    Backoff, Blocking, BlockingManager, ConnectPolicy, Pool, PooledConnection, SyncPool,
};

use super::*;

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn trivial() -> std::io::Result<u8> {
    Ok(0)
}

#[test]
fn tokio_runtime_that_shuts_down_with_refills_under_way_ends_in_no_recursion() {
    for _ in 0..3 {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let down = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&down);
        let pool = runtime.block_on(async {
            let connect = move || {
                let down = flag.load(Ordering::SeqCst);
                async move {
                    match down {
                        true => trivial().await,
                        false => std::future::pending().await,
                    }
                }
            };
            Pool::from_fn(connect).max_size(10).min_idle(4).build()
        });
        let pool = pool.unwrap();
        let handle = pool.clone();
        let waiter = thread::spawn(move || block_on(handle.acquire()).map(drop));
        while pool.status().waiting == 0 {
            thread::yield_now();
        }
        down.store(true, Ordering::SeqCst);
        drop(runtime);
        waiter.join().unwrap().unwrap();
    }
}

/// The pool's runtime is there, but nobody runs it.
#[test]
fn deadline_holds_although_the_pools_runtime_stands_still() {
    let still = current_thread();
    let pool = still.block_on(async { Pool::from_fn(trivial).max_size(1).build().unwrap() });
    let elsewhere = current_thread();
    let limit = Duration::from_millis(50);
    let error = elsewhere.block_on(pool.acquire_timeout(limit)).unwrap_err();
    assert!(error.is_timed_out());
    let error = block_on(pool.acquire_timeout(limit)).unwrap_err();
    assert!(error.is_timed_out());
}

/// A paused clock stands still for ever once its runtime is gone. The pool's goes on.
#[test]
fn deadline_holds_although_the_clock_was_paused_when_its_runtime_ended() {
    let paused = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let (pool, _held) = paused.block_on(async {
        let pool = Pool::from_fn(trivial).max_size(1).build().unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let held = pool.acquire().await.unwrap();
        (pool, held)
    });
    drop(paused);
    let start = Instant::now();
    let limit = Duration::from_millis(100);
    let error = current_thread()
        .block_on(pool.acquire_timeout(limit))
        .unwrap_err();
    assert!(error.is_timed_out());
    assert!(start.elapsed() >= limit && start.elapsed() < 20 * SECOND);
}

#[test]
fn grace_period_holds_on_the_only_thread() {
    let runtime = current_thread();
    runtime.block_on(async {
        let pool = Pool::from_fn(trivial).max_size(1).build().unwrap();
        let held = pool.acquire().await.unwrap();
        let left = pool.sync().close_within(Duration::from_millis(50));
        assert_eq!(left, 1);
        drop(held);
    });
}

#[test]
fn closed_pool_leaves_no_task_behind_while_a_handle_lives() {
    let runtime = current_thread();
    runtime.block_on(async {
        let pool = Pool::from_fn(trivial).max_size(2).build().unwrap();
        let held = pool.acquire().await.unwrap();
        drop(pool.acquire().await.unwrap());
        PooledConnection::discard(held);
        pool.close().await;
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        for _ in 0..1000 {
            if tasks() == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(tasks(), 0);
        drop(pool);
    });
}

/// Slow to connect, and keeps count.
#[derive(Default)]
struct Slow {
    made: AtomicUsize,
    closed: Arc<AtomicUsize>,
    connecting: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl BlockingManager for Slow {
    type Connection = ();
    type Error = std::io::Error;

    fn connect(&self) -> std::io::Result<()> {
        let connecting = self.connecting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(connecting, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(150));
        self.connecting.fetch_sub(1, Ordering::SeqCst);
        self.made.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn close(&self, (): ()) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Blocking connects that outlive their time-out go on; the next attempt takes the outcome of
/// whichever is quickest, no more than four are left to themselves, and what nobody wants is
/// closed.
#[test]
fn blocking_connects_that_time_out_do_not_pile_up() {
    let slow = Slow::default();
    let (closed, most) = (Arc::clone(&slow.closed), Arc::clone(&slow.most));
    let ms = Duration::from_millis;
    let pool = SyncPool::builder(Blocking::new(slow))
        .max_size(1)
        .connect_timeout(ms(40))
        .connect_policy(ConnectPolicy::Retry(Backoff::new(ms(10), ms(20))))
        .build()
        .unwrap();
    // Longer than any attempt may take, and yet it gets there.
    drop(pool.acquire().unwrap());
    pool.close();
    let manager = pool.as_async().manager().get_ref();
    while closed.load(Ordering::SeqCst) < manager.made.load(Ordering::SeqCst)
        || manager.connecting.load(Ordering::SeqCst) > 0
    {
        thread::yield_now();
    }
    assert!(most.load(Ordering::SeqCst) <= 5);
}
