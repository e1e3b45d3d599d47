//! Who makes room for whom at the common limit.

use std::sync::{Arc, Mutex};

use watertight::{Backoff, Condition, ConnectPolicy};

use crate::support::{At, Gate, KeyedLawPool, Lent, Task, World, err, hang, join, laws, ok};

laws! {
    every_mode:
        waiter_takes_the_place_of_the_least_recently_used,
        place_counts_until_its_close_has_ended,
        place_that_was_given_up_in_vain_is_free,
        return_that_nobody_waits_for_makes_room,
        discarded_connection_makes_room,
        busy_key_does_not_starve_another,
        key_that_discards_does_not_starve_another,
        key_that_detaches_does_not_starve_another,
        key_that_fails_fast_does_not_starve_another,
        key_whose_connects_hang_does_not_starve_another,
        attempt_that_hangs_holds_up_no_return,
        place_for_another_attempt_is_hope,
        return_makes_room_for_those_before_only,
        one_place_is_enough_for_a_key_with_several_callers,
        worker_whose_connection_is_recycled_starves_no_other_key,
        two_keys_take_the_places_of_two_others,
        hungry_keys_are_served_in_turn;
    virtual_only:
        place_is_no_hope_as_long_as_no_attempt_is_due;
}

/// Law 193.
async fn waiter_takes_the_place_of_the_least_recently_used(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(4));
    let mut held = pool.acquire_many(1, 2).await;
    held.extend(pool.acquire_many(2, 2).await);
    for id in [1, 3, 2, 0] {
        held.retain(|lent| lent.id() != id);
        w.sleep(20).await;
    }
    for (closes, gone) in [1, 3, 2, 0].into_iter().enumerate() {
        assert_eq!(w.ledger().closes_begun(), closes);
        held.push(pool.acquire(3).await.unwrap());
        assert_eq!(w.ledger().place(gone), At::Gone, "{gone}");
    }
    w.until(|| pool.keys() == [3]).await;
    let closed = w.ledger().count().closed;
    assert_eq!(closed, 4);
}

/// Laws 193 and L4: somebody else's connection is not gone before it is closed.
async fn place_counts_until_its_close_has_ended(w: World) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| b.max_total(2));
    drop(pool.acquire_many(1, 2).await);
    w.closes().next([ok().at(&gate)]);
    let waiter = pool.waiter(2).await;
    w.until(|| w.ledger().closes_begun() == 1).await;
    w.settle().await;
    assert_eq!(pool.connects(2).calls(), 0);
    assert_eq!(w.ledger().closes_begun(), 1, "one place is enough");
    let status = pool.total_status();
    assert_eq!((status.size, status.closing, status.idle), (2, 1, 1));
    gate.open();
    drop(waiter.await.unwrap());
    assert_eq!(w.ledger().peak(), 2);
}

/// Law 193: whoever it was given up for is gone when it comes free.
async fn place_that_was_given_up_in_vain_is_free(w: World) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| b.max_total(2));
    drop(pool.acquire_many(1, 2).await);
    w.closes().next([ok().at(&gate)]);
    let impatient = pool.acquire_timeout(2, w.ms(200)).await;
    assert!(impatient.unwrap_err().is_timed_out());
    gate.open();
    w.until(|| pool.total_status().size == 1).await;
    drop(pool.acquire(3).await.unwrap());
    assert_eq!(w.ledger().closes_begun(), 1, "there was a free place");
}

/// Law 193.
async fn return_that_nobody_waits_for_makes_room(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    let held = pool.acquire(1).await.unwrap();
    let waiter = pool.waiter(2).await;
    drop(held);
    let held = waiter.await.unwrap();
    assert_eq!(w.ledger().place(0), At::Gone);
    let waiter = pool.waiter(1).await;
    drop(held.detach());
    drop(waiter.await.unwrap());
}

/// Law 194.
async fn discarded_connection_makes_room(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(2));
    let mut held = pool.acquire_many(1, 2).await;
    let waiter = pool.waiter(2).await;
    held.pop().unwrap().discard();
    held.push(waiter.await.unwrap());
    assert_eq!(w.ledger().count().made, 3);
}

/// Who was served, in order.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<u32>>>);

