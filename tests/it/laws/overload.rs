//! More work than there are connections.

use crate::support::{Gate, World, hang, laws, ok};

laws! {
    every_mode:
        queue_can_be_limited,
        those_for_whom_a_connection_is_made_do_not_count,
        nobody_waits_if_nobody_may;
}

/// Law 148.
async fn queue_can_be_limited(w: World) {
    let pool = w.pool(|b| b.max_size(1).max_waiters(2));
    let held = pool.acquire().await.unwrap();
    let first = w.waiter(&pool).await;
    let second = w.acquiring_within(&pool, 200);
    w.until(|| pool.status().waiting == 2).await;
    let watch = w.stopwatch();
    let error = pool.acquire().await.unwrap_err();
    watch.assert_at(0);
    assert!(error.is_queue_full(), "{error:?}");
    assert!(error.to_string().contains("max_waiters"));
    assert_eq!(pool.statistics().rejections.queue_full, 1);
    assert_eq!(pool.statistics().rejections.total(), 1);
    // One leaves, and the next is admitted.
    assert!(second.await.unwrap_err().is_timed_out());
    let third = w.waiter(&pool).await;
    drop(held);
    for waiter in [first, third] {
        drop(waiter.await.unwrap());
    }
}

/// Law 148, at the start.
async fn those_for_whom_a_connection_is_made_do_not_count(w: World) {
    let gate = Gate::new();
    w.connects().always(ok().at(&gate));
    let pool = w.pool(|b| b.max_size(3).max_waiters(1));
    let mut waiters = Vec::new();
    for _ in 0..4 {
        waiters.push(w.waiter(&pool).await);
    }
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    gate.open();
    for waiter in waiters {
        drop(waiter.await.unwrap());
    }
}

/// Laws 147 and 148.
async fn nobody_waits_if_nobody_may(w: World) {
    let pool = w.pool(|b| b.max_size(1).max_waiters(0));
    let held = pool.acquire().await.unwrap();
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    w.connects().next([hang()]);
    held.discard();
    w.until(|| pool.status().size == 0).await;
    let waiter = w.acquiring_within(&pool, 100);
    w.until(|| pool.status().connecting == 1).await;
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    assert!(waiter.await.unwrap_err().is_timed_out());
}
