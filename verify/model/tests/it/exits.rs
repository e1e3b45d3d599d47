//! Every way out of the pool makes room for the next.

use watertight::{Condition, PooledConnection};

use crate::support::{Script, explore, held, queued};

#[test]
fn broken_connection_makes_room_for_a_waiter() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let mut guard = held(&pool);
        guard.condition = Condition::Broken;
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn discarded_connection_makes_room_for_a_newcomer() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let newcomer = pool.clone();
        world.blocked(async move { drop(newcomer.acquire().await.expect("served")) });
        world.thread(move || PooledConnection::discard(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn detached_connection_makes_room_for_a_waiter() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        let ledger = std::sync::Arc::clone(&world.ledger);
        world.thread(move || {
            ledger.detached(guard.id());
            drop(PooledConnection::detach(guard));
        });
        world.finish(pool, 1);
    });
}

#[test]
fn recycled_connection_serves_a_waiter() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let mut guard = held(&pool);
        guard.condition = Condition::Dirty;
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.thread(move || drop(guard));
        world.finish(pool, 1);
    });
}

#[test]
fn full_return_queue_loses_no_place() {
    explore(|world| {
        let pool = world.pool(2, |pool| pool.return_queue(1));
        world.warm(&pool, 2);
        for _ in 0..2 {
            let mut guard = held(&pool);
            guard.condition = Condition::Dirty;
            world.thread(move || drop(guard));
        }
        world.settle();
        assert_eq!(pool.status().size, pool.status().idle);
        world.close(pool);
    });
}

#[test]
fn more_places_serve_a_waiter() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.ledger.set_limit(2);
        let growing = pool.clone();
        world.thread(move || growing.resize(2));
        world.settle();
        drop(guard);
        world.finish(pool, 2);
    });
}

#[test]
fn shrinking_pool_closes_what_comes_back() {
    explore(|world| {
        let pool = world.pool(2, |pool| pool);
        world.warm(&pool, 2);
        let guards = [held(&pool), held(&pool)];
        for guard in guards {
            world.thread(move || drop(guard));
        }
        let shrinking = pool.clone();
        world.thread(move || shrinking.resize(1));
        world.finish(pool, 1);
    });
}

#[test]
fn failed_attempt_is_followed_by_another() {
    explore(|world| {
        let script = Script {
            failing_connects: 1,
            ..Script::default()
        };
        let pool = world.scripted_pool(1, script, |pool| pool);
        let waiter = queued(&pool);
        world.let_time_pass();
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.finish(pool, 1);
    });
}

#[test]
fn fill_hears_of_a_failed_attempt() {
    explore(|world| {
        let script = Script {
            failing_connects: 1,
            ..Script::default()
        };
        let pool = world.scripted_pool(1, script, |pool| pool.min_idle(1));
        let filling = pool.clone();
        world.let_time_pass();
        world.blocked(async move {
            // Which of the two depends on whether the attempt failed before the call.
            let _ = filling.fill().await;
        });
        world.finish(pool, 1);
    });
}

#[test]
fn fill_ends_when_the_pool_is_warm() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool.min_idle(1));
        let filling = pool.clone();
        world.blocked(async move { filling.fill().await.expect("it can be reached") });
        world.finish(pool, 1);
    });
}
