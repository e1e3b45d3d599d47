//! What one sees who drives the executor by hand: what happens before anything runs, and who is woken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use std::time::Instant;

use watertight::{BoxFuture, KeyedPool, Observer, Spawner, Timer, event};

use crate::support::{Scripted, Virtual, World, hang};

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

/// What `retain` does not want is being closed, and no longer being looked at.
#[test]
fn connection_that_is_not_wanted_any_more_is_in_the_stage_of_closing() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2));
        drop(runtime.block_on(pool.acquire_many(2)));
        w.closes().always(hang());
        assert_eq!(pool.retain(|_, _| false), 2);
        runtime.settle();
        let status = pool.status();
        assert_eq!((status.closing, status.checking), (2, 0));
    });
}

/// What a connection tells of itself.
#[test]
fn metrics_tell_which_how_old_how_long_idle_and_how_often_lent() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(3));
        let start = runtime.now();
        runtime.advance(w.ms(10));
        let held = runtime.block_on(pool.acquire_many(3));
        for (id, conn) in held.iter().enumerate() {
            let metrics = conn.metrics();
            assert_eq!((metrics.id(), metrics.uses()), (id as u64, 1));
            assert_eq!(metrics.created_at(), start + w.ms(10));
            assert_eq!(metrics.age(), w.ms(0));
        }
        runtime.advance(w.ms(20));
        drop(held);
        runtime.advance(w.ms(30));
        let mut seen = 0;
        pool.retain(|_, metrics| {
            seen += 1;
            assert_eq!((metrics.age(), metrics.idle()), (w.ms(50), w.ms(30)));
            true
        });
        assert_eq!(seen, 3);
        let conn = runtime.block_on(pool.acquire()).unwrap();
        assert_eq!(conn.metrics().uses(), 2);
    });
}

/// The virtual clock, but the first timers for each time go off too early.
struct Hasty(Virtual, Mutex<BTreeMap<Instant, usize>>);

impl Spawner for Hasty {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.spawn(task);
    }
}

impl Timer for Hasty {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        let mut made = self.1.lock().unwrap();
        let made = made.entry(at).or_default();
        *made += 1;
        match *made {
            // It must not be polled again.
            1..4 => Box::pin(async {}),
            _ => self.0.sleep_until(at),
        }
    }
}

/// A timer that goes off too early ends nothing, and is not the last.
#[test]
fn time_out_of_a_connect_comes_at_its_time_though_timers_are_early() {
    World::by_hand(|w, runtime| {
        w.connects().always(hang());
        w.ledger().set_limit(10);
        let builder = watertight::Pool::builder(w.manager());
        let pool = builder
            .connect_timeout(w.ms(100))
            .connect_policy(watertight::ConnectPolicy::FailFast)
            .runtime(Hasty(runtime.clone(), Mutex::default()))
            .build()
            .unwrap();
        let error = runtime.block_on(pool.acquire()).map(drop).unwrap_err();
        assert!(error.connect_error().is_some(), "{error}");
        assert_eq!(runtime.elapsed(), w.ms(100));
        runtime.block_on(pool.close());
    });
}

/// A pool of keys that is closed while it makes one for a key: that goes at once.
#[test]
fn key_that_is_founded_while_the_pool_closes_is_not_served() {
    World::by_hand(|w, runtime| {
        let found = Arc::new(OnceLock::<KeyedPool<u32, Scripted>>::new());
        // The factory must not own the pool that owns it.
        let (closing, world) = (Arc::downgrade(&found), w.clone());
        let pool = KeyedPool::builder(move |_: &u32| {
            let found = closing.upgrade();
            drop(found.and_then(|pool| pool.get().map(KeyedPool::close)));
            world.manager()
        })
        .each(|each| each.runtime(runtime.clone()))
        .build()
        .unwrap();
        assert!(found.set(pool.clone()).is_ok());
        let error = runtime.block_on(pool.acquire(&1)).map(drop).unwrap_err();
        assert!(error.is_closed());
        assert!(pool.keys().is_empty());
        assert_eq!(pool.total_status().size, 0);
        runtime.settle();
        assert_eq!((w.connects().calls(), runtime.tasks()), (0, 0));
    });
}

/// The last handle of a pool of keys closes it, and its observer hears of that, once, as he did of the
/// pool.
#[test]
fn last_handle_of_a_pool_of_keys_is_told_of_as_any_close() {
    #[derive(Default)]
    struct Closings(AtomicUsize, Mutex<Vec<usize>>);
    impl Observer for Closings {
        fn configured(&self, event: &event::Configured) {
            self.1.lock().unwrap().push(event.max_size());
        }

        fn closing(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    World::by_hand(|w, runtime| {
        let closings = Arc::new(Closings::default());
        let (world, observer) = (w.clone(), Arc::clone(&closings));
        let pool = KeyedPool::builder(move |_: &u32| world.manager())
            .max_total(9)
            .each(|each| each.runtime(runtime.clone()).observer(observer).max_size(7))
            .build()
            .unwrap();
        w.ledger().set_limit(10);
        let held = runtime.block_on(pool.acquire(&1)).unwrap();
        let status = pool.status(&1).unwrap();
        assert_eq!((status.size, status.max_size), (1, 7), "what it may have");
        drop(held);
        assert_eq!(*closings.1.lock().unwrap(), [9], "not of each key's pool");
        let clone = pool.clone();
        drop(pool);
        assert_eq!(closings.0.load(Ordering::SeqCst), 0);
        drop(clone);
        runtime.settle();
        assert_eq!(closings.0.load(Ordering::SeqCst), 1);
    });
}
