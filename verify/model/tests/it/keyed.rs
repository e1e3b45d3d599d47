//! Places that move from one key to another. Under shuttle alone: the maps of the keyed pool are
//! walked in another order every time, and loom wants the same again.

use std::time::Duration;

use watertight::{BoxFuture, KeyedPool};

use crate::support::{Acquired, KeyedPools, Script, begin, block_on, explore};

const MOMENT: Duration = Duration::from_millis(1);
/// Longer than the schedule of attempts waits after the first that fails.
const LONG: Duration = Duration::from_secs(60);

/// A call for a connection of that key's that has its place in the queue.
fn queued(pool: &KeyedPools, key: char) -> BoxFuture<Acquired> {
    let pool = KeyedPool::clone(pool);
    begin(async move { pool.acquire(&key).await })
}

#[test]
fn return_of_one_key_makes_room_for_another() {
    explore(|world| {
        let pool = world.keyed_pool(1, Script::default());
        let caller = pool.clone();
        let first = world.eventually(async move { caller.acquire(&'a').await });
        let guard = first.expect("served");
        let waiter = queued(&pool, 'b');
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.thread(move || drop(guard));
        world.finish_keyed(pool, &['a', 'b']);
    });
}

#[test]
fn idle_connection_that_is_snatched_away_is_not_taken_for_the_last() {
    explore(|world| {
        let pool = world.keyed_pool(2, Script::default());
        for key in ['a', 'b'] {
            let caller = pool.clone();
            let idle = world.eventually(async move { caller.acquire(&key).await });
            drop(idle.expect("served"));
        }
        // That of 'a' has been idle for longer, and is lent while a place is looked for.
        let (caller, other) = (pool.clone(), pool.clone());
        let (end, served) = parking::pair();
        world.blocked(async move {
            let guard = caller.acquire(&'a').await.expect("served");
            end.park();
            drop(guard);
        });
        world.blocked(async move {
            drop(other.acquire(&'c').await.expect("served"));
            served.unpark();
        });
        world.finish_keyed(pool, &['a', 'b', 'c']);
    });
}

#[test]
fn two_keys_on_two_threads_share_one_place() {
    explore(|world| {
        let pool = world.keyed_pool(1, Script::default());
        for key in ['a', 'b'] {
            let pool = pool.clone();
            world.thread(move || drop(block_on(pool.acquire(&key)).expect("served")));
        }
        world.finish_keyed(pool, &['a', 'b']);
    });
}

#[test]
fn place_that_was_meant_for_a_cancelled_waiter_of_another_key_is_of_use() {
    explore(|world| {
        let pool = world.keyed_pool(1, Script::default());
        let caller = pool.clone();
        let first = world.eventually(async move { caller.acquire(&'a').await });
        let guard = first.expect("served");
        let waiter = queued(&pool, 'b');
        let next = queued(&pool, 'c');
        world.thread(move || drop(waiter));
        world.thread(move || drop(guard));
        world.blocked(async move { drop(next.await.expect("served")) });
        world.finish_keyed(pool, &['a', 'b', 'c']);
    });
}

#[test]
fn attempt_that_is_lost_with_its_place_gets_another_place() {
    explore(|world| {
        let script = Script {
            failing_connects: 1,
            hanging_connects: 1,
            ..Script::default()
        };
        let pool = world.keyed_pool(1, script);
        let first = queued(&pool, 'a');
        world.settle();
        world.clock.advance(LONG);
        // The second attempt hangs. Another key has been waiting for longer than who waits for this one
        // in the end, so the place is to go there when it comes free.
        world.settle();
        world.clock.advance(MOMENT);
        let other = queued(&pool, 'b');
        world.clock.advance(MOMENT);
        let waiter = queued(&pool, 'a');
        drop(first);
        world.blocked(async move { drop(other.await.expect("served")) });
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.shut_runtime_down();
        world.finish_keyed(pool, &['a', 'b']);
    });
}

#[test]
fn two_that_come_back_at_once_make_room_for_one_of_another_key() {
    explore(|world| {
        let pool = world.keyed_pool(2, Script::default());
        let guards = [(), ()].map(|()| {
            let caller = pool.clone();
            let guard = world.eventually(async move { caller.acquire(&'a').await });
            guard.expect("served")
        });
        let other = queued(&pool, 'b');
        world.clock.advance(MOMENT);
        let waiter = queued(&pool, 'a');
        for waiting in [other, waiter] {
            world.blocked(async move { drop(waiting.await.expect("served")) });
        }
        for guard in guards {
            world.thread(move || drop(guard));
        }
        world.settle();
        let closes = pool.statistics(&'a').expect("one is idle").closes;
        assert_eq!(closes.resize, 1, "{pool:?}");
        world.finish_keyed(pool, &['a', 'b']);
    });
}
