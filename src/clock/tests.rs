use super::*;

const TICK: Duration = Duration::from_millis(100);
const NANO: Duration = Duration::from_nanos(1);

/// Milliseconds since the pool was built.
fn at(ms: u64) -> Moment {
    Moment::START.after(Duration::from_millis(ms))
}

fn clock() -> Clock {
    Clock::new(
        Tick::Every(TICK),
        CheckPolicy::IdleFor(Duration::from_secs(1)),
    )
}

/// So many readings a millisecond apart, the first of them then.
fn readings(clock: &mut Clock, from: u64, number: u64) -> Vec<bool> {
    (from..from + number).map(|ms| clock.read(at(ms))).collect()
}

/// How much credit is left, which is then spent.
fn spend_all(clock: &mut Clock) -> usize {
    (0..10_000).take_while(|_| clock.spend()).count()
}

/// A clock with traffic at these milliseconds, whose keeper ticks.
fn ticking(ms: u64) -> Clock {
    let mut clock = clock();
    assert_eq!(readings(&mut clock, ms - 8, 9).pop(), Some(false));
    assert_eq!(clock.keep(at(ms)), at(ms + 100));
    clock
}

#[test]
fn eight_readings_within_a_tick_of_each_other_ask_for_the_keeper() {
    let mut clock = clock();
    assert!(!clock.spend(), "nobody has read the clock yet");
    assert_eq!(readings(&mut clock, 0, 7), [false; 7]);
    assert!(!clock.spend(), "little happens");
    assert!(clock.read(at(7)));
    assert_eq!(spend_all(&mut clock), 1);
    assert!(!clock.read(at(8)), "it has been asked already");
}

#[test]
fn a_reading_a_whole_tick_after_the_last_ends_the_streak() {
    let mut clock = clock();
    readings(&mut clock, 1, 7);
    assert!(!clock.read(at(107)), "that is a tick later");
    assert_eq!(readings(&mut clock, 108, 7), [false; 7]);
    assert!(clock.read(at(115)));
}

#[test]
fn readings_a_nanosecond_less_than_a_tick_apart_are_a_streak() {
    let mut clock = clock();
    let mut now = Moment::START;
    let asked = (0..8).filter(|_| {
        now = now.after(TICK - NANO);
        clock.read(now)
    });
    assert_eq!(asked.count(), 1);
}

#[test]
fn a_silence_withdraws_what_the_readings_have_lent() {
    let mut clock = clock();
    readings(&mut clock, 0, 8);
    assert_eq!(spend_all(&mut clock), 1);
    clock.read(at(8));
    assert_eq!(spend_all(&mut clock), 3, "twice as much, and one");
    clock.read(at(200));
    readings(&mut clock, 201, 8);
    assert_eq!(spend_all(&mut clock), 1, "it begins anew");
}

#[test]
fn readings_lend_ever_more_up_to_a_limit_and_only_when_all_is_spent() {
    let mut clock = clock();
    readings(&mut clock, 0, 8);
    clock.read(at(8));
    assert_eq!(spend_all(&mut clock), 1, "there was some left");
    let mut lent = 1;
    for ms in 9..30 {
        clock.read(at(ms));
        lent = (2 * lent + 1).min(4096);
        assert_eq!(spend_all(&mut clock), lent);
    }
    assert_eq!(lent, 4096);
}

#[test]
fn the_keeper_ticks_for_as_long_as_there_is_traffic() {
    let mut clock = ticking(10);
    for ms in [110, 210, 310] {
        assert!(clock.spend());
        assert_eq!(clock.keep(at(ms)), at(ms + 100));
        assert_eq!(clock.now(), at(ms));
    }
    assert_eq!(clock.keep(at(410)), Moment::NEVER, "nobody came");
    assert!(!clock.spend());
    assert_eq!(readings(&mut clock, 411, 7), [false; 7], "from the start");
    assert!(clock.read(at(418)), "it is asked again");
    assert_eq!(spend_all(&mut clock), 1);
}

#[test]
fn the_keeper_that_comes_early_does_not_call_it_a_silence() {
    let mut clock = ticking(10);
    assert_eq!(clock.keep(at(109)), at(209));
    assert_eq!(clock.keep(at(209)), Moment::NEVER);
}

