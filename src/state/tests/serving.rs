//! Whom an idle connection serves, and which one.

use super::*;

/// A pool with so many idle connections, numbered from 1 in the order of their last return, that
/// are stale after 100 ms.
fn idle(number: u32, change: impl FnOnce(&mut Config)) -> Pool {
    let mut pool = pool(|config| {
        config.max_size = 8;
        config.max_lifetime = None;
        config.idle_timeout = None;
        config.check_policy = CheckPolicy::IdleFor(Duration::from_millis(100));
        change(config);
    });
    for live in lent(&mut pool, number) {
        let _ = give_back(&mut pool, live, 0);
    }
    pool
}

#[test]
fn a_fit_one_behind_stale_ones_is_handed_over_while_another_is_checked() {
    let mut pool = idle(3, |config| {
        config.keepalive = Some(Duration::from_millis(500));
        config.keepalive_concurrency = 1;
    });
    let (_, mut probe) = fx(|fx| pool.advance(at(500), fx));
    let (live, id) = probe.check.remove(0);
    assert_eq!(live.connection, 1);
    let from = Stage::Checking(Some(id));
    let (rejected, _) = fx(|fx| pool.passed(live, from, true, at(500), fx));
    assert!(rejected.is_none(), "fit again, and still the oldest");
    let (key, begun) = wait(&mut pool, 501, 1000);
    let checked: Vec<_> = begun
        .check
        .iter()
        .map(|(live, _)| live.connection)
        .collect();
    assert_eq!(checked, [3], "the last to be used, and no more than needed");
    assert_eq!(served(&mut pool, key).connection, 1);
}

#[test]
fn as_many_stale_ones_are_checked_as_there_are_those_who_wait() {
    let mut pool = idle(3, |_| ());
    for waiting in 1..=4 {
        let begun = wait(&mut pool, 501, 1000).1;
        let expected = if waiting <= 3 { (1, 0) } else { (0, 1) };
        assert_eq!((begun.check.len(), begun.connect.len()), expected);
    }
    assert_eq!(pool.stages.checking, 3);
}

#[test]
fn a_check_that_nobody_asked_for_keeps_nobody_from_one_of_his_own() {
    let mut pool = idle(2, |config| {
        config.keepalive = Some(Duration::from_millis(500));
        config.keepalive_concurrency = 1;
    });
    let (_, probe) = fx(|fx| pool.advance(at(500), fx));
    assert_eq!(probe.check.len(), 1);
    let (key, mut begun) = wait(&mut pool, 501, 1000);
    assert_eq!(begun.check.len(), 1, "the probe may be hung");
    let (live, id) = begun.check.remove(0);
    let from = Stage::Checking(Some(id));
    let _ = fx(|fx| pool.passed(live, from, true, at(502), fx));
    assert_eq!(served(&mut pool, key).connection, 2);
}
