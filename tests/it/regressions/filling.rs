//! Calls to `fill` that run the attempts to connect themselves, because the runtime is dead.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use watertight::{AcquireError, BoxFuture, Spawner, Timer};

use super::{SECOND, poll};
use crate::support::{Virtual, World, err, hang, ok};

/// A world whose runtime drops whatever it is given.
fn lifeless(test: impl FnOnce(&World, &Virtual)) {
    let runtime = Virtual::new();
    runtime.drop_spawned(true);
    World::by_hand_on(runtime, test);
}

#[test]
fn fill_that_connects_hears_that_the_pool_closes() {
    lifeless(|w, runtime| {
        w.connects().next([hang()]);
        let pool = w.pool(|b| b.min_idle(1).connect_timeout(None));
        let mut filling = Box::pin(pool.fill());
        assert!(poll(filling.as_mut()).is_pending());
        let closing = pool.close();
        let told = runtime.block_on(filling);
        assert!(matches!(told, Err(AcquireError::Closed)), "{told:?}");
        runtime.block_on(closing);
        assert_eq!(runtime.elapsed(), w.ms(0));
    });
}

#[test]
fn fill_that_connects_hears_that_the_pool_is_warm() {
    lifeless(|w, runtime| {
        w.connects().next([hang()]);
        let pool = w.pool(|b| b.max_size(2).min_idle(1).connect_timeout(None));
        let mut filling = Box::pin(pool.fill());
        assert!(poll(filling.as_mut()).is_pending());
        assert!(pool.adopt(w.connection_from_elsewhere()).is_ok());
        runtime.block_on(filling).unwrap();
        let status = pool.status();
        assert_eq!((status.size, status.connecting), (1, 0), "{status:?}");
    });
}

#[test]
fn fill_that_connects_makes_another_attempt_when_one_hangs() {
    lifeless(|w, runtime| {
        w.connects().next([hang(), ok()]);
        let pool = w.pool(|b| b.max_size(2).min_idle(1).connect_timeout(None));
        runtime.block_on(pool.fill()).unwrap();
        assert_eq!(w.connects().calls(), 2);
        assert!(runtime.elapsed() <= 2 * SECOND);
        let status = pool.status();
        assert_eq!((status.idle, status.size), (1, 1), "{status:?}");
    });
}

/// A server that is down meets no herd, and what succeeds is not spoiled by what fails beside it.
#[test]
fn fill_that_connects_makes_one_attempt_after_the_other_and_returns_the_first_error() {
    lifeless(|w, runtime| {
        let slow = || ok().after(w.ms(400));
        w.connects().next([slow(), slow(), slow(), err()]);
        let pool = w.pool(|b| b.max_size(4).min_idle(3));
        runtime.block_on(pool.fill()).unwrap();
        assert_eq!(runtime.elapsed(), w.ms(1200));
        pool.set_min_idle(4).unwrap();
        let error = runtime.block_on(pool.fill()).unwrap_err();
        assert!(matches!(error, AcquireError::Connect(_)), "{error:?}");
        assert_eq!(pool.status().size, 3);
    });
}

/// What it counted on goes to somebody else.
#[test]
fn fill_that_connects_hears_that_more_is_missing_than_was() {
    lifeless(|w, runtime| {
        let pool = w.pool(|b| b.max_size(4).min_idle(1));
        runtime.block_on(pool.fill()).unwrap();
        w.connects().next([hang()]);
        pool.set_min_idle(2).unwrap();
        let mut filling = Box::pin(pool.fill());
        assert!(poll(filling.as_mut()).is_pending());
        let taken = pool.try_acquire().unwrap();
        runtime.block_on(filling).unwrap();
        assert_eq!((pool.status().idle, w.connects().calls()), (2, 4));
        drop(taken);
    });
}

