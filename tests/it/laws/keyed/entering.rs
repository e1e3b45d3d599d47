//! What is decided between asking for a key and waiting for it.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_lite::future::{block_on, poll_once};
use watertight::{BoxFuture, Spawner, Timer};

use crate::support::{Acquired, Gate, KeyedLawPool, Task, Virtual, World, join, laws, ok};

laws! {
    every_mode:
        nobody_waits_for_a_return_if_nobody_may,
        key_that_has_all_it_may_have_is_full,
        idle_ones_of_other_keys_are_within_reach,
        place_that_another_key_waits_for_is_not_within_reach,
        key_without_a_limit_of_its_own_reaches_as_far_as_any,
        queue_of_each_key_has_its_own_limit;
    virtual_only:
        two_who_come_at_once_do_not_get_in_for_one_place,
        key_that_loses_its_last_connection_just_then_is_kept;
}

/// Law 148, for keys.
async fn nobody_waits_for_a_return_if_nobody_may(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(3).each(|b| b.max_waiters(0)));
    let mut held = pool.acquire_many(1, 2).await;
    held.push(pool.acquire(2).await.unwrap());
    let watch = w.stopwatch();
    for key in 1..4 {
        assert!(pool.acquire(key).await.unwrap_err().is_queue_full());
    }
    watch.assert_at(0);
    assert_eq!(pool.statistics(&1).unwrap().rejections.queue_full, 1);
    // One comes back: to its own key's next caller, then to the first of a new key.
    drop(held.pop());
    held.push(pool.acquire(2).await.unwrap());
    drop(held.pop());
    held.push(pool.acquire(3).await.unwrap());
    assert!(pool.acquire(2).await.unwrap_err().is_queue_full());
}

/// Laws 148 and 192.
async fn key_that_has_all_it_may_have_is_full(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(9).max_per_key(2).each(|b| b.max_waiters(0)));
    let held = pool.acquire_many(1, 2).await;
    assert!(pool.acquire(1).await.unwrap_err().is_queue_full());
    drop((held, pool.acquire_many(2, 2).await));
}

/// So many wait for a key, one after the other.
async fn waiters<const N: usize>(pool: &KeyedLawPool, key: u32) -> [Task<Acquired>; N] {
    let mut tasks = Vec::new();
    for _ in 0..N {
        tasks.push(pool.waiter(key).await);
    }
    tasks.try_into().unwrap_or_else(|_| unreachable!())
}

/// Laws 148 and 193: also while they are being closed.
async fn idle_ones_of_other_keys_are_within_reach(w: World) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| b.max_total(3).each(|b| b.max_waiters(0)));
    let held = pool.acquire(1).await.unwrap();
    drop(pool.acquire_many(2, 2).await);
    w.closes().always(ok().at(&gate));
    let two: [_; 2] = waiters(&pool, 3).await;
    assert!(pool.acquire(3).await.unwrap_err().is_queue_full());
    gate.open();
    let two = join(two).await;
    assert!(two.iter().all(Result::is_ok));
    drop(held);
}

/// Law 148.
async fn key_without_a_limit_of_its_own_reaches_as_far_as_any(w: World) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| {
        let all = b.max_total(2).max_per_key(usize::MAX);
        all.each(|b| b.max_waiters(0))
    });
    drop(pool.acquire_many(1, 2).await);
    w.closes().always(ok().at(&gate));
    let [second] = waiters(&pool, 2).await;
    let [third] = waiters(&pool, 3).await;
    gate.open();
    drop((second.await.unwrap(), third.await.unwrap()));
}

/// Laws 148 and 193.
async fn place_that_another_key_waits_for_is_not_within_reach(w: World) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| b.max_total(1).each(|b| b.max_waiters(0)));
    drop(pool.acquire(1).await.unwrap());
    w.closes().next([ok().at(&gate)]);
    let first = pool.waiter(2).await;
    w.until(|| w.ledger().closes_begun() == 1).await;
    for key in 1..4 {
        assert!(pool.acquire(key).await.unwrap_err().is_queue_full());
    }
    gate.open();
    drop(first.await.unwrap());
}

/// Law 148, with a queue.
async fn queue_of_each_key_has_its_own_limit(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(2).each(|b| b.max_waiters(2)));
    let held = pool.acquire_many(1, 2).await;
    let [a, b] = waiters(&pool, 1).await;
    let [c, d] = waiters(&pool, 2).await;
    for key in [1, 2] {
        assert!(pool.acquire(key).await.unwrap_err().is_queue_full());
    }
    drop(held);
    for waiter in [a, b, c, d] {
        drop(waiter.await.unwrap());
    }
}

/// The virtual clock, but the next time that somebody reads it something happens.
#[derive(Clone)]
struct Meddling {
    clock: Virtual,
    trick: Arc<Mutex<Option<Trick>>>,
}

type Trick = Box<dyn FnOnce() + Send>;

impl Meddling {
    fn new(w: &World) -> Self {
        Meddling {
            clock: w.virtual_time().unwrap().clone(),
            trick: Arc::default(),
        }
    }

    fn next(&self, trick: impl FnOnce() + Send + 'static) {
        *self.trick.lock().unwrap() = Some(Box::new(trick));
    }

    fn has_meddled(&self) -> bool {
        self.trick.lock().unwrap().is_none()
    }
}

impl Spawner for Meddling {
    fn spawn(&self, task: BoxFuture<()>) {
        self.clock.spawn(task);
    }
}

impl Timer for Meddling {
    fn now(&self) -> Instant {
        let trick = self.trick.lock().unwrap().take();
        trick.into_iter().for_each(|trick| trick());
        self.clock.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.clock.sleep_until(at)
    }
}

/// Law 148: while one is about to wait, another of the same key comes and takes the place.
async fn two_who_come_at_once_do_not_get_in_for_one_place(w: World) {
    let runtime = Meddling::new(&w);
    let theirs = runtime.clone();
    let pool = w.keyed_pool(|b| b.max_total(2).each(|b| b.max_waiters(0).runtime(theirs)));
    let held = pool.acquire(1).await.unwrap();
    let gate = Gate::new();
    pool.connects(1).always(ok().at(&gate));
    let (other, waiting) = (pool.clone(), Arc::new(Mutex::new(None)));
    let theirs = Arc::clone(&waiting);
    runtime.next(move || {
        let mut first = Box::pin(async move { other.acquire(1).await });
        assert!(block_on(poll_once(&mut first)).is_none());
        *theirs.lock().unwrap() = Some(first);
    });
    assert!(pool.acquire(1).await.unwrap_err().is_queue_full());
    gate.open();
    let first = waiting.lock().unwrap().take().unwrap();
    drop((held, first.await.unwrap()));
}

/// Law 197: between the moment that somebody asks for the key and the moment that he waits for it.
async fn key_that_loses_its_last_connection_just_then_is_kept(w: World) {
    let runtime = Meddling::new(&w);
    let theirs = runtime.clone();
    let pool = w.keyed_pool(|b| b.each(|b| b.runtime(theirs)));
    let held = pool.acquire(1).await.unwrap();
    runtime.next(|| drop(held.detach()));
    let watch = w.stopwatch();
    drop(pool.acquire(1).await.unwrap());
    watch.assert_at(0);
    assert!(runtime.has_meddled());
}
