//! Pauses.

use super::*;

#[test]
fn a_paused_pool_is_quieting_while_anything_is_in_use() {
    let stages = [Stage::Lent, Stage::Checking(None), Stage::Recycling];
    for used in stages {
        let mut pool = pool(|_| {});
        pool.stages.enter(used);
        assert!(!pool.is_quieting(), "it is not paused");
        let _ = fx(|fx| pool.pause(at(1), fx));
        assert!(pool.is_quieting(), "{used:?}");
        pool.stages.leave(used);
        assert!(!pool.is_quieting());
        for other in stages {
            pool.stages.enter(other);
        }
        assert!(pool.is_quieting());
        let _ = fx(|fx| pool.close(fx));
        assert!(!pool.is_quieting(), "closing ends the pause");
    }
}

#[test]
fn a_closed_pool_is_not_paused() {
    let mut pool = pool(|_| {});
    let _ = fx(|fx| pool.close(fx));
    let _ = fx(|fx| pool.pause(at(1), fx));
    assert!(!pool.status(at(0)).paused);
}

#[test]
fn a_pause_begins_once_and_not_in_a_closed_pool() {
    let mut pool = pool(|_| {});
    let mut begins = || fx(|fx| pool.pause(at(1), fx)).0;
    assert!(begins());
    assert!(!begins());
    let _ = fx(|fx| pool.resume(at(2), fx));
    let _ = fx(|fx| pool.close(fx));
    assert!(!fx(|fx| pool.pause(at(3), fx)).0);
}

/// Whoever was to run them waits for something else now.
#[test]
fn what_waiters_were_to_run_is_begun_for_the_idle_ones_in_a_pause() {
    let mut pool = pool(|config| {
        config.max_size = 1;
        config.min_idle = 1;
    });
    let (_, begun) = wait(&mut pool, 0, 1000);
    let from = attempt(&begun);
    let epoch = pool.renewals.epoch();
    let _ = fx(|fx| pool.given_back(from, epoch, CloseReason::Shutdown, false, at(1), fx));
    assert_eq!(pool.driverless, 1);
    pool.refill_after = at(0);
    let (_, paused) = fx(|fx| pool.pause(at(2), fx));
    assert_eq!((pool.driverless, paused.connect.len()), (0, 1));
}

#[test]
fn a_paused_pool_serves_nobody_until_it_is_resumed() {
    let mut pool = pool(|config| config.max_size = 1);
    let live = lent(&mut pool, 1).remove(0);
    let (key, _) = wait(&mut pool, 1, 1000);
    let (_, paused) = fx(|fx| pool.pause(at(1), fx));
    assert!(paused.progress && pool.status(at(1)).paused);
    let _ = give_back(&mut pool, live, 2);
    assert!(matches!(pool.poll_waiter(key, None), Turn::Wait(_)));
    let (_, resumed) = fx(|fx| pool.resume(at(3), fx));
    assert!(resumed.progress && resumed.wake.is_some());
    assert_eq!(served(&mut pool, key).connection, 1);
    let (_, again) = fx(|fx| pool.resume(at(4), fx));
    assert!(!again.progress, "it was not paused");
}