impl Order {
    /// A task that waits for a key, behind all others, and does this with what it gets.
    async fn waiter(&self, w: &World, pool: &KeyedLawPool, key: u32, end: fn(Lent)) -> Task<()> {
        let (before, order, theirs) = (pool.waiting(key), self.clone(), pool.clone());
        let task = w.spawn(async move {
            let result = theirs.acquire(key).await;
            order.0.lock().unwrap().push(key);
            if let Ok(lent) = result {
                end(lent);
            }
        });
        w.until(|| pool.waiting(key) > before).await;
        // So that the next comes later, on any clock.
        w.sleep(10).await;
        task
    }

    /// Three wait for key 1, one for key 2, and three more for key 1.
    async fn of_seven(&self, w: &World, pool: &KeyedLawPool, end: fn(Lent)) -> Vec<Task<()>> {
        let mut tasks = Vec::new();
        for key in [1, 1, 1, 2, 1, 1, 1] {
            tasks.push(self.waiter(w, pool, key, end).await);
        }
        tasks
    }

    fn is(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }
}

/// Law 193: a key for which somebody always waits keeps what it has, but not for ever.
async fn busy_key_does_not_starve_another(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    let held = pool.acquire(1).await.unwrap();
    let order = Order::default();
    let tasks = order.of_seven(&w, &pool, drop).await;
    drop(held);
    join(tasks).await;
    assert_eq!(order.is(), [1, 1, 1, 2, 1, 1, 1]);
    assert_eq!(w.ledger().count().made, 3);
}

/// Law 194, again and again.
async fn key_that_discards_does_not_starve_another(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    let held = pool.acquire(1).await.unwrap();
    let order = Order::default();
    let tasks = order.of_seven(&w, &pool, Lent::discard).await;
    held.discard();
    join(tasks).await;
    assert_eq!(order.is(), [1, 1, 1, 2, 1, 1, 1]);
}

/// Law 193: its places come free without a close.
async fn key_that_detaches_does_not_starve_another(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    let held = pool.acquire(1).await.unwrap();
    let order = Order::default();
    let detach = |lent: Lent| drop(lent.detach());
    let tasks = order.of_seven(&w, &pool, detach).await;
    detach(held);
    join(tasks).await;
    assert_eq!(order.is(), [1, 1, 1, 2, 1, 1, 1]);
}

/// Law 193: what comes back goes, and not what may never be made.
async fn key_whose_connects_hang_does_not_starve_another(w: World) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| b.max_total(2));
    let held = pool.acquire(1).await.unwrap();
    pool.connects(1).always(ok().at(&gate));
    let impatient = pool.acquire_timeout(1, w.ms(200)).await;
    assert!(impatient.unwrap_err().is_timed_out());
    assert_eq!(pool.total_status().connecting, 1, "it goes on");
    let order = Order::default();
    let mut tasks = Vec::new();
    for key in [2, 1] {
        tasks.push(order.waiter(&w, &pool, key, drop).await);
    }
    drop(held);
    w.until(|| !order.is().is_empty()).await;
    w.settle().await;
    assert_eq!(order.is().first(), Some(&2));
    gate.open();
    join(tasks).await;
}

/// The circuit of a key that may have two of four places is broken, and the next attempt will hang.
async fn one_refuses_and_one_hangs(w: &World, delay: u64) -> KeyedLawPool {
    let delay = w.ms(delay);
    let breaks = ConnectPolicy::CircuitBreaker(Backoff::new(delay, delay));
    let pool = w.keyed_pool(|b| {
        b.max_total(4)
            .max_per_key(2)
            .each(move |b| b.connect_policy(breaks))
    });
    pool.connects(1).next([err(), hang()]);
    assert!(pool.acquire(1).await.is_err());
    pool
}

/// Law 73: the attempt after one that failed hangs, and there are places for another.
async fn place_for_another_attempt_is_hope(w: World) {
    let pool = one_refuses_and_one_hangs(&w, 100).await;
    w.sleep(200).await;
    drop(pool.acquire(1).await.unwrap());
    assert_eq!(pool.connects(1).calls(), 3);
}

/// Law 73: as above, but it will be long before the next is due.
async fn place_is_no_hope_as_long_as_no_attempt_is_due(w: World) {
    let pool = one_refuses_and_one_hangs(&w, 3000).await;
    w.sleep(3000).await;
    let watch = w.stopwatch();
    assert!(pool.acquire(1).await.is_err());
    watch.assert_at(1000);
}

