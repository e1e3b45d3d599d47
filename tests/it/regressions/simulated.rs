//! Schedules that the simulator found, or what it was about to learn.

use watertight::{Backoff, CheckPolicy, Condition, ConnectPolicy};

use super::{SECOND, poll};
use crate::support::{World, err, hang, ok};

/// A fill counts on the attempt that a waiter is to run whose task was lost,
/// and is told when that waiter goes away instead.
#[test]
fn fill_is_told_when_the_waiter_that_it_counted_on_goes_away() {
    World::by_hand(|w, runtime| {
        w.connects().next([hang()]);
        let pool = w.pool(|b| b.max_size(1).min_idle(1));
        let mut waiter = Box::pin(pool.acquire());
        assert!(poll(waiter.as_mut()).is_pending());
        runtime.settle();
        runtime.kill();
        let mut fill = Box::pin(pool.fill());
        let gone = async {
            runtime.sleep(SECOND).await;
            drop(waiter);
        };
        let in_time = async {
            runtime.sleep(2 * SECOND).await;
            panic!("the fill is not told");
        };
        runtime.block_on(async {
            let filled = futures_lite::future::or(in_time, &mut fill);
            futures_lite::future::zip(filled, gone).await.0.unwrap();
        });
        assert_eq!(pool.status().idle, 1);
    });
}

/// Somebody waits for a check while another idle connection is due to be checked in the background,
/// which has to wait: the keeper sleeps meanwhile.
#[test]
fn keeper_sleeps_while_background_checks_must_wait() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| {
            b.max_size(2)
                .check_policy(CheckPolicy::Always)
                .keepalive(SECOND / 10)
        });
        drop(runtime.block_on(pool.acquire_many(2)));
        w.checks().next([ok().after(SECOND / 5)]);
        let mut waiter = Box::pin(pool.acquire());
        assert!(poll(waiter.as_mut()).is_pending());
        runtime.advance(SECOND / 8);
        assert_eq!(w.checks().calls(), 1, "those who wait come first");
        drop(runtime.block_on(waiter).unwrap());
        runtime.settle();
        assert_eq!(w.checks().calls(), 2, "what was due is made up for");
    });
}

/// What was in use last is not idle after its recycling, but closed.
#[test]
fn pause_does_not_wait_for_the_close_of_what_comes_back() {
    World::by_hand(|w, runtime| {
        w.recycles().next([ok().after(SECOND)]);
        w.closes().next([ok().after(10 * SECOND)]);
        let pool = w.pool(|b| b.max_size(1).close_timeout(None));
        let mut conn = runtime.block_on(pool.acquire()).unwrap();
        conn.condition = Condition::Dirty;
        drop(conn);
        let start = runtime.elapsed();
        let pausing = pool.pause();
        pool.reset();
        runtime.block_on(pausing);
        assert_eq!(runtime.elapsed() - start, SECOND);
    });
}

/// A connect under way is of before both resets, and the second is gentle.
#[test]
fn connect_under_way_does_not_survive_a_reset_for_the_sake_of_a_later_one() {
    World::by_hand(|w, runtime| {
        w.connects().next([ok().after(SECOND)]);
        let pool = w.pool(|b| b.max_size(1));
        let mut waiter = Box::pin(pool.acquire());
        assert!(poll(waiter.as_mut()).is_pending());
        runtime.settle();
        pool.reset();
        pool.reset_over(3600 * SECOND);
        assert_eq!(runtime.block_on(waiter).unwrap().id(), 1);
        assert_eq!(pool.statistics().closes.reset, 1);
    });
}

/// The first reset would have some go sooner than the second, which ends first.
#[test]
fn what_goes_by_two_resets_is_not_said_to_go_of_age() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(50).max_lifetime(None).idle_timeout(None));
        drop(runtime.block_on(pool.acquire_many(50)));
        pool.reset_over(60 * SECOND);
        runtime.advance(30 * SECOND);
        pool.reset_over(10 * SECOND);
        runtime.advance(10 * SECOND);
        let closes = pool.statistics().closes;
        assert_eq!((closes.reset, closes.lifetime), (50, 0));
    });
}

/// The last place is taken by a connection that was made elsewhere, and goes to somebody who waits.
#[test]
fn fill_is_told_when_an_adopted_connection_takes_the_last_place() {
    World::by_hand(|w, runtime| {
        w.connects().next([err()]);
        let pool = w.pool(|b| {
            b.max_size(1)
                .min_idle(1)
                .connect_policy(ConnectPolicy::Retry(Backoff::new(60 * SECOND, 60 * SECOND)))
        });
        let mut waiter = Box::pin(pool.acquire());
        assert!(poll(waiter.as_mut()).is_pending());
        runtime.settle();
        let filler = pool.clone();
        let fill = w.spawn(async move { filler.fill().await });
        runtime.settle();
        assert!(pool.adopt(w.connection_from_elsewhere()).is_ok());
        let filled = async {
            fill.await.unwrap();
            true
        };
        let too_late = async {
            runtime.sleep(SECOND).await;
            false
        };
        assert!(runtime.block_on(futures_lite::future::or(filled, too_late)));
        drop(runtime.block_on(waiter).unwrap());
    });
}
