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
