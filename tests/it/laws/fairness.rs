//! Who is next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_lite::future::{poll_once, yield_now};
use watertight::{Backoff, CheckPolicy, Condition, ConnectPolicy, IdleOrder};

use crate::support::{World, err, join, laws, panics};

laws! {
    every_mode:
        waiters_are_served_in_the_order_in_which_they_came,
        failing_connects_hold_nobody_beyond_its_deadline,
        failing_fast_answers_everybody,
        discard_serves_the_waiters,
        broken_return_serves_the_waiter,
        failed_recycling_serves_the_waiter,
        failed_check_of_a_return_serves_the_waiter,
        detached_connection_serves_the_waiter,
        expired_return_serves_the_waiter,
        used_up_return_serves_the_waiter,
        last_one_back_is_the_first_one_out,
        first_one_back_is_the_first_one_out;
    tasks_only: newcomer_never_overtakes;
    // What happens between two polls can only be counted where nothing runs in parallel.
    virtual_only: newcomer_is_served_among_hot_loops;
}

/// Law 45 and guarantee 3.
async fn waiters_are_served_in_the_order_in_which_they_came(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for number in 0..20 {
        let waiting = &pool;
        let (pool, order) = (pool.clone(), Arc::clone(&order));
        waiters.push(w.spawn(async move {
            let _conn = pool.acquire().await.unwrap();
            order.lock().unwrap().push(number);
        }));
        w.until(|| waiting.status().waiting == number + 1).await;
    }
    drop(held);
    join(waiters).await;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

/// Law 46 and guarantee 3.
async fn newcomer_never_overtakes(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let mut first = Box::pin(pool.acquire());
    assert!(poll_once(&mut first).await.is_none());
    drop(held);
    assert!(pool.try_acquire().is_none());
    let mut newcomer = Box::pin(pool.acquire());
    assert!(poll_once(&mut newcomer).await.is_none());
    let conn = poll_once(&mut first)
        .await
        .expect("it is its turn")
        .unwrap();
    drop(conn);
    drop(newcomer.await.unwrap());
}

/// Law 49.
async fn failing_connects_hold_nobody_beyond_its_deadline(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| b.max_size(1).connect_policy(retry(&w)));
    let watch = w.stopwatch();
    let callers = [
        w.acquiring_within(&pool, 500),
        w.acquiring_within(&pool, 500),
    ];
    for result in join(callers).await {
        let error = result.unwrap_err();
        assert!(error.is_timed_out() && error.connect_error().is_some());
    }
    watch.assert_at(500);
}

fn retry(w: &World) -> ConnectPolicy {
    ConnectPolicy::Retry(Backoff::new(w.ms(20), w.ms(160)))
}

/// Laws 38 and 49.
async fn failing_fast_answers_everybody(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| b.max_size(1).connect_policy(ConnectPolicy::FailFast));
    let watch = w.stopwatch();
    let callers = [w.acquiring(&pool), w.acquiring(&pool)];
    for result in join(callers).await {
        assert!(!result.unwrap_err().is_timed_out());
    }
    watch.assert_at(0);
    assert_eq!(w.connects().calls(), 2);
    assert_eq!(pool.status().size, 0);
}

/// Law 51.
async fn discard_serves_the_waiters(w: World) {
    let pool = w.pool(|b| b.max_size(1).acquire_timeout(None));
    let held = pool.acquire().await.unwrap();
    let mut waiters = Vec::new();
    for _ in 0..5 {
        waiters.push(w.waiter(&pool).await);
    }
    let watch = w.stopwatch();
    held.discard();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().id(), 1);
    }
    watch.assert_at(0);
    assert_eq!(w.connects().calls(), 2);
}

/// Law 52.
async fn broken_return_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let mut held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    let watch = w.stopwatch();
    held.condition = Condition::Broken;
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(0);
}

/// Law 52, for both ways in which recycling fails at once.
async fn failed_recycling_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let watch = w.stopwatch();
    w.recycles().next([err(), panics()]);
    for id in 0..2 {
        let mut held = pool.acquire().await.unwrap();
        assert_eq!(held.id(), id);
        let waiter = w.waiter(&pool).await;
        held.condition = Condition::Dirty;
        drop(held);
        assert_eq!(waiter.await.unwrap().id(), id + 1);
    }
    watch.assert_at(0);
    assert_eq!(pool.statistics().closes.recycle_failed, 2);
}

/// Law 52.
async fn failed_check_of_a_return_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Always));
    let held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    w.checks().next([err()]);
    let watch = w.stopwatch();
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(0);
    assert_eq!(w.checks().calls(), 1);
}

/// Laws 52 and 112.
async fn detached_connection_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    let watch = w.stopwatch();
    let own = held.detach();
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(0);
    drop(own);
}

/// Law 54.
async fn expired_return_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1).max_lifetime(w.ms(100)).lifetime_jitter(0.0));
    let held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    w.sleep(150).await;
    let watch = w.stopwatch();
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(0);
    assert!(pool.statistics().closes.lifetime >= 1);
}

/// As law 54, for a connection that has been lent as often as it may be.
async fn used_up_return_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1).max_uses(2));
    drop(pool.acquire().await.unwrap());
    let held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    let watch = w.stopwatch();
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(0);
    assert_eq!(pool.statistics().closes.uses, 1);
}

/// Law 55.
async fn newcomer_is_served_among_hot_loops(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let over = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = (0..50)
        .map(|_| {
            let (pool, over) = (pool.clone(), Arc::clone(&over));
            w.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let _conn = pool.acquire().await.unwrap();
                    yield_now().await;
                }
            })
        })
        .collect();
    let mut most = 0;
    for _ in 0..100 {
        yield_now().await;
        let mut newcomer = Box::pin(pool.acquire());
        let before_it = pool.status().waiting as u64;
        let lent = pool.statistics().acquires;
        let conn = match poll_once(&mut newcomer).await {
            Some(conn) => conn,
            None => newcomer.await,
        };
        drop(conn.unwrap());
        let hand_offs = pool.statistics().acquires - lent;
        // One may have been handed over before and not been seen yet.
        assert!(hand_offs <= before_it + 2, "{hand_offs} after {before_it}");
        most = most.max(before_it);
    }
    assert!(most > 25, "there were never more than {most} before it");
    over.store(true, Ordering::Relaxed);
    join(loops).await;
}

/// Law 58.
async fn last_one_back_is_the_first_one_out(w: World) {
    assert_eq!(order_of_loans(&w, IdleOrder::Lifo).await, [2, 1, 0]);
}

/// Law 58.
async fn first_one_back_is_the_first_one_out(w: World) {
    assert_eq!(order_of_loans(&w, IdleOrder::Fifo).await, [0, 1, 2]);
}

/// Gives 0, 1 and 2 back in this order and sees in which order they are lent again.
async fn order_of_loans(w: &World, order: IdleOrder) -> Vec<usize> {
    let pool = w.pool(|b| b.idle_order(order).check_policy(CheckPolicy::Never));
    let mut held = pool.acquire_many(3).await;
    held.sort_by_key(|conn| conn.id());
    held.into_iter().for_each(drop);
    let again = pool.acquire_many(3).await;
    again.iter().map(|conn| conn.id()).collect()
}
