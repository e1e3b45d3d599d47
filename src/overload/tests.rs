use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(after: u64) -> Moment {
    Moment::START.after(ms(after))
}

/// A target of 10 ms, and intervals of 100.
fn overload() -> Overload {
    Overload::new(ControlledDelay {
        target: ms(10),
        interval: ms(100),
    })
}

/// As in an interval that begins at 100 ms, with a wait like this.
fn after_a_wait_of(wait: u64) -> Overload {
    let mut overload = overload();
    assert!(!overload.comes_free(at(100)));
    overload.served(at(150 - wait), 0, at(150));
    overload
}

#[test]
fn the_shorter_of_both_times_is_what_must_not_be_zero() {
    let rule = |target, interval| ControlledDelay {
        target: ms(target),
        interval: ms(interval),
    };
    assert_eq!(rule(1, 2).shorter(), ms(1));
    assert_eq!(rule(3, 2).shorter(), ms(2));
}

#[test]
fn patience_is_twice_the_target() {
    assert_eq!(overload().patience(), ms(20));
}

#[test]
fn a_pool_is_slow_if_the_shortest_wait_of_the_interval_before_was_above_the_target() {
    for (wait, slow) in [(9, false), (10, false), (11, true)] {
        let mut overload = after_a_wait_of(wait);
        overload.served(at(100), 0, at(150));
        assert!(!overload.comes_free(at(199)), "the interval is not over");
        assert!(!overload.is_slow());
        assert!(!overload.comes_free(at(200)), "whoever is first is served");
        assert_eq!(overload.is_slow(), slow, "{wait}");
        assert_eq!(overload.comes_free(at(201)), slow, "{wait}");
        assert_eq!(overload.comes_free(at(299)), slow, "{wait}");
    }
}

#[test]
fn each_interval_has_a_wait_of_its_own() {
    let mut overload = after_a_wait_of(5);
    assert!(!overload.comes_free(at(250)));
    overload.served(at(139), 0, at(150));
    assert!(!overload.comes_free(at(349)) && !overload.is_slow());
    assert!(!overload.comes_free(at(350)) && overload.is_slow());
}

#[test]
fn what_comes_free_while_nobody_waits_ends_it() {
    let mut overload = after_a_wait_of(50);
    overload.is_idle();
    overload.joined(at(150), 0);
    overload.comes_free(at(200));
    assert!(!overload.is_slow());
}

#[test]
fn a_return_that_nobody_waited_for_ends_it_for_those_who_join_later() {
    for (turn, slow) in [(7, true), (8, false)] {
        let mut overload = after_a_wait_of(50);
        overload.served(at(100), 7, at(150));
        overload.joined(at(150), turn);
        overload.comes_free(at(200));
        assert_eq!(overload.is_slow(), slow);
    }
}

#[test]
fn what_was_none_of_the_loads_doing_is_forgotten() {
    let mut overload = after_a_wait_of(50);
    overload.comes_free(at(200));
    overload.served(at(100), 0, at(150));
    overload.forget(at(150));
    assert!(!overload.is_slow() && !overload.comes_free(at(201)));
    overload.comes_free(at(300));
    assert!(!overload.is_slow());
}

#[test]
fn nor_does_it_count_later() {
    let patient = || {
        let mut overload = Overload::new(ControlledDelay {
            target: ms(50),
            interval: ms(10),
        });
        overload.forget(at(100));
        overload
    };
    assert_eq!(patient().waited(at(0), at(115)), ms(15));
    assert_eq!(patient().waited(at(110), at(115)), ms(5));
    let mut served = patient();
    served.comes_free(at(110));
    served.served(at(0), 0, at(115));
    served.comes_free(at(125));
    assert!(!served.is_slow());
    let mut stuck = patient();
    for now in [110, 120, 130] {
        assert!(!stuck.ticks(at(0), at(now)));
    }
    assert!(stuck.ticks(at(0), at(170)) || stuck.ticks(at(0), at(180)));
}

#[test]
fn for_a_quarter_of_an_interval_after_somebody_was_turned_away_a_short_wait_is_no_sign() {
    for (now, slow) in [(159, true), (174, true), (175, false), (199, false)] {
        let mut overload = after_a_wait_of(50);
        overload.turned_away(at(150));
        overload.served(at(now - 1), 0, at(now));
        overload.comes_free(at(200));
        assert_eq!(overload.is_slow(), slow, "{now}");
    }
}

