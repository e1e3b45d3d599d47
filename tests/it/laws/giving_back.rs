//! Returning, recycling, discarding, detaching.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use watertight::Condition;

use crate::support::{At, World, err, hang, laws, ok, panics};

laws! {
    every_mode:
        recycling_clears_what_the_last_holder_left,
        failed_recycling_closes_the_connection,
        hung_recycling_holds_up_nobody,
        discarded_connection_is_closed_once_and_replaced,
        close_that_goes_wrong_gives_its_place_back,
        detached_connection_is_the_pools_no_more,
        broken_connection_is_never_lent_again,
        panicking_inspection_costs_one_connection,
        panicking_holder_loses_its_connection,
        holder_that_dies_serves_the_waiter,
        connection_is_given_back_on_another_thread,
        release_resolves_when_recycled,
        release_resolves_when_closed,
        adopted_connection_serves_the_waiter,
        retain_closes_what_it_rejects,
        retain_never_sees_a_lent_one;
    tasks_only: aborted_holder_serves_the_waiter;
}

/// Law 104.
async fn recycling_clears_what_the_last_holder_left(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    for _ in 0..3 {
        let mut conn = pool.acquire().await.unwrap();
        assert_eq!(conn.session, "");
        conn.session.push_str("begin");
        conn.condition = Condition::Dirty;
    }
    assert!(w.recycles().calls() >= 2);
    assert_eq!(w.connects().calls(), 1);
}

/// Law 105.
async fn failed_recycling_closes_the_connection(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let mut conn = pool.acquire().await.unwrap();
    w.recycles().next([err()]);
    conn.condition = Condition::Dirty;
    drop(conn);
    w.until(|| pool.status().size == 0).await;
    assert_eq!(w.ledger().closes_of(0), 1);
    assert_eq!(pool.statistics().closes.recycle_failed, 1);
}

/// Law 106.
async fn hung_recycling_holds_up_nobody(w: World) {
    let pool = w.pool(|b| b.max_size(2).recycle_timeout(w.ms(500)));
    let mut held = pool.acquire_many(2).await;
    w.recycles().next([hang()]);
    let watch = w.stopwatch();
    held[0].condition = Condition::Dirty;
    let hung = held[0].id();
    drop(held);
    drop(pool.try_acquire().unwrap());
    if w.virtual_time().is_some() {
        watch.assert_at(0);
    }
    w.sleep(500).await;
    w.until(|| pool.status().size == 1).await;
    watch.assert_at(500);
    assert_eq!(w.ledger().place(hung), At::Gone);
    assert_eq!(pool.statistics().closes.recycle_failed, 1);
}

/// Laws 109 and 110.
async fn discarded_connection_is_closed_once_and_replaced(w: World) {
    let pool = w.pool(|b| b.max_size(2).min_idle(1));
    let held = pool.acquire_many(2).await;
    for conn in held {
        conn.discard();
    }
    w.until(|| pool.status().idle == 1).await;
    w.until(|| pool.statistics().closes.total() == 2).await;
    assert_eq!(w.ledger().closes_begun(), 2);
    assert_eq!(pool.statistics().closes.discarded, 2);
}

/// Law 111.
async fn close_that_goes_wrong_gives_its_place_back(w: World) {
    let pool = w.pool(|b| b.max_size(1).close_timeout(w.ms(300)));
    w.closes().next([err(), panics(), hang()]);
    for id in 0..3 {
        let conn = pool.acquire().await.unwrap();
        assert_eq!(conn.id(), id);
        conn.discard();
    }
    assert_eq!(pool.acquire().await.unwrap().id(), 3);
    assert_eq!(w.ledger().count().closed, 3);
}

/// Law 112.
async fn detached_connection_is_the_pools_no_more(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let own = pool.acquire().await.unwrap().detach();
    assert_eq!(pool.status().size, 0);
    let held = pool.acquire().await.unwrap();
    assert_eq!(held.id(), 1);
    let before = pool.status();
    drop(own);
    assert_eq!(pool.status().size, before.size);
    assert_eq!(w.ledger().closes_begun(), 0);
    assert_eq!(pool.statistics().closes.detached, 1);
}

