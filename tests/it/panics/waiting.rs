//! What a caller has while he waits: a waker and a timer, whose destructors panic.

use std::future::{Future, Ready, pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use watertight::{BoxFuture, FromFn, Pool, PooledConnection, Spawner, Timer, VirtualRuntime};

/// Panics as it goes.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        resume_unwind(Box::new("fragile"));
    }
}

impl Wake for Fragile {
    fn wake(self: Arc<Self>) {}
}

/// The virtual clock, but the next timer that is made while it is brittle never rings, and is fragile.
#[derive(Clone)]
struct Brittle {
    clock: VirtualRuntime,
    is_brittle: Arc<AtomicBool>,
}

impl Spawner for Brittle {
    fn spawn(&self, task: BoxFuture<()>) {
        self.clock.spawn(task);
    }
}

impl Timer for Brittle {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        if !self.is_brittle.swap(false, Ordering::SeqCst) {
            return self.clock.sleep_until(at);
        }
        let fragile = Fragile;
        Box::pin(async move {
            let _fragile = fragile;
            pending().await
        })
    }
}

type Manager = FromFn<fn() -> Ready<io::Result<()>>>;
type Lent = PooledConnection<Manager>;

/// A pool of one, without deadlines, and the one, which is lent.
fn one() -> (Brittle, Pool<Manager>, Lent) {
    let runtime = Brittle {
        clock: VirtualRuntime::new(),
        is_brittle: Arc::default(),
    };
    let connect: fn() -> Ready<io::Result<()>> = || ready(Ok(()));
    let pool = Pool::builder(FromFn::new(connect))
        .max_size(1)
        .acquire_timeout(None)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let held = runtime.clock.block_on(pool.acquire()).unwrap();
    (runtime, pool, held)
}

/// Everything can still be had, and nothing is left.
fn end(runtime: &Brittle, pool: &Pool<Manager>) {
    assert_eq!(pool.status().waiting, 0);
    drop(runtime.clock.block_on(pool.acquire()).unwrap());
    runtime.clock.block_on(pool.close());
    runtime.clock.kill();
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Leaves a waker with it that nobody else keeps.
fn leave_a_fragile_waker<F: Future>(future: Pin<&mut F>) {
    let waker = Waker::from(Arc::new(Fragile));
    let polled = future.poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
}

/// Guarantee 7. Another task's waker takes its place.
#[test]
fn panicking_destructor_of_a_waker_does_not_leave_the_next_poll() {
    let (runtime, pool, held) = one();
    let mut waiter = Box::pin(pool.acquire());
    leave_a_fragile_waker(waiter.as_mut());
    let next = catch_unwind(AssertUnwindSafe(|| poll(waiter.as_mut()).is_pending()));
    assert_eq!(next.ok(), Some(true));
    drop(held);
    assert!(poll(waiter.as_mut()).is_ready());
    drop(waiter);
    end(&runtime, &pool);
}

/// Guarantee 7. It goes with him who left it.
#[test]
fn panicking_destructor_of_a_waker_does_not_leave_the_drop_of_a_waiter() {
    let (runtime, pool, held) = one();
    let mut waiter = Box::pin(pool.acquire());
    leave_a_fragile_waker(waiter.as_mut());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(waiter))).is_ok());
    assert_eq!(pool.statistics().cancellations, 1);
    drop(held);
    end(&runtime, &pool);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Served,
    Late,
    Gone,
}

/// Guarantee 7. However the wait ends, its timer goes with it.
#[test]
fn panicking_destructor_of_a_timer_leaves_neither_a_poll_nor_a_drop() {
    const PATIENCE: Duration = Duration::from_secs(1);
    for ending in [Ending::Served, Ending::Late, Ending::Gone] {
        let (runtime, pool, held) = one();
        let mut waiter = Box::pin(pool.acquire_timeout(PATIENCE));
        runtime.is_brittle.store(true, Ordering::SeqCst);
        assert!(poll(waiter.as_mut()).is_pending());
        assert!(!runtime.is_brittle.load(Ordering::SeqCst), "his is the one");
        let clock = &runtime.clock;
        let ended = catch_unwind(AssertUnwindSafe(move || {
            let mut held = Some(held);
            match ending {
                Ending::Served => drop(held.take()),
                Ending::Late => clock.stall(PATIENCE),
                Ending::Gone => {
                    drop(waiter);
                    return true;
                }
            }
            match poll(waiter.as_mut()) {
                Poll::Ready(Ok(_)) => ending == Ending::Served,
                Poll::Ready(Err(error)) => ending == Ending::Late && error.is_timed_out(),
                Poll::Pending => false,
            }
        }));
        assert_eq!(ended.ok(), Some(true), "{ending:?}");
        end(&runtime, &pool);
    }
}

/// Guarantee 7. A connect is over, and the timer that was set for it panics as it goes.
#[test]
fn panicking_destructor_of_a_timer_costs_no_connection() {
    let runtime = Brittle {
        clock: VirtualRuntime::new(),
        is_brittle: Arc::default(),
    };
    let brittle = Arc::clone(&runtime.is_brittle);
    let pool = Pool::from_fn(move || {
        let brittle = Arc::clone(&brittle);
        async move {
            // The one that is set for this, as it is not over yet.
            brittle.store(true, Ordering::SeqCst);
            futures_lite::future::yield_now().await;
            assert!(!brittle.load(Ordering::SeqCst));
            Ok::<_, io::Error>(())
        }
    })
    .max_size(1)
    .acquire_timeout(None)
    .runtime(runtime.clone())
    .build()
    .unwrap();
    let clock = &runtime.clock;
    let made = catch_unwind(AssertUnwindSafe(|| clock.block_on(pool.acquire()).is_ok()));
    assert_eq!(made.ok(), Some(true));
    assert_eq!((pool.statistics().connects, pool.status().idle), (1, 1));
    clock.block_on(pool.close());
    clock.kill();
}
