//! Schedules that once broke something, each found by reading the code and thinking of it.

mod errors;
mod filling;
mod keyed;
#[cfg(feature = "tokio")]
mod on_tokio;
mod renewing;
mod simulated;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use watertight::{Condition, Manager, Pool, PooledConnection};

use crate::support::{Virtual, World, hang, ok};

const SECOND: Duration = Duration::from_secs(1);

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A runtime that shuts down drops the refills, one of which had a waiter: no attempt is spawned
/// in place of one that was just dropped, over and over.
#[test]
fn runtime_that_dies_with_refills_under_way_ends_in_no_recursion() {
    for min_idle in [2, 4, 8] {
        World::by_hand(|w, runtime| {
            w.connects().always(hang());
            let pool = w.pool(|b| b.max_size(10).min_idle(min_idle));
            let mut waiter = Box::pin(pool.acquire());
            assert!(poll(waiter.as_mut()).is_pending());
            runtime.settle();
            runtime.kill();
            w.connects().always(ok());
            drop(runtime.block_on(waiter).unwrap());
        });
    }
}

/// A connect that nobody waits for any more is no reason not to check an idle connection.
#[test]
fn waiter_is_served_by_a_check_beside_a_hung_connect() {
    World::by_hand(|w, runtime| {
        w.connects().next([ok(), hang()]);
        let pool = w.pool(|b| b.max_size(2).acquire_timeout(5 * SECOND));
        let first = runtime.block_on(pool.acquire()).unwrap();
        let mut second = Box::pin(pool.acquire());
        assert!(poll(second.as_mut()).is_pending());
        runtime.settle();
        drop(first);
        drop(runtime.block_on(second).unwrap());
        runtime.advance(2 * SECOND);
        drop(runtime.block_on(pool.acquire()).unwrap());
        assert_eq!(w.checks().calls(), 1);
    });
}

/// Every attempt that lost its task is passed on at once, not one after the other.
#[test]
fn lost_attempts_are_run_side_by_side() {
    World::by_hand(|w, runtime| {
        w.connects().next([hang(), hang(), hang(), hang()]);
        let pool = w.pool(|b| b.max_size(3).connect_timeout(60 * SECOND));
        let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(pool.acquire())).collect();
        for waiter in &mut waiters {
            assert!(poll(waiter.as_mut()).is_pending());
        }
        runtime.settle();
        runtime.kill();
        // The first waiter's own attempt hangs as well; the others' do not.
        let mut served = 0;
        for _ in 0..3 {
            waiters.retain_mut(|waiter| {
                let over = poll(waiter.as_mut()).is_ready();
                served += usize::from(over);
                !over
            });
        }
        assert_eq!(served, 3);
    });
}

/// A waker's destructor panics, while the waiter is given an attempt to run.
#[test]
fn panicking_waker_costs_no_place() {
    struct PanicsWhenDropped;
    impl Wake for PanicsWhenDropped {
        fn wake(self: Arc<Self>) {
            std::mem::forget(self);
        }
    }
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("a waker's destructor"));
        }
    }
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2));
        w.connects().next([hang(), hang()]);
        let mut first = Box::pin(pool.acquire());
        let mut second = Box::pin(pool.acquire());
        let bad = Waker::from(Arc::new(PanicsWhenDropped));
        assert!(poll(first.as_mut()).is_pending());
        let mut cx = Context::from_waker(&bad);
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(bad);
        runtime.kill();
        drop((first, runtime.block_on(second).unwrap()));
        drop(runtime.block_on(pool.acquire_many(2)));
    });
}

/// A waker that panics is woken by `close`, before the idle connections have been closed.
#[test]
fn panicking_waker_does_not_keep_the_pool_from_closing() {
    struct PanicsWhenWoken;
    impl Wake for PanicsWhenWoken {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker"));
        }
    }
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        drop(runtime.block_on(pool.acquire()).unwrap());
        let waker = Waker::from(Arc::new(PanicsWhenWoken));
        let mut closed = Box::pin(pool.closed());
        let mut cx = Context::from_waker(&waker);
        assert!(closed.as_mut().poll(&mut cx).is_pending());
        runtime.block_on(pool.close());
        assert!(poll(closed.as_mut()).is_ready());
    });
}

