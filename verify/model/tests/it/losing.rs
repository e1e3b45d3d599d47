//! A runtime that drops its tasks.

use watertight::{Condition, Pool};

use crate::support::{Maker, Script, World, block_on, explore, explore_crowd, held, queued};

#[test]
fn dirty_connection_does_not_outlive_the_keeper() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let mut guard = held(&pool);
        guard.condition = Condition::Dirty;
        world.thread(move || drop(guard));
        world.shut_runtime_down();
        world.settle();
        assert_eq!(pool.status().size, pool.status().idle, "a place is lost");
        world.close(pool);
    });
}

#[test]
fn release_ends_though_the_runtime_does() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let mut guard = held(&pool);
        guard.condition = Condition::Dirty;
        world.blocked(watertight::PooledConnection::release(guard));
        world.shut_runtime_down();
        world.settle();
        assert_eq!(pool.status().size, pool.status().idle, "a place is lost");
        world.close(pool);
    });
}

#[test]
fn waiters_connect_for_themselves_without_a_runtime() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.lose_tasks();
        for _ in 0..2 {
            let other = pool.clone();
            world.thread(move || drop(block_on(other.acquire()).expect("served")));
        }
        world.finish(pool, 1);
    });
}

#[test]
fn connect_lost_with_the_runtime_is_run_by_the_waiter() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.shut_runtime_down();
        world.finish(pool, 1);
    });
}

#[test]
fn attempt_of_a_cancelled_waiter_is_run_by_the_next() {
    explore(|world| {
        let script = Script {
            hanging_connects: 1,
            ..Script::default()
        };
        let pool = world.scripted_pool(1, script, |pool| pool);
        world.lose_tasks();
        // It runs the attempt that hangs.
        let first = queued(&pool);
        let other = pool.clone();
        world.blocked(async move { drop(other.acquire().await.expect("served")) });
        world.thread(move || drop(first));
        world.finish(pool, 1);
    });
}

#[test]
fn lost_attempts_are_all_run_by_those_who_wait() {
    explore_crowd(|world| {
        let script = Script {
            hanging_connects: 1,
            ..Script::default()
        };
        let pool = world.scripted_pool(2, script, |pool| pool);
        for waiter in [queued(&pool), queued(&pool)] {
            world.blocked(async move { drop(waiter.await.expect("served")) });
        }
        // The attempts of both are lost, and one of those that replace them hangs.
        world.shut_runtime_down();
        world.settle();
        assert_eq!(pool.status().waiting, 0);
        world.close(pool);
    });
}

#[test]
fn waiter_keeps_the_schedule_when_the_keeper_is_gone() {
    explore_crowd(|world| {
        let script = Script {
            failing_connects: 1,
            ..Script::default()
        };
        let pool = world.scripted_pool(1, script, |pool| pool);
        let waiter = queued(&pool);
        world.let_time_pass();
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.shut_runtime_down();
        world.finish(pool, 1);
    });
}

#[test]
fn check_lost_with_the_runtime_gives_its_place_back() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool.check_policy(watertight::CheckPolicy::Always));
        world.warm(&pool, 1);
        let waiter = queued(&pool);
        world.blocked(async move { drop(waiter.await.expect("served")) });
        world.shut_runtime_down();
        world.finish(pool, 1);
    });
}

#[test]
fn pool_ends_though_its_runtime_ends_first() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        world.warm(&pool, 1);
        let guard = held(&pool);
        world.thread(move || drop(guard));
        world.thread(move || drop(pool));
        world.shut_runtime_down();
        world.over();
    });
}

/// A pool that nobody fills but who asks for it, and whose first attempt hangs.
fn cold_pool(world: &World, places: usize) -> Pool<Maker> {
    let script = Script {
        hanging_connects: 1,
        ..Script::default()
    };
    world.lose_tasks();
    world.scripted_pool(places, script, |pool| pool.min_idle(1))
}

#[test]
fn fill_that_connects_hears_that_the_pool_closes() {
    explore(|world| {
        let pool = cold_pool(world, 1);
        let (filling, closing) = (pool.clone(), pool.clone());
        world.blocked(async move {
            let told = filling.fill().await;
            assert!(told.is_err_and(|error| error.is_closed()));
        });
        world.thread(move || block_on(closing.close()));
        world.close(pool);
    });
}

#[test]
fn fill_that_connects_hears_that_the_pool_is_warm() {
    explore(|world| {
        let pool = cold_pool(world, 2);
        let (filling, adopting, conn) = (pool.clone(), pool.clone(), world.conn());
        world.blocked(async move { filling.fill().await.expect("it is warm") });
        world.thread(move || assert!(adopting.adopt(conn).is_ok()));
        world.finish(pool, 1);
    });
}