/// Law 192: the attempt after one that failed hangs, and others come back.
async fn attempt_that_hangs_holds_up_no_return(w: World) {
    let gate = Gate::new();
    let often = Backoff::new(w.ms(50), w.ms(50));
    let pool = w.keyed_pool(|b| {
        b.max_total(2)
            .max_per_key(1)
            .each(move |b| b.connect_policy(ConnectPolicy::Retry(often)))
    });
    let held = pool.acquire(3).await.unwrap();
    pool.connects(1).next([err()]);
    pool.connects(1).always(ok().at(&gate));
    let (caller, patience) = (pool.clone(), w.ms(400));
    let impatient = w.spawn(async move { caller.acquire_timeout(1, patience).await });
    w.until_time(100, || pool.connects(1).calls() == 2).await;
    let starving = pool.waiter(2).await;
    w.sleep(20).await;
    let younger = pool.waiter(1).await;
    assert!(impatient.await.unwrap_err().is_timed_out());
    w.settle().await;
    drop(held);
    let served = starving.await.unwrap();
    assert_eq!(pool.total_status().connecting, 1, "it hangs on");
    gate.open();
    drop((younger.await.unwrap(), served));
}

/// Two connections of key 1 come back while these wait, and the close of the first takes long. The last
/// of the callers gets the second.
async fn two_come_back_to(w: &World, callers: &[u32]) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| b.max_total(2));
    let mut held = pool.acquire_many(1, 2).await;
    w.closes().next([ok().at(&gate)]);
    let order = Order::default();
    let mut tasks = Vec::new();
    for key in callers {
        tasks.push(order.waiter(w, &pool, *key, drop).await);
    }
    drop(held.pop());
    w.until(|| w.ledger().closes_begun() == 1).await;
    drop(held);
    w.until(|| !order.is().is_empty()).await;
    assert_eq!(order.is()[0], 1);
    gate.open();
    join(tasks).await;
}

/// Law 193: two come back, and one of another key waits.
async fn return_makes_room_for_those_before_only(w: World) {
    two_come_back_to(&w, &[2, 1]).await;
    assert_eq!(w.ledger().closes_begun(), 1);
}

/// Law 193: it gets one place at a time, however long that takes.
async fn one_place_is_enough_for_a_key_with_several_callers(w: World) {
    two_come_back_to(&w, &[2, 2, 1]).await;
}

/// Laws 192 and 193: the worker of key 1 comes again before his connection has been recycled.
async fn worker_whose_connection_is_recycled_starves_no_other_key(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    let mut lent = pool.acquire(1).await.unwrap();
    let order = Order::default();
    let task = order.waiter(&w, &pool, 2, drop).await;
    for _ in 0..3 {
        lent.condition = Condition::Dirty;
        drop(lent);
        lent = pool.acquire(1).await.unwrap();
        order.0.lock().unwrap().push(1);
    }
    drop(lent);
    join([task]).await;
    assert_eq!(order.is(), [2, 1, 1, 1]);
}

/// Law 192.
async fn key_that_fails_fast_does_not_starve_another(w: World) {
    let pool = w.keyed_pool(|b| {
        b.max_total(1)
            .each(|b| b.connect_policy(ConnectPolicy::FailFast))
    });
    let held = pool.acquire(1).await.unwrap();
    pool.connects(1).always(err().after(w.ms(50)));
    let order = Order::default();
    let tasks = order.of_seven(&w, &pool, drop).await;
    held.discard();
    join(tasks).await;
    let order = order.is();
    let served = order.iter().position(|key| *key == 2).unwrap();
    // An attempt for the next one may have been under way.
    assert!((3..=4).contains(&served), "{order:?}");
}

/// Law 193: first come, first served, and one place at a time.
async fn hungry_keys_are_served_in_turn(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(3));
    let mut held = pool.acquire_many(1, 3).await;
    let first = pool.waiter(2).await;
    let third = pool.waiter(2).await;
    let second = pool.waiter(3).await;
    held.pop();
    let first = first.await.unwrap();
    assert_eq!((pool.waiting(2), pool.waiting(3)), (1, 1));
    held.pop();
    let second = second.await.unwrap();
    assert_eq!((pool.waiting(2), pool.waiting(3)), (1, 0));
    held.pop();
    drop((first, second, third.await.unwrap()));
}

/// Law 193: each of two who come at once gets the place of another idle connection.
async fn two_keys_take_the_places_of_two_others(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(2));
    drop(pool.acquire(1).await.unwrap());
    drop(pool.acquire(2).await.unwrap());
    let gate = Gate::new();
    w.closes().always(ok().at(&gate));
    let waiters = [pool.waiter(3).await, pool.waiter(4).await];
    w.until(|| w.closes().calls() == 2).await;
    gate.open();
    for waiter in waiters {
        drop(waiter.await.unwrap());
    }
}