/// Who waits out a pause runs no attempt, and what he was to run is begun by others.
#[test]
fn fill_counts_on_nobody_who_waits_out_a_pause() {
    lifeless(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2).min_idle(1));
        drop(pool.pause());
        let mut waiter = Box::pin(pool.acquire_timeout(60 * SECOND));
        assert!(poll(waiter.as_mut()).is_pending());
        runtime.block_on(pool.fill()).unwrap();
        assert_eq!((pool.status().idle, runtime.elapsed()), (1, w.ms(0)));
        pool.resume();
        drop(runtime.block_on(waiter).unwrap());
    });
}

/// A place that is being freed is no reason to be content.
#[test]
fn fill_is_not_warm_while_a_place_is_about_to_be_free() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2).min_idle(1));
        let mut held = runtime.block_on(pool.acquire_many(2));
        w.closes().next([ok().after(w.ms(100))]);
        held.remove(0).discard();
        runtime.settle();
        assert_eq!(pool.status().closing, 1);
        runtime.block_on(pool.fill()).unwrap();
        assert_eq!((pool.status().idle, runtime.elapsed()), (1, w.ms(100)));
        drop(held);
    });
}

/// One that is kept and not polled holds nobody else up.
#[test]
fn fill_does_not_count_for_ever_on_the_attempt_of_another() {
    lifeless(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2).min_idle(1));
        w.connects().next([hang(), ok()]);
        let mut idler = Box::pin(pool.fill());
        assert!(poll(idler.as_mut()).is_pending());
        runtime.block_on(pool.fill()).unwrap();
        assert!(runtime.elapsed() <= 2 * SECOND);
        assert_eq!(pool.status().idle, 1);
        runtime.block_on(idler).unwrap();
    });
}

/// He whose deadline passes tells the others not to count on what he waited for.
#[test]
fn fill_is_told_when_somebody_doubts_the_attempt_that_it_counts_on() {
    lifeless(|w, runtime| {
        // What is usual is known, and nobody loses patience before four times that.
        w.connects()
            .next([ok().after(w.ms(900)), hang(), hang(), ok()]);
        let pool = w.pool(|b| b.max_size(3));
        let held = runtime.block_on(pool.acquire()).unwrap();
        pool.set_min_idle(1).unwrap();
        let mut fill = Box::pin(pool.fill());
        assert!(poll(fill.as_mut()).is_pending());
        let begun = runtime.elapsed();
        let fill = async {
            fill.await.unwrap();
            runtime.elapsed() - begun
        };
        let waiter = pool.acquire_timeout(w.ms(1_200));
        let (took, late) = runtime.block_on(futures_lite::future::zip(fill, waiter));
        assert!(late.unwrap_err().is_timed_out());
        assert!(took < 2 * SECOND, "{took:?}");
        drop(held);
    });
}

/// Runs all tasks but the first, which is the keeper.
#[derive(Clone)]
struct WithoutTheFirst {
    runtime: Virtual,
    first: Arc<Mutex<Option<BoxFuture<()>>>>,
}

impl Spawner for WithoutTheFirst {
    fn spawn(&self, task: BoxFuture<()>) {
        let mut first = self.first.lock().unwrap();
        match &*first {
            None => *first = Some(task),
            Some(_) => self.runtime.spawn(task),
        }
    }
}

impl Timer for WithoutTheFirst {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.runtime.sleep_until(at)
    }
}

/// As long as there is a keeper, it is his to lose patience with an attempt.
#[test]
fn fill_that_learns_that_the_keeper_is_gone_loses_patience_itself() {
    World::by_hand(|w, runtime| {
        w.connects().next([hang(), ok()]);
        let own = WithoutTheFirst {
            runtime: runtime.clone(),
            first: Arc::default(),
        };
        let pool = w.pool(|b| b.max_size(2).min_idle(1).runtime(own.clone()));
        let mut filling = Box::pin(pool.fill());
        runtime.settle();
        assert!(poll(filling.as_mut()).is_pending());
        let keeper = own.first.lock().unwrap().replace(Box::pin(async {}));
        drop(keeper);
        runtime.block_on(filling).unwrap();
        assert!(runtime.elapsed() <= 2 * SECOND);
        assert_eq!(w.connects().calls(), 2);
    });
}
