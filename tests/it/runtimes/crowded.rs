//! If all threads that a runtime has for blocking work are taken: by those who wait for the pool, say.

use std::sync::Mutex;
use std::thread;

use watertight::{Blocking, BlockingManager, CheckPolicy};

use super::*;

/// What has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// On which threads it was asked to connect, and to close.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<[Vec<String>; 2]>>);

impl Asked {
    fn note(&self, what: usize) {
        let thread = thread::current().name().unwrap_or_default().to_owned() + context();
        self.0.lock().unwrap()[what].push(thread);
    }

    fn all(&self) -> [Vec<String>; 2] {
        self.0.lock().unwrap().clone()
    }
}

/// What else there is to be said of this thread.
#[cfg(feature = "tokio")]
fn context() -> &'static str {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => ", in tokio",
        Err(_) => "",
    }
}

#[cfg(not(feature = "tokio"))]
fn context() -> &'static str {
    ""
}

impl BlockingManager for Asked {
    type Connection = u8;
    type Error = io::Error;

    fn connect(&self) -> io::Result<u8> {
        self.note(0);
        thread::sleep(Duration::from_millis(200));
        Ok(7)
    }

    fn close(&self, _: u8) {
        self.note(1);
    }
}

fn blocking() -> (Asked, Builder<Blocking<Asked>>) {
    let asked = Asked::default();
    let pool = Pool::builder(Blocking::new(asked.clone()))
        .max_size(1)
        .check_policy(CheckPolicy::Always);
    (asked, pool)
}

/// From a thread that connects, checks and closes need as well.
fn borrow_and_close(pool: SyncPool<Blocking<Asked>>) {
    for _ in 0..3 {
        let conn = pool.acquire_timeout(PATIENCE);
        assert_eq!(**conn.unwrap(), 7);
    }
    assert_eq!(pool.statistics().connects, 1, "it is still fit");
    assert_eq!(pool.close_within(PATIENCE), 0);
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::sync::mpsc::channel;

    use tokio::runtime;
    use watertight::PooledConnection;

    use super::*;

    #[test]
    fn pool_may_be_waited_for_on_the_last_thread_for_blocking_work() {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (asked, pool) = blocking();
        runtime.block_on(async {
            let pool = pool.build().unwrap().sync();
            let borrows = tokio::task::spawn_blocking(|| borrow_and_close(pool));
            borrows.await.unwrap();
        });
        let ours = || vec!["watertight-blocking, in tokio".to_owned()];
        assert_eq!(asked.all(), [ours(), ours()]);
    }

    #[test]
    fn call_that_has_a_thread_of_the_runtimes_begins_on_no_other() {
        let runtime = runtime::Builder::new_current_thread()
            .thread_name("theirs")
            .enable_all()
            .build()
            .unwrap();
        let (asked, pool) = blocking();
        runtime.block_on(async {
            // The thread is there already.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            let pool = pool.build().unwrap();
            drop(pool.acquire().await.unwrap());
            pool.close().await;
            let left = runtime.metrics().num_alive_tasks();
            assert_eq!(left, 0, "a pool that is closed leaves no task behind");
            // For as long as it would take to begin again.
            tokio::time::sleep(Duration::from_millis(300)).await;
        });
        let theirs = || vec!["theirs, in tokio".to_owned()];
        assert_eq!(asked.all(), [theirs(), theirs()]);
    }

    /// In a time that stands still, so it is the end that does it.
    #[test]
    fn call_that_waits_for_a_thread_when_the_runtime_ends_is_made_at_once() {
        let runtime = runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .start_paused(true)
            .enable_all()
            .build()
            .unwrap();
        let (asked, pool) = blocking();
        let (end, ends) = channel::<()>();
        let pool = runtime.block_on(async {
            let pool = pool.build().unwrap();
            let conn = pool.acquire().await.unwrap();
            drop(tokio::task::spawn_blocking(move || ends.recv()));
            PooledConnection::discard(conn);
            while pool.status().closing == 0 {
                tokio::task::yield_now().await;
            }
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            pool
        });
        assert_eq!(asked.all()[1].len(), 0, "it waits for a thread");
        runtime.shutdown_background();
        let begun = Instant::now();
        while asked.all()[1].is_empty() {
            assert!(begun.elapsed() < PATIENCE, "it is not closed");
            thread::sleep(Duration::from_millis(1));
        }
        drop((pool, end));
    }
}

/// In a process of its own, where smol has one such thread.
#[cfg(feature = "smol")]
#[test]
fn pool_may_be_waited_for_on_the_last_thread_of_smol_for_blocking_work() {
    let test = "crowded::pool_may_be_waited_for_on_the_last_thread_of_smol_for_blocking_work";
    if !is_alone(test, &[("BLOCKING_MAX_THREADS", "1")]) {
        return;
    }
    let (asked, pool) = blocking();
    let pool = pool.runtime(watertight::SmolRuntime::new()).build();
    let pool = pool.unwrap().sync();
    block_on(smol::unblock(|| borrow_and_close(pool)));
    assert_eq!(asked.all().map(|threads| threads.len()), [1, 1]);
}