/// After a runtime's death another takes over: one maintenance task is enough.
#[test]
fn revived_pool_has_one_keeper() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        let held = runtime.block_on(pool.acquire()).unwrap();
        runtime.kill();
        runtime.drop_spawned(false);
        let mut crowd: Vec<_> = (0..50).map(|_| Box::pin(pool.acquire())).collect();
        for waiter in &mut crowd {
            assert!(poll(waiter.as_mut()).is_pending());
        }
        runtime.settle();
        assert_eq!(runtime.tasks(), 1, "the keeper");
        drop((crowd, held));
    });
}

/// Whatever makes a pool warm ends the wait for it: a shrink, a return.
#[test]
fn fill_ends_when_the_pool_is_as_warm_as_it_can_be() {
    World::by_hand(|w, runtime| {
        w.connects().always(hang());
        let pool = w.pool(|b| b.max_size(2).min_idle(2));
        let mut filling = Box::pin(pool.fill());
        assert!(poll(filling.as_mut()).is_pending());
        runtime.settle();
        pool.resize(0);
        runtime.block_on(filling).unwrap();
    });
    World::by_hand(|w, runtime| {
        w.connects().next([ok(), hang()]);
        let pool = w.pool(|b| b.max_size(3).min_idle(1));
        let held = runtime.block_on(pool.acquire()).unwrap();
        let mut filling = Box::pin(pool.fill());
        assert!(poll(filling.as_mut()).is_pending());
        drop(held);
        runtime.block_on(filling).unwrap();
    });
}

/// Nobody runs a refill on a dead runtime but the one who asks for it.
#[test]
fn fill_works_on_a_dead_runtime() {
    let runtime = Virtual::new();
    runtime.drop_spawned(true);
    World::by_hand_on(runtime, |w, runtime| {
        let pool = w.pool(|b| b.max_size(3).min_idle(2));
        runtime.block_on(pool.fill()).unwrap();
        assert_eq!(pool.status().idle, 2);
    });
}

/// A pool that was made larger has room for all its returns.
#[test]
fn return_queue_grows_with_the_pool() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        pool.resize(20);
        let mut held = runtime.block_on(pool.acquire_many(20));
        for conn in &mut held {
            conn.condition = Condition::Dirty;
        }
        drop(held);
        runtime.settle();
        assert_eq!(pool.status().idle, 20);
    });
}

/// A shrink spares what is there and lets go what may never be.
#[test]
fn shrink_prefers_idle_connections_to_hung_connects() {
    World::by_hand(|w, runtime| {
        w.connects().next([ok(), ok(), hang(), hang()]);
        let pool = w.pool(|b| b.max_size(4).acquire_timeout(SECOND));
        let held = runtime.block_on(pool.acquire_many(2));
        let mut more = [Box::pin(pool.acquire()), Box::pin(pool.acquire())];
        for waiter in &mut more {
            assert!(poll(waiter.as_mut()).is_pending());
        }
        runtime.settle();
        drop(more);
        drop(held);
        pool.resize(2);
        assert_eq!(pool.status().idle, 2);
        drop(runtime.block_on(pool.acquire_many(2)));
    });
}

/// Thousands of stale connections on a dead runtime are not checked on the stack, one above the
/// other.
#[test]
fn dead_runtime_with_many_stale_connections_ends_in_no_recursion() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(3000));
        drop(runtime.block_on(pool.acquire_many(3000)));
        runtime.kill();
        runtime.advance(2 * SECOND);
        drop(runtime.block_on(pool.acquire()).unwrap());
    });
}

/// The same with some that have expired as well: to close those is a task, too.
#[test]
fn dead_runtime_with_expired_and_stale_connections_ends_in_no_recursion() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| {
            b.max_size(10_000)
                .max_lifetime(10 * SECOND)
                .lifetime_jitter(0.9)
        });
        drop(runtime.block_on(pool.acquire_many(10_000)));
        runtime.kill();
        runtime.stall(5 * SECOND);
        drop(runtime.block_on(pool.acquire()).unwrap());
    });
}