/// Law 113.
async fn broken_connection_is_never_lent_again(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let mut conn = pool.acquire().await.unwrap();
    conn.condition = Condition::Broken;
    drop(conn);
    assert!(pool.try_acquire().is_none());
    assert_eq!(pool.acquire().await.unwrap().id(), 1);
    assert_eq!(pool.statistics().closes.broken, 1);
}

/// Law 113 and guarantee 12, when nobody knows.
async fn panicking_inspection_costs_one_connection(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    w.inspects().next([panics()]);
    drop(pool.acquire().await.unwrap());
    assert_eq!(pool.acquire().await.unwrap().id(), 1);
    assert_eq!(pool.statistics().closes.broken, 1);
}

/// Law 114.
async fn panicking_holder_loses_its_connection(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let conn = pool.acquire().await.unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _conn = conn;
        resume_unwind(Box::new("in the middle of a transaction"));
    }));
    assert!(panic.is_err());
    assert_eq!(pool.acquire().await.unwrap().id(), 1);
    assert_eq!(pool.statistics().closes.discarded, 1);
}

/// Law 115.
async fn holder_that_dies_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let conn = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    let watch = w.stopwatch();
    let death = std::thread::spawn(move || {
        let _conn = conn;
        resume_unwind(Box::new("out of luck"));
    });
    assert!(death.join().is_err());
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(0);
}

/// Law 115.
async fn aborted_holder_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let holder = {
        let pool = pool.clone();
        w.spawn(async move {
            let _conn = pool.acquire().await.unwrap();
            std::future::pending::<()>().await;
        })
    };
    w.until(|| pool.status().in_use == 1).await;
    let waiter = w.waiter(&pool).await;
    let watch = w.stopwatch();
    holder.abort().await;
    assert_eq!(waiter.await.unwrap().id(), 0);
    watch.assert_at(0);
}

/// Law 117.
async fn connection_is_given_back_on_another_thread(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let conn = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    let watch = w.stopwatch();
    std::thread::spawn(move || drop(conn)).join().unwrap();
    assert_eq!(waiter.await.unwrap().id(), 0);
    watch.assert_at(0);
    assert_eq!(pool.status().idle, 1);
}

/// `release`.
async fn release_resolves_when_recycled(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let mut conn = pool.acquire().await.unwrap();
    w.recycles().next([ok().after(w.ms(300))]);
    conn.condition = Condition::Dirty;
    let watch = w.stopwatch();
    pool.release(conn).await;
    watch.assert_at(300);
    assert_eq!(pool.status().idle, 1);
}

/// `release`, of one that is not kept.
async fn release_resolves_when_closed(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let mut conn = pool.acquire().await.unwrap();
    w.closes().next([ok().after(w.ms(300))]);
    conn.condition = Condition::Broken;
    let watch = w.stopwatch();
    pool.release(conn).await;
    watch.assert_at(300);
    assert_eq!(w.ledger().place(0), At::Gone);
}

/// `adopt`.
async fn adopted_connection_serves_the_waiter(w: World) {
    w.connects().next([hang()]);
    let pool = w.pool(|b| b.max_size(2));
    let waiter = w.waiter(&pool).await;
    let own = w.connection_from_elsewhere();
    let id = own.id();
    pool.adopt(own).unwrap();
    assert_eq!(waiter.await.unwrap().id(), id);
}

/// Law 125.
async fn retain_closes_what_it_rejects(w: World) {
    let pool = w.pool(|b| b.max_size(4));
    drop(pool.acquire_many(4).await);
    let removed = pool.retain(|conn, metrics| {
        assert!(metrics.uses() > 0);
        conn.id() % 2 == 0
    });
    assert_eq!(removed, 2);
    w.until(|| pool.statistics().closes.total() == 2).await;
    assert_eq!(pool.status().idle, 2);
    assert_eq!(pool.statistics().closes.discarded, 2);
    for id in 0..4 {
        assert_eq!(w.ledger().place(id) == At::Gone, id % 2 == 1, "{id}");
    }
}

/// Law 125.
async fn retain_never_sees_a_lent_one(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let mut held = pool.acquire_many(2).await;
    held.pop();
    let lent = held[0].id();
    let removed = pool.retain(|conn, _| {
        assert_ne!(conn.id(), lent);
        false
    });
    assert_eq!(removed, 1);
    assert_eq!(w.ledger().place(lent), At::Holder);
    drop(held);
    assert_eq!(pool.acquire().await.unwrap().id(), lent);
}
