//! What the tests of other pools pin and no law here does: `docs/peers.md` has all of it.

use watertight::{
    AcquireError, CheckPolicy, Condition, Pool, PooledConnection, SyncPool, WeakPool,
};

use crate::support::{Scripted, World, err, join, laws};

/// Pinned by all peers, at compile time.
#[test]
fn handles_are_sent_shared_and_cloned_and_guards_sent() {
    fn handle<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    fn sent_value<T: Send>(_: &T) {}
    handle::<Pool<Scripted>>();
    handle::<SyncPool<Scripted>>();
    handle::<WeakPool<Scripted>>();
    sent::<PooledConnection<Scripted>>();
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b);
        let acquire = Pool::acquire(&pool);
        sent_value(&acquire);
        drop(acquire);
        runtime.settle();
    });
}

/// bb8 counts each of them, and calls it a time-out; deadpool and fast_pool give the error.
async fn dead_pool_counts_each_and_tells_the_cause(w: World) {
    let pool = w.pool(|b| b.max_size(3).check_policy(CheckPolicy::Always));
    drop(pool.acquire_many(3).await);
    w.checks().always(err());
    w.connects().always(err());
    let error = pool.acquire_timeout(w.ms(500)).await.unwrap_err();
    let cause = error.connect_error().expect("it was told why");
    assert!(cause.manager_error().is_some(), "{error:?}");
    w.until(|| pool.status().size == 0).await;
    assert_eq!(pool.statistics().closes.check_failed, 3);
    assert_eq!(w.checks().calls(), 3);
}

/// bb8's `test_broken_connections_dont_starve_pool`.
async fn connections_that_keep_breaking_starve_nobody(w: World) {
    let pool = w.pool(|b| b.max_size(5));
    // Each once: a task that comes again would set going what got stuck.
    let tasks = (0..10).map(|_| {
        let (pool, w2) = (pool.clone(), w.clone());
        w.spawn(async move {
            let mut conn = pool.acquire().await.unwrap();
            w2.sleep(10).await;
            conn.condition = Condition::Broken;
        })
    });
    join(tasks.collect::<Vec<_>>()).await;
    w.until(|| pool.statistics().closes.broken == 10).await;
    assert_eq!(pool.status().size, 0);
}

/// mobc closes them when the limit is set. Here it is for those that come back.
async fn lowered_max_idle_is_for_those_that_come_back(w: World) {
    let pool = w.pool(|b| b.max_size(3));
    drop(pool.acquire_many(3).await);
    pool.set_max_idle(1).unwrap();
    w.settle().await;
    assert_eq!(pool.status().idle, 3);
    drop(pool.acquire().await.unwrap());
    w.until(|| pool.status().size == 2).await;
    drop(pool.acquire_many(2).await);
    w.until(|| pool.status().size == 1).await;
    assert_eq!(pool.statistics().closes.idle, 2);
}

/// mobc lowers it, and fast_pool reports it as it is.
async fn max_idle_above_max_size_does_no_harm(w: World) {
    let pool = w.pool(|b| b.max_size(2).max_idle(5));
    drop(pool.acquire_many(2).await);
    let status = pool.status();
    assert_eq!((status.idle, status.size, status.max_size), (2, 2, 2));
}

/// mobc's `max_idle_*`: what counts is what is set in the end.
async fn setters_may_come_in_any_order(w: World) {
    // Above the `max_size` that there is unless it is set.
    for pool in [
        w.pool(|b| b.min_idle(20).max_size(30)),
        w.sibling().pool(|b| b.max_size(30).min_idle(20)),
    ] {
        pool.fill().await.unwrap();
        w.until(|| pool.status().idle == 20).await;
        assert_eq!(pool.status().max_size, 30);
    }
}

/// deadpool's `close_resize`.
async fn resize_of_a_closed_pool_brings_nothing_back(w: World) {
    let pool = w.pool(|b| b.min_idle(1).max_size(1));
    pool.fill().await.unwrap();
    pool.close().await;
    pool.resize(5);
    pool.set_min_idle(5_usize).unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Closed), "{error:?}");
    w.settle().await;
    assert_eq!(pool.status().size, 0);
    assert_eq!(w.connects().calls(), 1);
}

/// bb8's `test_add_*`.
async fn pool_that_cannot_connect_lends_what_it_was_given(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| b.max_size(2));
    for _ in 0..2 {
        pool.adopt(w.connection_from_elsewhere()).unwrap();
    }
    let refused = pool.adopt(w.connection_from_elsewhere());
    assert!(refused.is_err(), "there are but two places");
    let held = pool.acquire_many(2).await;
    assert!(pool.try_acquire().is_none());
    drop(held);
    assert_eq!(w.connects().calls(), 0);
}

laws! {
    every_mode:
        dead_pool_counts_each_and_tells_the_cause,
        connections_that_keep_breaking_starve_nobody,
        lowered_max_idle_is_for_those_that_come_back,
        max_idle_above_max_size_does_no_harm,
        setters_may_come_in_any_order,
        resize_of_a_closed_pool_brings_nothing_back,
        pool_that_cannot_connect_lends_what_it_was_given;
}