/// One hung check is no reason not to try the next idle connection.
#[test]
fn hung_check_does_not_keep_a_waiter_from_another_idle_connection() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2).check_timeout(60 * SECOND));
        drop(runtime.block_on(pool.acquire_many(2)));
        runtime.advance(2 * SECOND);
        w.checks().next([hang()]);
        let start = runtime.elapsed();
        drop(runtime.block_on(pool.acquire()).unwrap());
        assert!(runtime.elapsed() - start <= 2 * SECOND);
    });
}

/// The only waiter on a dead runtime runs an attempt that hangs, and then another beside it.
#[test]
fn lone_waiter_on_a_dead_runtime_is_not_left_to_a_hung_connect() {
    let runtime = Virtual::new();
    runtime.drop_spawned(true);
    World::by_hand_on(runtime, |w, runtime| {
        w.connects().next([hang()]);
        let pool = w.pool(|b| b.max_size(3).connect_timeout(10 * SECOND));
        drop(runtime.block_on(pool.acquire()).unwrap());
        assert!(runtime.elapsed() <= 2 * SECOND);
    });
}

/// The keeper goes last, after the refill that `fill` waits for.
#[test]
fn fill_learns_that_the_keeper_is_gone() {
    World::by_hand(|w, runtime| {
        w.connects().next([hang()]);
        let pool = w.pool(|b| b.max_size(2).min_idle(1));
        let mut filling = Box::pin(pool.fill());
        runtime.settle();
        assert!(poll(filling.as_mut()).is_pending());
        runtime.kill();
        runtime.block_on(filling).unwrap();
    });
}

/// A hand-off after the deadline is no hand-off, however late the runtime is.
#[test]
fn nobody_is_served_after_the_deadline_however_late_the_runtime_is() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1).acquire_timeout(2 * SECOND));
        for _ in 0..100 {
            drop(runtime.block_on(pool.acquire()).unwrap());
        }
        let held = runtime.block_on(pool.acquire()).unwrap();
        let mut waiter = Box::pin(pool.acquire());
        assert!(poll(waiter.as_mut()).is_pending());
        runtime.settle();
        runtime.stall(3 * SECOND);
        drop(held);
        let Poll::Ready(Err(error)) = poll(waiter.as_mut()) else {
            panic!("served after its deadline");
        };
        assert!(error.is_timed_out());
    });
}

/// A caller that was answered too late, and went away without looking, still timed out.
#[test]
fn late_caller_that_never_looks_counts_as_timed_out() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        let held = runtime.block_on(pool.acquire()).unwrap();
        let mut waiter = Box::pin(pool.acquire_timeout(SECOND));
        assert!(poll(waiter.as_mut()).is_pending());
        runtime.stall(2 * SECOND);
        drop(held);
        drop(waiter);
        assert_eq!(pool.statistics().timeouts.total(), 1);
        assert_eq!(pool.statistics().cancellations, 0);
    });
}

/// A guard is the last that is left of its pool, and takes the manager with it.
#[test]
fn panic_of_the_managers_destructor_does_not_leave_the_drop_of_a_guard() {
    struct Fragile;
    impl Drop for Fragile {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("fragile"));
        }
    }
    impl Manager for Fragile {
        type Connection = ();
        type Error = ();
        async fn connect(&self) -> Result<(), ()> {
            Ok(())
        }
    }
    for detach in [false, true] {
        let runtime = Virtual::new();
        runtime.drop_spawned(true);
        let pool = Pool::builder(Fragile)
            .runtime(runtime.clone())
            .build()
            .unwrap();
        let guard = runtime.block_on(pool.acquire()).unwrap();
        drop(pool);
        let dropped = catch_unwind(AssertUnwindSafe(|| match detach {
            true => PooledConnection::detach(guard),
            false => drop(guard),
        }));
        assert!(dropped.is_ok(), "detach: {detach}");
    }
}
