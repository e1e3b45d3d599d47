//! What one sees who drives the executor by hand: what happens before anything runs, and who is woken.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::World;

/// Those who close a pool, fill it or pause it are woken for what they wait for, not for all that
/// happens.
#[test]
fn those_who_close_are_woken_when_the_last_has_gone() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(3));
        let mut held = runtime.block_on(pool.acquire_many(3));
        let polls = Arc::new(AtomicUsize::new(0));
        let (mut closing, counted) = (pool.close(), Arc::clone(&polls));
        let closed = w.spawn(std::future::poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::SeqCst);
            closing.as_mut().poll(cx)
        }));
        for _ in 0..2 {
            runtime.settle();
            assert_eq!(polls.load(Ordering::SeqCst), 1, "it waits");
            held.pop();
        }
        runtime.settle();
        assert_eq!(polls.load(Ordering::SeqCst), 1, "one is left");
        drop(held);
        runtime.block_on(closed);
        assert_eq!(polls.load(Ordering::SeqCst), 2);
    });
}

/// A pool begins to fill while it is built, and does not wait for its keeper to be polled.
#[test]
fn pool_begins_to_fill_as_it_is_built() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(4).min_idle(2));
        assert_eq!(pool.status().connecting, 2, "nothing has run yet");
        runtime.settle();
        assert_eq!(pool.status().idle, 2);
    });
}

/// One that `retain` looks at may have lost its place when it is put back: it is closed then.
#[test]
fn connection_that_there_is_no_place_for_after_a_look_is_closed() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2));
        drop(runtime.block_on(pool.acquire_many(2)));
        let removed = pool.retain(|_, _| {
            pool.resize(0);
            true
        });
        runtime.settle();
        assert_eq!((removed, pool.status().size), (0, 0));
        assert_eq!(pool.statistics().closes.resize, 2);
    });
}