#[test]
fn a_keeper_that_was_not_asked_gives_no_credit() {
    let mut clock = clock();
    readings(&mut clock, 0, 7);
    assert_eq!(clock.keep(at(7)), Moment::NEVER);
    assert!(!clock.spend());
    assert_eq!(readings(&mut clock, 8, 7), [false; 7], "the streak is over");
}

#[test]
fn without_a_keeper_everybody_reads_the_clock() {
    let mut clock = ticking(10);
    assert!(clock.is_kept() && clock.spend());
    clock.keeper_gone();
    assert!(!clock.is_kept() && !clock.spend());
    assert_eq!(readings(&mut clock, 11, 20), [false; 20]);
    assert!(!clock.spend());
    clock.keeper_back();
    assert!(clock.is_kept());
    assert!(readings(&mut clock, 31, 8).contains(&true));
}

#[test]
fn coarse_time_is_late_by_a_tick_and_the_true_time_before_two() {
    let mut clock = clock();
    clock.read(at(2000));
    assert_eq!((clock.now(), clock.latest()), (at(2000), at(2100)));
    assert!(!clock.is_surely_before(at(2200)));
    assert!(clock.is_surely_before(at(2200).after(NANO)));
    assert!(clock.is_surely_fit(at(1100)), "a second before the latest");
    assert!(!clock.is_surely_fit(at(1100).before(NANO)));
}

#[test]
fn time_does_not_go_back() {
    let mut clock = clock();
    clock.read(at(50));
    clock.read(at(40));
    assert_eq!(clock.now(), at(50));
    clock.observe(at(60));
    assert_eq!(clock.now(), at(60));
}

#[test]
fn the_policy_decides_what_is_surely_fit() {
    let always = Clock::new(Tick::Every(TICK), CheckPolicy::Always);
    assert!(!always.is_surely_fit(at(1_000_000)));
    let mut never = Clock::new(Tick::Every(TICK), CheckPolicy::Never);
    never.read(at(1_000_000));
    assert!(never.is_surely_fit(Moment::START));
}

#[test]
fn exact_time_is_never_coarse() {
    let mut clock = Clock::new(Tick::Exact, CheckPolicy::Never);
    assert_eq!(readings(&mut clock, 0, 20), [false; 20]);
    assert!(!clock.spend());
    assert_eq!((clock.latest(), clock.horizon), (at(19), at(19)));
    assert_eq!(clock.keep(at(20)), Moment::NEVER);
}

#[test]
fn another_tick_is_heeded_at_once_and_the_same_changes_nothing() {
    let mut clock = ticking(10);
    clock.set_tick(Tick::Every(TICK));
    assert!(clock.spend(), "nothing has changed");
    clock.set_tick(Tick::Every(TICK / 2));
    assert!(!clock.spend());
    assert_eq!(clock.latest(), at(60));
    // The keeper sleeps for as long as it meant to: there is credit once it has been asked anew.
    let asked = readings(&mut clock, 11, 8);
    assert_eq!(asked.iter().position(|&asks| asks), Some(7));
    assert_eq!(
        spend_all(&mut clock),
        1,
        "what was lent before is forgotten"
    );
    clock.set_tick(Tick::Exact);
    assert_eq!(clock.keep(at(11)), Moment::NEVER);
    clock.set_tick(Tick::Every(TICK));
    assert!(
        readings(&mut clock, 12, 8).contains(&true),
        "the keeper sleeps, and is asked"
    );
}

#[test]
fn moments_saturate_at_both_ends() {
    let origin = Instant::now();
    assert_eq!(at(5).after(Duration::MAX), Moment::NEVER);
    assert_eq!(at(5).before(Duration::MAX), Moment::START);
    assert_eq!(at(5).before(Duration::from_millis(2)), at(3));
    assert_eq!(at(5).elapsed_since(at(9)), Duration::ZERO);
    assert_eq!(at(9).elapsed_since(at(5)), Duration::from_millis(4));
    assert_eq!(at(5).after_any(None), Moment::NEVER);
    assert_eq!(at(5).after_any(Some(TICK)), at(105));
    assert_eq!(Moment::NEVER.to_instant(origin), None);
    let later = origin + Duration::from_millis(7);
    assert_eq!(at(7).to_instant(origin), Some(later));
    assert_eq!(Moment::since(origin, later), at(7));
    assert_eq!(Moment::since(later, origin), Moment::START);
}
