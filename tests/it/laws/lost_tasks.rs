//! A runtime that drops the pool's tasks, or dies.

use watertight::Timer;

use crate::support::{World, hang, ok};

/// Guarantee 11.
#[test]
fn connect_that_the_runtime_dropped_is_run_by_its_caller() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        runtime.drop_spawned(true);
        let conn = runtime.block_on(pool.acquire()).unwrap();
        drop(conn);
        assert_eq!(w.connects().calls(), 1);
        assert_eq!(pool.status().idle, 1);
    });
}

/// Guarantee 11.
#[test]
fn waiters_of_a_dead_runtime_serve_themselves() {
    World::by_hand(|w, runtime| {
        w.connects().next([hang(), ok().after(w.ms(100))]);
        let pool = w.pool(|b| b.max_size(1));
        runtime.block_on(async {
            let waiter = pool.acquire();
            let kill = async {
                w.until(|| w.connects().calls() == 1).await;
                runtime.kill();
                std::future::pending().await
            };
            let conn = futures_lite::future::or(waiter, kill).await;
            drop(conn.unwrap());
        });
        assert_eq!(runtime.elapsed(), w.ms(100));
        assert_eq!(w.connects().calls(), 2);
    });
}

/// Guarantee 11.
#[test]
fn guard_outlives_the_runtime() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(2));
        let held = runtime.block_on(pool.acquire_many(2));
        runtime.kill();
        drop(held);
        assert_eq!(pool.status().idle, 2);
        let conn = runtime.block_on(pool.acquire()).unwrap();
        conn.discard();
        assert_eq!(pool.status().size, 1);
    });
}

/// Law 77 and guarantee 11: nobody keeps time, and yet none is lent that is too old.
#[test]
fn expired_connection_is_not_lent_on_a_dead_runtime() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1).max_lifetime(w.ms(1000)));
        drop(runtime.block_on(pool.acquire()).unwrap());
        runtime.kill();
        runtime.advance(w.ms(1000));
        let conn = runtime.block_on(pool.acquire()).unwrap();
        assert_eq!(conn.id(), 1);
        assert!(runtime.now() > conn.metrics().created_at() - w.ms(1));
    });
}
