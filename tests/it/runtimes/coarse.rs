//! A clock that stands still while tasks are polled, and timers that ring when less than a millisecond is
//! left.

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::task::Poll;

use futures_lite::future::poll_once;

use watertight::PooledConnection;

use super::*;

#[derive(Clone)]
struct Coarse(Arc<Inner>);

struct Inner {
    origin: Instant,
    micros: AtomicU64,
    tasks: Mutex<Vec<BoxFuture<()>>>,
}

impl Coarse {
    /// Polls each task once at this time.
    fn turn(&self, micros: u64) {
        self.0.micros.store(micros, Ordering::SeqCst);
        let tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap());
        let left = tasks.into_iter().filter_map(|mut task| {
            let done = block_on(poll_once(task.as_mut())).is_some();
            (!done).then_some(task)
        });
        let left: Vec<_> = left.collect();
        self.0.tasks.lock().unwrap().extend(left);
    }
}

/// The end of the runtime: its tasks have it, and it has its tasks.
struct Ending(Coarse);

impl Drop for Ending {
    fn drop(&mut self) {
        loop {
            let tasks = std::mem::take(&mut *self.0.0.tasks.lock().unwrap());
            if tasks.is_empty() {
                return;
            }
        }
    }
}

impl Spawner for Coarse {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.tasks.lock().unwrap().push(task);
    }
}

impl Timer for Coarse {
    fn now(&self) -> Instant {
        self.0.origin + Duration::from_micros(self.0.micros.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        let clock = self.clone();
        // Each turn polls all tasks, so nobody need be woken.
        Box::pin(poll_fn(move |_| {
            let left = at.saturating_duration_since(clock.now());
            match left < Duration::from_millis(1) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }))
    }
}

type Unit = FromFn<fn() -> Ready<io::Result<()>>>;

/// The runtime, which ends when it is dropped.
fn runtime() -> Ending {
    Ending(Coarse(Arc::new(Inner {
        origin: Instant::now(),
        micros: AtomicU64::new(0),
        tasks: Mutex::default(),
    })))
}

/// A pool of one, and the one, which is lent.
fn one(runtime: &Coarse) -> (Pool<Unit>, PooledConnection<Unit>) {
    let connect: fn() -> Ready<io::Result<()>> = || ready(Ok(()));
    let pool = Pool::builder(FromFn::new(connect))
        .max_size(1)
        .idle_timeout(Duration::from_millis(10))
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let conn = {
        let mut acquire = Box::pin(pool.acquire());
        assert!(block_on(poll_once(acquire.as_mut())).is_none());
        runtime.turn(0);
        block_on(poll_once(acquire.as_mut())).expect("it is made")
    };
    (pool, conn.unwrap())
}

/// Guarantee 4.
#[test]
fn timer_that_rings_too_early_does_not_keep_a_caller_busy() {
    comes_to_its_end(|| {
        let ending = runtime();
        let runtime = &ending.0;
        let (pool, _held) = one(runtime);
        let mut caller = Box::pin(pool.acquire_timeout(Duration::from_millis(10)));
        for micros in [1, 9500, 9600] {
            runtime.turn(micros);
            assert!(block_on(poll_once(caller.as_mut())).is_none());
        }
        runtime.turn(10_001);
        let late = block_on(poll_once(caller.as_mut())).expect("it is time");
        assert!(late.unwrap_err().is_timed_out());
    });
}

/// Guarantee 10: nothing is insisted on.
#[test]
fn timer_that_rings_too_early_does_not_keep_the_keeper_busy() {
    comes_to_its_end(|| {
        let ending = runtime();
        let runtime = &ending.0;
        let (pool, conn) = one(runtime);
        drop(conn);
        for micros in [1, 9500, 9600] {
            runtime.turn(micros);
            assert_eq!(pool.status().idle, 1);
        }
        for _ in 0..3 {
            runtime.turn(10_000);
        }
        assert_eq!(pool.status().idle, 0);
    });
}
