//! A pool whose places are somebody else's.

use super::*;

/// A tenant that holds so many places.
fn tenant(places: usize) -> Pool {
    let mut pool = pool(|_| ());
    pool.become_tenant(1);
    for _ in 0..places {
        let _ = fx(|fx| pool.receive(at(0), fx));
    }
    pool
}

#[test]
fn a_waiter_without_a_place_is_hungry_and_a_place_is_put_to_use() {
    let mut pool = tenant(0);
    let (key, begun) = wait(&mut pool, 0, 1000);
    assert!(begun.connect.is_empty());
    assert_eq!(pool.standing(at(0)).hunger, 1);
    let (_, begun) = fx(|fx| pool.receive(at(0), fx));
    let standing = pool.standing(at(0));
    assert_eq!((standing.hunger, standing.spare, standing.size), (0, 0, 1));
    let _ = connect(&mut pool, &begun, 1, 1);
    assert_eq!(served(&mut pool, key).connection, 1);
    assert!(pool.standing(at(1)).is_settled());
}

#[test]
fn a_place_that_nobody_uses_is_spare() {
    let mut pool = tenant(2);
    let (key, begun) = wait(&mut pool, 0, 1000);
    assert_eq!(pool.standing(at(0)).spare, 1);
    pool.give_up_spare();
    let _ = connect(&mut pool, &begun, 1, 1);
    let live = served(&mut pool, key);
    let _ = fx(|fx| pool.returned(live, Verdict::Condemned(CloseReason::Broken), at(2), fx));
    let standing = pool.standing(at(2));
    assert_eq!((standing.size, standing.spare), (1, 0));
}

#[test]
fn an_idle_connection_goes_with_its_place() {
    let mut pool = tenant(1);
    let (key, begun) = wait(&mut pool, 0, 1000);
    let _ = connect(&mut pool, &begun, 1, 1);
    let live = served(&mut pool, key);
    assert!(pool.put_back(live).is_err(), "the short way is closed");
    let mut pool = tenant(1);
    let (key, begun) = wait(&mut pool, 0, 1000);
    let _ = connect(&mut pool, &begun, 1, 1);
    let live = served(&mut pool, key);
    let _ = give_back(&mut pool, live, 2);
    assert_eq!(pool.standing(at(2)).idle_since, Some(at(2)));
    let (_, closing) = fx(|fx| pool.give_up_idle(at(3), fx));
    assert_eq!(closing.close.len(), 1);
    let standing = pool.standing(at(3));
    assert_eq!((standing.size, standing.places), (1, 0));
}

#[test]
fn a_lost_attempt_whose_place_was_given_up_is_hungry() {
    let mut pool = tenant(1);
    let (key, begun) = wait(&mut pool, 0, 1000);
    pool.give_up_next();
    let stage = attempt(&begun);
    let _ = fx(|fx| pool.given_back(stage, 0, CloseReason::Shutdown, true, at(1), fx));
    assert_eq!(pool.standing(at(1)).hunger, 0, "nothing is begun just now");
    let _ = fx(|fx| pool.advance(at(1), fx));
    assert_eq!(pool.standing(at(1)).hunger, 1);
    let _ = waker().map(|waker| pool.leave_waker(key, waker));
    let (_, woken) = fx(|fx| pool.receive(at(1), fx));
    assert!(woken.wake.is_some());
    assert_eq!(pool.standing(at(1)).spare, 0, "its waiter has use for it");
    drive(&mut pool, key, 1);
}

#[test]
fn a_tenant_whose_attempts_fail_is_hungry_when_the_next_is_due() {
    let mut pool = tenant(1);
    let (_, begun) = wait(&mut pool, 0, 1000);
    let _ = refuse(&mut pool, &begun, 1);
    assert_eq!(pool.standing(at(1)).spare, 1);
    pool.give_up_spare();
    assert_eq!(pool.standing(at(10)).hunger, 0);
    let due = fx(|fx| pool.keep(at(1), fx)).0;
    assert_eq!(due, at(11), "the keeper sees to it");
    assert_eq!(pool.standing(at(11)).hunger, 1);
    let due = fx(|fx| pool.keep(at(11), fx)).0;
    assert!(due > at(11), "and does not insist");
}

#[test]
fn a_tenant_is_settled_if_it_uses_all_it_has_and_wants_no_more() {
    let settled = Standing {
        size: 2,
        places: 2,
        hunger: 0,
        spare: 0,
        idle_since: None,
        waiting_since: None,
        remembers: false,
    };
    assert!(settled.is_settled());
    for unsettled in [
        Standing {
            hunger: 1,
            ..settled
        },
        Standing {
            spare: 1,
            ..settled
        },
        Standing {
            places: 1,
            ..settled
        },
        Standing {
            places: 3,
            ..settled
        },
        Standing {
            size: 0,
            places: 0,
            ..settled
        },
    ] {
        assert!(!unsettled.is_settled(), "{unsettled:?}");
    }
}