#[test]
fn the_timer_keeps_to_its_grid() {
    for (joined, tick) in [(0, 100), (99, 100), (100, 200), (199, 200), (350, 400)] {
        let mut overload = overload();
        assert_eq!(overload.tick(), at(100));
        assert_eq!(overload.joined(at(joined), 0), at(tick), "{joined}");
        assert_eq!(overload.tick(), at(tick));
    }
}

#[test]
fn the_timer_decides_when_nothing_comes_free() {
    let mut overload = overload();
    let first = at(20);
    overload.joined(first, 0);
    assert!(!overload.ticks(first, at(99)), "it has not gone off");
    assert_eq!(overload.tick(), at(100));
    assert!(!overload.ticks(first, at(100)), "it has seen the first");
    assert_eq!(overload.tick(), at(200));
    assert!(!overload.ticks(first, at(200)), "nothing was slow before");
    assert!(overload.ticks(first, at(300)), "but now it is");
    assert!(overload.is_slow());
}

#[test]
fn the_timer_leaves_alone_those_who_have_come_since() {
    let mut overload = after_a_wait_of(50);
    assert!(!overload.ticks(at(150), at(200)), "the head is another");
    assert!(!overload.is_slow());
    assert!(!overload.ticks(at(201), at(300)), "and again");
    assert!(overload.ticks(at(300), at(400)), "seen by the one before");
}

#[test]
fn the_timer_leaves_alone_those_before_whom_somebody_was_served() {
    let mut overload = after_a_wait_of(50);
    assert!(!overload.ticks(at(160), at(200)), "he was served");
    overload.served(at(160), 1, at(290));
    assert!(!overload.ticks(at(170), at(300)), "and another");
    assert!(overload.ticks(at(170), at(400)), "now nobody");
}

/// Those who have gone away were not served.
#[test]
fn the_timer_decides_though_each_who_waits_gives_up() {
    let mut overload = overload();
    assert!(!overload.ticks(at(1), at(100)));
    assert!(!overload.ticks(at(51), at(200)), "nothing was slow before");
    assert!(overload.ticks(at(151), at(300)), "nothing came free");
}

#[test]
fn the_timer_does_not_end_an_interval_before_its_time() {
    let mut overload = overload();
    overload.comes_free(at(130));
    overload.served(at(100), 0, at(150));
    assert!(!overload.ticks(at(0), at(200)), "it ends at 230 ms");
    assert!(!overload.is_slow());
    assert!(overload.ticks(at(0), at(300)));
}

#[test]
fn by_the_timer_the_wait_of_the_first_is_that_of_the_interval() {
    for (first, slow) in [(40, true), (50, false), (60, false)] {
        let mut overload = Overload::new(ControlledDelay {
            target: ms(150),
            interval: ms(100),
        });
        assert!(!overload.ticks(at(first), at(100)));
        assert!(!overload.ticks(at(first), at(200)));
        overload.comes_free(at(300));
        assert_eq!(overload.is_slow(), slow, "{first}");
    }
}

/// A recycled connection, say: it was given back before somebody else was last served.
#[test]
fn connection_that_becomes_idle_ends_the_overload() {
    for idle in [false, true] {
        let mut overload = Overload::new(ControlledDelay {
            target: ms(50),
            interval: ms(1000),
        });
        overload.joined(at(900), 1);
        overload.comes_free(at(1000));
        overload.served(at(900), 2, at(1000));
        if idle {
            overload.is_idle();
        }
        overload.joined(at(1500), 2);
        overload.comes_free(at(2000));
        assert_eq!(overload.is_slow(), !idle);
    }
}

#[test]
fn for_the_timer_too_a_wait_of_the_target_is_not_slow() {
    for (wait, slow) in [(10, false), (11, true)] {
        let mut overload = after_a_wait_of(wait);
        assert!(!overload.ticks(Moment::START, at(200)), "he was served");
        assert_eq!(overload.ticks(Moment::START, at(300)), slow, "{wait}");
    }
}

#[test]
fn whoever_looks_late_and_then_less_late_loses_no_interval() {
    let mut overload = overload();
    overload.joined(at(1), 0);
    for (now, turned_away) in [(101, false), (208, false), (303, true)] {
        assert_eq!(overload.ticks(at(1), at(now)), turned_away, "{now}");
    }
}
