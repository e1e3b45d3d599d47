//! What is leaked on purpose: a guard or an acquire is forgotten, and only its place is lost.

use std::mem;
use std::task::{Context, Waker};
use std::time::Duration;

use super::tally::{Tallied, tallied};
use super::{Site, Stopwatch, faults};
use watertight::Pool;

/// A pool of three. It is not told to close politely, for not all of it comes back.
fn pool_of_three(site: &Site) -> (std::sync::Arc<super::tally::Tally>, Pool<Tallied>) {
    let (tally, builder) = tallied();
    let pool = builder.max_size(3).runtime(site.runtime()).build();
    (tally, pool.unwrap())
}

/// So many can be had, and no more.
async fn lends_exactly(site: &Site, pool: &Pool<Tallied>, n: usize) {
    let mut held = Vec::new();
    for _ in 0..n {
        held.push(site.acquire(pool).await.unwrap());
    }
    let late = site.acquire_timeout(pool, Duration::from_millis(20)).await;
    assert!(late.unwrap_err().is_timed_out());
    assert_eq!(pool.status().waiting, 0);
}

/// L1 with a leak: the place stays taken, the others go on, and closing says how many it misses.
async fn forgotten_guard_loses_its_place_and_no_other(site: Site) {
    let (tally, pool) = pool_of_three(&site);
    mem::forget(site.acquire(&pool).await.unwrap());
    lends_exactly(&site, &pool, 2).await;
    for _ in 0..100 {
        drop(site.acquire(&pool).await.unwrap());
    }
    let status = pool.status();
    assert_eq!((status.size, status.in_use), (3, 1), "{status:?}");
    // One more place makes up for the one that is lost.
    pool.resize(4);
    lends_exactly(&site, &pool, 3).await;

    let grace = Duration::from_millis(50);
    let watch = Stopwatch::start();
    let missing = match site.blocking {
        true => pool.sync().close_within(grace),
        false => pool.close_within(grace).await,
    };
    watch.assert_at(grace);
    assert_eq!(missing, 1);
    site.until(|| tally.live() == 1).await;
    assert_eq!(pool.statistics().closes.shutdown, 3);
}

/// An acquire that is forgotten before its first poll has nothing to lose.
async fn forgotten_unpolled_acquire_loses_nothing(site: Site) {
    let (tally, pool) = pool_of_three(&site);
    mem::forget(Box::pin(pool.acquire()));
    lends_exactly(&site, &pool, 3).await;
    assert_eq!(pool.close_within(Duration::from_secs(5)).await, 0);
    assert_eq!((tally.made(), tally.live()), (3, 0));
}

/// An acquire that is forgotten in the queue stays there, and takes one connection when its turn
/// comes. Its deadline passes all the same, so it takes none if that is sooner.
async fn forgotten_waiter_takes_one_place_at_most(site: Site) {
    let (tally, pool) = pool_of_three(&site);
    let mut cx = Context::from_waker(Waker::noop());
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(site.acquire(&pool).await.unwrap());
    }
    // One whose deadline comes first, and one who will be served.
    let deadline = Duration::from_millis(20);
    let late = pool.clone();
    let mut late = Box::pin(async move { late.acquire_timeout(deadline).await });
    assert!(late.as_mut().poll(&mut cx).is_pending());
    mem::forget(late);
    site.sleep(deadline).await;
    let patient = pool.clone();
    let mut patient = Box::pin(async move { patient.acquire().await });
    assert!(patient.as_mut().poll(&mut cx).is_pending());
    mem::forget(patient);

    drop(held);
    lends_exactly(&site, &pool, 2).await;
    let status = pool.status();
    assert_eq!((status.in_use, status.waiting), (1, 0), "{status:?}");
    assert_eq!(
        pool.statistics().timeouts.wait,
        2,
        "his and that of the check above"
    );
    for _ in 0..100 {
        drop(site.acquire(&pool).await.unwrap());
    }
    let missing = match site.blocking {
        true => pool.sync().close_within(Duration::from_millis(50)),
        false => pool.close_within(Duration::from_millis(50)).await,
    };
    assert_eq!(missing, 1);
    site.until(|| tally.live() == 1).await;
}

faults!(
    forgotten_guard_loses_its_place_and_no_other,
    forgotten_unpolled_acquire_loses_nothing,
    forgotten_waiter_takes_one_place_at_most,
);