#[test]
fn only_the_places_of_what_is_closed_are_given_up_and_each_once() {
    let mut pool = tenant(3);
    let places = |pool: &Pool| pool.standing(at(9)).places;
    let (first, begun) = wait(&mut pool, 0, 1000);
    let (second, other) = wait(&mut pool, 0, 1000);
    let _ = wait(&mut pool, 0, 1000);
    let _ = connect(&mut pool, &begun, 1, 1);
    let _ = connect(&mut pool, &other, 2, 1);
    let held = [first, second].map(|key| served(&mut pool, key));
    pool.give_up_closing();
    assert_eq!(places(&pool), 3, "two are lent, and one is being made");
    let broken = Verdict::Condemned(CloseReason::Broken);
    for (live, left) in held.into_iter().zip([2, 1]) {
        let _ = fx(|fx| pool.returned(live, broken, at(2), fx));
        for _ in 0..2 {
            pool.give_up_closing();
            assert_eq!(places(&pool), left);
        }
    }
    for size in [2, 1] {
        let _ = fx(|fx| pool.given_back(Stage::Closing, 0, CloseReason::Broken, false, at(3), fx));
        assert_eq!((places(&pool), pool.size()), (1, size));
        pool.give_up_closing();
    }
}

#[test]
fn a_tenant_with_places_to_spare_is_not_hungry() {
    let mut pool = tenant(2);
    pool.config.connect_concurrency = Some(1);
    let _ = wait(&mut pool, 0, 1000);
    let _ = wait(&mut pool, 0, 1000);
    assert_eq!(pool.standing(at(0)).spare, 1);
    pool.config.connect_concurrency = None;
    assert_eq!(pool.standing(at(0)).hunger, 0);
    pool.give_up_spare();
    assert_eq!(pool.standing(at(0)).hunger, 1);
}

#[test]
fn a_tenant_whose_attempts_fail_sleeps_on_when_nobody_waits() {
    let mut pool = tenant(1);
    let (key, begun) = wait(&mut pool, 0, 1000);
    let _ = refuse(&mut pool, &begun, 1);
    pool.give_up_spare();
    let _ = fx(|fx| pool.cancel(key, at(2), fx));
    let forgettable = fx(|fx| pool.keep(at(3), fx)).0;
    assert!(pool.standing(at(3)).remembers && !pool.standing(forgettable).remembers);
    assert_eq!(fx(|fx| pool.keep(forgettable, fx)).0, Moment::NEVER);
}

#[test]
fn a_lost_attempt_of_one_who_is_late_is_not_hungry() {
    let mut pool = tenant(1);
    let (_, begun) = wait(&mut pool, 0, 1000);
    pool.give_up_next();
    let stage = attempt(&begun);
    let _ = fx(|fx| pool.given_back(stage, 0, CloseReason::Shutdown, true, at(1), fx));
    let _ = fx(|fx| pool.advance(at(1), fx));
    assert_eq!(pool.standing(at(999)).hunger, 1);
    assert_eq!(pool.standing(at(1000)).hunger, 0);
}

#[test]
fn a_lost_attempt_is_not_driven_without_a_place() {
    let mut pool = tenant(1);
    let (key, begun) = wait(&mut pool, 0, 1000);
    pool.give_up_next();
    let stage = attempt(&begun);
    let _ = fx(|fx| pool.given_back(stage, 0, CloseReason::Shutdown, true, at(1), fx));
    let _ = fx(|fx| pool.advance(at(1), fx));
    assert!(pool.driverless == 1 && pool.free() == 0);
    assert!(matches!(pool.poll_waiter(key, None), Turn::Wait(_)));
    assert!(pool.drive(key, at(1)).is_none());
}

#[test]
fn a_tenant_that_waits_for_the_schedule_asks_the_keeper_to_see_to_it() {
    let mut pool = tenant(1);
    let (_, begun) = wait(&mut pool, 0, 1000);
    let _ = refuse(&mut pool, &begun, 1);
    pool.give_up_spare();
    pool.keeper_until = Moment::NEVER;
    let (_, joined) = wait(&mut pool, 2, 1000);
    assert!(joined.nudge && joined.connect.is_empty());
    assert_eq!(pool.keeper_until, at(11));
}

#[test]
fn what_comes_back_is_owed_rather_than_what_is_in_the_making() {
    for (places, kept) in [(2, true), (1, false)] {
        let mut pool = tenant(2);
        let (key, begun) = wait(&mut pool, 0, 1000);
        let _ = connect(&mut pool, &begun, 1, 1);
        let live = served(&mut pool, key);
        let (_, begun) = wait(&mut pool, 1, 1000);
        assert_eq!(begun.connect.len(), 1);
        pool.config.max_size = places;
        let (returned, _) = fx(|fx| pool.returned(live, Verdict::Clean, at(2), fx));
        assert_eq!(matches!(returned, Returned::Kept), kept);
        assert_eq!(pool.standing(at(2)).size, 2);
    }
}

