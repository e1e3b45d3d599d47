//! An executor whose wakers poll their task then and there, on the thread of whoever wakes.

use std::future::poll_fn;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, TryLockError};
use std::task::{Context, Poll, Wake};
use std::thread;

use watertight::{Blocking, BlockingManager, Metrics, PooledConnection};

use super::*;

#[derive(Clone, Copy)]
struct Inline;

struct Task {
    future: Mutex<Option<BoxFuture<()>>>,
    woken: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        while self.woken.load(Ordering::SeqCst) {
            let mut future = match self.future.try_lock() {
                // Whoever polls it now looks again.
                Err(TryLockError::WouldBlock) => return,
                future => future.expect("no task panics"),
            };
            self.woken.store(false, Ordering::SeqCst);
            let waker = Arc::clone(&self).into();
            let mut cx = Context::from_waker(&waker);
            if let Some(Poll::Ready(())) = future.as_mut().map(|task| task.as_mut().poll(&mut cx)) {
                *future = None;
            }
        }
    }
}

impl Spawner for Inline {
    fn spawn(&self, task: BoxFuture<()>) {
        let task = Task {
            future: Mutex::new(Some(task)),
            woken: AtomicBool::new(false),
        };
        Arc::new(task).wake();
    }
}

impl Timer for Inline {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Box::pin(poll_fn(move |cx| {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            thread::spawn(move || {
                thread::sleep(left.min(Duration::from_millis(20)));
                waker.wake();
            });
            Poll::Pending
        }))
    }
}

/// Makes numbers, which take a turn of the executor's to recycle.
struct Numbers;

impl watertight::Manager for Numbers {
    type Connection = u8;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<u8> {
        futures_lite::future::yield_now().await;
        Ok(7)
    }

    fn inspect(&self, _: &mut u8) -> watertight::Condition {
        watertight::Condition::Dirty
    }

    async fn recycle(&self, _: &mut u8) -> io::Result<()> {
        futures_lite::future::yield_now().await;
        Ok(())
    }
}

#[test]
fn what_comes_back_is_recycled_by_an_executor_that_polls_in_its_wakers() {
    for room in [None, Some(1), Some(8)] {
        comes_to_its_end(move || {
            let pool = Pool::builder(Numbers)
                .runtime(Inline)
                .max_size(2)
                .return_queue(room)
                .build()
                .unwrap();
            for _ in 0..20 {
                let held = [0, 1].map(|_| block_on(pool.acquire()).unwrap());
                let [one, two] = held;
                drop(one);
                block_on(PooledConnection::release(two));
                assert_eq!(pool.status().in_use, 0);
            }
            let statistics = pool.statistics();
            if room != Some(1) {
                assert_eq!((statistics.connects, statistics.closes.total()), (2, 0));
            }
            block_on(pool.close());
        });
    }
}

struct Plain;

impl BlockingManager for Plain {
    type Connection = u8;
    type Error = io::Error;

    fn connect(&self) -> io::Result<u8> {
        Ok(7)
    }

    fn check(&self, _: &mut u8, _: &Metrics) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn blocking_calls_come_home_to_an_executor_that_polls_in_its_wakers() {
    comes_to_its_end(|| {
        let pool = SyncPool::builder(Blocking::new(Plain))
            .runtime(Inline)
            .max_size(2)
            .check_policy(watertight::CheckPolicy::Always)
            .build()
            .unwrap();
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    for _ in 0..50 {
                        drop(pool.acquire().unwrap());
                    }
                });
            }
        });
        pool.close();
    });
}

/// As that, and its callers are at home wherever they are.
struct AtHome;

impl Spawner for AtHome {
    fn spawn(&self, task: BoxFuture<()>) {
        Inline.spawn(task);
    }

    fn is_current(&self) -> bool {
        true
    }
}

impl Timer for AtHome {
    fn now(&self) -> Instant {
        Inline.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Inline.sleep_until(at)
    }
}

/// None is fit, and those that are closed are counted.
struct Unfit(Arc<AtomicUsize>);

impl watertight::Manager for Unfit {
    type Connection = u8;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<u8> {
        Ok(7)
    }

    async fn check(&self, _: &mut u8, _: &Metrics) -> io::Result<()> {
        Err(io::Error::other("unfit"))
    }

    async fn close(&self, _: u8) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn checks_that_fail_inside_of_each_other_are_each_followed_by_a_close() {
    comes_to_its_end(|| {
        let closes = Arc::<AtomicUsize>::default();
        let pool = Pool::builder(Unfit(Arc::clone(&closes)))
            .runtime(AtHome)
            .max_size(2)
            .check_policy(watertight::CheckPolicy::Always)
            .build()
            .unwrap();
        drop([0, 1].map(|_| block_on(pool.acquire()).unwrap()));
        assert_eq!(pool.status().idle, 2);
        let conn = block_on(pool.acquire()).unwrap();
        assert_eq!(closes.load(Ordering::SeqCst), 2);
        drop(conn);
        block_on(pool.close());
    });
}