#[test]
fn what_was_made_is_owed_if_nobody_waits_for_it_any_more() {
    let mut pool = tenant(2);
    let (first, begun) = wait(&mut pool, 0, 1000);
    let (second, _) = wait(&mut pool, 0, 1000);
    pool.give_up_next();
    for key in [first, second] {
        let _ = fx(|fx| pool.cancel(key, at(1), fx));
    }
    let (rejected, _) = fx(|fx| connected(&mut pool, 1, attempt(&begun), at(2), fx));
    assert!(matches!(rejected, Some((_, CloseReason::Resize))));
    // But not what somebody waits for.
    let mut pool = tenant(2);
    let (first, begun) = wait(&mut pool, 0, 1000);
    let _ = wait(&mut pool, 0, 1000);
    pool.give_up_next();
    let _ = connect(&mut pool, &begun, 1, 2);
    assert_eq!(served(&mut pool, first).connection, 1);
}

#[test]
fn what_is_there_is_worth_more_to_one_with_places_of_its_own() {
    let mut pool = pool(|_| ());
    let live = lent(&mut pool, 1).remove(0);
    let _ = wait(&mut pool, 1, 1000);
    let _ = fx(|fx| pool.resize(1, at(1), fx));
    let (returned, _) = fx(|fx| pool.returned(live, Verdict::Clean, at(2), fx));
    assert!(matches!(returned, Returned::Kept));
}

#[test]
fn a_tenant_may_grow_to_what_its_pool_may_have() {
    for (places, may_grow) in [(0, true), (1, true), (2, false)] {
        assert_eq!(tenant(places).may_grow(), may_grow, "{places} of 2");
    }
    assert!(!pool(|_| ()).may_grow());
    let mut owing = tenant(2);
    let _ = wait(&mut owing, 0, 1000);
    let _ = wait(&mut owing, 0, 1000);
    owing.give_up_next();
    assert!(!owing.may_grow(), "it has them still");
}

#[test]
fn what_was_due_for_the_last_who_looked_is_due_for_whoever_read_the_clock_earlier() {
    let mut pool = tenant(1);
    let (_, begun) = wait(&mut pool, 0, 9000);
    let _ = refuse(&mut pool, &begun, 1);
    pool.give_up_spare();
    let due = pool.retry.due();
    assert_eq!(pool.standing(at(1)).hunger, 0);
    let _ = fx(|fx| pool.keep(due, fx));
    assert_eq!(pool.standing(at(1)).hunger, 1);
}

#[test]
fn a_place_that_is_kept_for_a_lost_attempt_is_not_given_up_for_a_close() {
    let mut pool = tenant(2);
    let (first, begun) = wait(&mut pool, 0, 1000);
    let (_, other) = wait(&mut pool, 0, 1000);
    let _ = connect(&mut pool, &begun, 1, 1);
    let live = served(&mut pool, first);
    let _ = fx(|fx| pool.given_back(attempt(&other), 0, CloseReason::Shutdown, true, at(1), fx));
    let _ = fx(|fx| pool.returned(live, Verdict::Condemned(CloseReason::Broken), at(1), fx));
    assert_eq!(
        (pool.driverless, pool.free(), pool.stages.closing),
        (1, 1, 1)
    );
    pool.give_up_closing();
    assert_eq!(pool.standing(at(1)).places, 2);
}

/// One reads the clock and is slow; another looks later, and is quicker.
#[test]
fn hunger_that_somebody_took_for_seen_is_not_overlooked_by_one_who_is_late() {
    let mut pool = tenant(1);
    let (_, begun) = wait(&mut pool, 0, 60_000);
    let (other, _) = wait(&mut pool, 0, 60_000);
    let _ = refuse(&mut pool, &begun, 1);
    pool.give_up_spare();
    let due = pool.retry.due();
    let later = due.after(Duration::from_millis(5));
    assert_eq!(pool.standing(at(1)).hunger, 0);
    let _ = fx(|fx| pool.cancel(other, later, fx));
    assert_eq!(pool.standing(at(1)).hunger, 1);
}

#[test]
fn a_tenant_whose_attempt_has_failed_asks_the_keeper_to_see_when_it_may_be_forgotten() {
    let mut pool = tenant(1);
    pool.config.connect_policy = ConnectPolicy::CircuitBreaker(pool.config.backoff());
    let (_, begun) = wait(&mut pool, 0, 1000);
    assert_eq!(pool.keeper_until, at(1000), "when the attempt is overdue");
    let refused = refuse(&mut pool, &begun, 1);
    assert!(refused.nudge);
    assert_eq!(pool.keeper_until, at(21));
    assert!(pool.standing(at(20)).remembers && !pool.standing(at(21)).remembers);
}
