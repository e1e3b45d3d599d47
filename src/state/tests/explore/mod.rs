//! Every state that a small pool can get into, and a way out of each.
//!
//! The state is plain data and every transition a plain call, so all sequences of calls can be
//! walked, breadth first, until no new state appears. [`world`] carries what surrounds a pool:
//! users, tasks, the keeper, a call to `fill`; [`ops`] and [`shell`] say what each may do next.
//! What is to be done after unlocking may be done at any later time, or go wrong. [`print`] makes
//! states equal that differ in names only.
//!
//! After every operation [`laws`] asserts the invariants, the ledger, the bounds, the order of the
//! queue, and in every state where nothing is outstanding that nobody has been forgotten. From
//! every state [`settle`] follows some ways on which nothing more goes wrong, or nothing but that the
//! runtime is dead: on each everybody is answered, and then the pool can be used to the full, or is
//! closed and empty.
//!
//! Each test says what it has seen (`--nocapture`). With `WATERTIGHT_EXPLORE=full` it sees more,
//! which takes some minutes in release mode; `docs/exploration.md` has the figures.

mod laws;
mod ops;
mod print;
mod search;
mod settle;
mod shell;
mod story;
mod world;

use std::time::{Duration, Instant};

use super::super::*;
use crate::backoff::Backoff;
use crate::config::ConnectPolicy;
use May::*;
use world::{GRAIN, May, Rules, UNIT};

/// Any number of faults.
const ANY: u8 = u8::MAX;

/// How far an exploration goes, and how many states it finds at least.
#[derive(Clone, Copy, Debug)]
struct Extent {
    users: usize,
    faults: u8,
    states: usize,
}

const fn extent(users: usize, faults: u8, states: usize) -> Extent {
    Extent {
        users,
        faults,
        states,
    }
}

#[derive(Debug)]
struct Exploration {
    name: &'static str,
    config: Config,
    may: &'static [May],
    slowest: Duration,
}

fn of(name: &'static str, may: &'static [May], change: impl FnOnce(&mut Config)) -> Exploration {
    let mut config = Config {
        max_size: 2,
        idle_timeout: None,
        max_lifetime: None,
        lifetime_jitter: 0.0,
        check_policy: CheckPolicy::Never,
        connect_policy: ConnectPolicy::Retry(Backoff::new(UNIT, UNIT)),
        ..Config::default()
    };
    change(&mut config);
    Exploration {
        name,
        config,
        may,
        slowest: Duration::ZERO,
    }
}

impl Exploration {
    /// Attempts may take so long.
    fn with_attempts_of(self, slowest: Duration) -> Self {
        Exploration { slowest, ..self }
    }

    fn goes(self, usually: Extent, in_full: Extent) {
        let full = std::env::var("WATERTIGHT_EXPLORE").is_ok_and(|extent| extent == "full");
        let extent = if full { in_full } else { usually };
        let rules = Rules {
            places: self.config.max_size,
            users: extent.users,
            faults: extent.faults,
            slowest: self.slowest,
            may: self.may,
        };
        let begun = Instant::now();
        let report = search::explore(self.config, rules);
        let faults = match extent.faults {
            ANY => "any".to_owned(),
            some => some.to_string(),
        };
        println!(
            "| {} | {} | {faults} | {} | {} | {} | {:.1} |",
            self.name,
            extent.users,
            report.states,
            report.transitions,
            report.depth,
            begun.elapsed().as_secs_f64(),
        );
        assert!(
            report.states >= extent.states,
            "{} states are fewer than there were: something cannot happen any more",
            report.states
        );
    }
}

#[test]
fn plain_pool_has_no_dead_end() {
    let may = &[Cancel, Try, Break, Refuse, Detach, Close];
    of("plain", may, |_| {}).goes(extent(2, ANY, 4600), extent(3, ANY, 8900));
}

#[test]
fn waiter_polled_at_any_time_by_any_task_has_no_dead_end() {
    let may = &[Cancel, PollAtWill, KeepAtWill, Refuse, RefuseForGood];
    of("polled at will", may, |_| {}).goes(extent(2, ANY, 2400), extent(3, ANY, 11_600));
}

#[test]
fn pool_that_loses_tasks_and_its_keeper_has_no_dead_end() {
    let may = &[Cancel, Lose, LoseKeeper];
    of("lost tasks", may, |_| {}).goes(extent(2, ANY, 45_400), extent(3, 2, 359_000));
}

#[test]
fn pool_that_loses_tasks_while_it_is_used_has_no_dead_end() {
    let may = &[PollAtWill, Break, Lose, LoseKeeper];
    let one = |config: &mut Config| config.max_size = 1;
    of("one place, lost tasks", may, one).goes(extent(2, ANY, 11_100), extent(3, ANY, 196_100));
}

#[test]
fn pool_that_loses_tasks_and_is_closed_has_no_dead_end() {
    let may = &[Cancel, Lose, LoseKeeper, Refuse, Close];
    of("lost tasks, closed", may, |_| {}).goes(extent(1, ANY, 2700), extent(2, ANY, 259_700));
}

#[test]
fn pool_that_always_checks_has_no_dead_end() {
    let may = &[Soil, Condemn, Lose, Try];
    let always = |config: &mut Config| config.check_policy = CheckPolicy::Always;
    of("always checks", may, always).goes(extent(2, 1, 38_600), extent(2, ANY, 279_200));
}

#[test]
fn pool_that_checks_what_is_stale_has_no_dead_end() {
    let may = &[Cancel, Condemn, Try];
    let stale = |config: &mut Config| {
        config.check_policy = CheckPolicy::IdleFor(UNIT - Duration::from_millis(1));
        config.idle_order = IdleOrder::Fifo;
    };
    of("checks the stale", may, stale).goes(extent(2, ANY, 6200), extent(3, 2, 28_500));
}

#[test]
fn pool_with_min_idle_has_no_dead_end() {
    let may = &[Cancel, Refuse, Lose, LoseKeeper];
    let refills = |config: &mut Config| config.min_idle = 1;
    of("min_idle", may, refills).goes(extent(2, 1, 5500), extent(2, ANY, 131_300));
}

#[test]
fn filling_has_no_dead_end() {
    let may = &[Refuse, LoseKeeper, Fill, Close, Lose];
    let refills = |config: &mut Config| config.min_idle = 1;
    of("fill", may, refills).goes(extent(1, 1, 5500), extent(2, 2, 390_200));
}

#[test]
fn filling_one_at_a_time_has_no_dead_end() {
    let may = &[LoseKeeper, Fill, Lose];
    let refills = |config: &mut Config| {
        config.min_idle = 2;
        config.connect_concurrency = Some(1);
    };
    of("fill one at a time", may, refills).goes(extent(1, 2, 4800), extent(2, 2, 71_100));
}

#[test]
fn filling_where_several_are_missing_has_no_dead_end() {
    let may = &[LoseKeeper, Fill, Lose, Try, Pause];
    let refills = |config: &mut Config| {
        config.max_size = 3;
        config.min_idle = 2;
    };
    of("fill several", may, refills).goes(extent(1, 1, 11_800), extent(2, 1, 111_600));
}

#[test]
fn filling_with_slow_attempts_has_no_dead_end() {
    let may = &[LoseKeeper, Fill, Lose, BeShort];
    let refills = |config: &mut Config| config.min_idle = 1;
    of("fill slowly", may, refills)
        .with_attempts_of(UNIT * 2)
        .goes(extent(1, 1, 29_100), extent(1, 2, 155_600));
}

#[test]
fn pool_with_max_idle_has_no_dead_end() {
    let may = &[Cancel, Break, Adopt, Refuse, Retain];
    let few = |config: &mut Config| config.max_idle = Some(1);
    of("max_idle, adopt, retain", may, few).goes(extent(2, ANY, 5800), extent(3, ANY, 12_000));
}

#[test]
fn pool_that_fails_fast_has_no_dead_end() {
    let may = &[Cancel, Refuse, RefuseForGood, Lose];
    let fast = |config: &mut Config| config.connect_policy = ConnectPolicy::FailFast;
    of("fails fast", may, fast).goes(extent(2, 1, 7300), extent(2, 3, 123_400));
}

fn breaks(config: &mut Config) {
    config.connect_policy = ConnectPolicy::CircuitBreaker(Backoff::new(UNIT, UNIT));
}

#[test]
fn pool_that_breaks_circuits_has_no_dead_end() {
    let may = &[Cancel, Refuse, Break, Pause, Lose];
    of("breaks circuits", may, breaks).goes(extent(2, 1, 36_000), extent(2, 3, 899_300));
}

#[test]
fn pool_that_breaks_circuits_while_attempts_are_slow_has_no_dead_end() {
    of("breaks circuits slowly", &[Cancel, Refuse, Pause], breaks)
        .with_attempts_of(UNIT * 2)
        .goes(extent(2, 1, 27_000), extent(2, 2, 50_800));
}

#[test]
fn pool_that_breaks_circuits_and_is_reset_has_no_dead_end() {
    let may = &[Cancel, Refuse, Break, Reset];
    of("breaks circuits, reset", may, breaks).goes(extent(2, 1, 8700), extent(2, 2, 18_100));
}

#[test]
fn pool_that_fails_fast_and_is_reset_has_no_dead_end() {
    let may = &[Cancel, Refuse, Lose, Reset];
    let fast = |config: &mut Config| config.connect_policy = ConnectPolicy::FailFast;
    of("fails fast, reset", may, fast).goes(extent(2, 1, 98_000), extent(2, 2, 788_700));
}

#[test]
fn pool_that_connects_one_at_a_time_has_no_dead_end() {
    let may = &[Cancel, Refuse, Lose, LoseKeeper];
    let one = |config: &mut Config| config.connect_concurrency = Some(1);
    of("connects one at a time", may, one).goes(extent(2, 1, 4500), extent(2, ANY, 69_800));
}

#[test]
fn pool_with_max_uses_has_no_dead_end() {
    let may = &[Cancel, Soil, Condemn];
    let twice = |config: &mut Config| config.max_uses = Some(2);
    of("max_uses", may, twice).goes(extent(2, ANY, 1700), extent(3, ANY, 3500));
}

#[test]
fn pool_whose_connections_age_has_no_dead_end() {
    let may = &[Cancel, LoseKeeper];
    let ages = |config: &mut Config| {
        config.idle_timeout = Some(UNIT);
        config.max_lifetime = Some(UNIT * 3);
        config.min_idle = 1;
    };
    of("ages", may, ages).goes(extent(2, 0, 16_900), extent(2, ANY, 44_200));
}

#[test]
fn waiter_with_a_deadline_has_no_dead_end() {
    let may = &[BeShort, Break, Lose];
    of("deadlines", may, |_| {}).goes(extent(2, 1, 40_900), extent(3, 1, 1_375_900));
}

#[test]
fn slow_attempt_has_no_dead_end() {
    let may = &[BeShort, Refuse];
    of("slow attempts", may, |_| {})
        .with_attempts_of(UNIT * 2)
        .goes(extent(2, 0, 12_700), extent(2, ANY, 56_500));
}

#[test]
fn slow_check_has_no_dead_end() {
    let may = &[BeShort, Condemn];
    let always = |config: &mut Config| config.check_policy = CheckPolicy::Always;
    of("slow checks", may, always)
        .with_attempts_of(GRAIN)
        .goes(extent(1, 0, 8600), extent(2, 0, 152_000));
}

#[test]
fn slow_attempt_of_a_waiter_has_no_dead_end() {
    let may = &[Lose, LoseKeeper];
    of("slow attempts of waiters", may, |_| {})
        .with_attempts_of(GRAIN)
        .goes(extent(2, 1, 22_400), extent(2, 2, 94_600));
}

#[test]
fn pool_that_is_resized_has_no_dead_end() {
    let may = &[Resize, Cancel, Refuse];
    of("resized", may, |_| {}).goes(extent(2, ANY, 7000), extent(3, ANY, 15_000));
}

#[test]
fn pool_that_is_resized_while_retain_looks_has_no_dead_end() {
    let may = &[Retain, Cancel, Resize, Adopt, Close];
    of("resized, retain, adopt", may, |_| {}).goes(extent(2, ANY, 8900), extent(3, ANY, 17_100));
}

#[test]
fn pool_that_is_paused_has_no_dead_end() {
    let may = &[Pause, Cancel, Break, Close];
    of("paused", may, |_| {}).goes(extent(2, ANY, 4000), extent(3, ANY, 8000));
}

#[test]
fn pool_that_is_paused_while_tasks_are_lost_has_no_dead_end() {
    let may = &[Pause, Refuse, Lose, LoseKeeper];
    of("paused, lost tasks", may, |_| {}).goes(extent(1, ANY, 4700), extent(2, 2, 189_700));
}

#[test]
fn pool_that_is_reset_has_no_dead_end() {
    let may = &[Reset, Cancel, Refuse, Detach];
    of("reset", may, |_| {}).goes(extent(2, ANY, 5900), extent(3, ANY, 12_600));
}

#[test]
fn pool_that_is_reset_while_tasks_are_lost_has_no_dead_end() {
    let may = &[Reset, Lose];
    of("reset, lost tasks", may, |_| {}).goes(extent(1, ANY, 40_400), extent(2, 1, 87_400));
}

#[test]
fn pool_that_condemns_all_for_one_has_no_dead_end() {
    let may = &[Condemn, Reset, Soil, Cancel];
    let strict = |config: &mut Config| {
        config.check_policy = CheckPolicy::Always;
        config.reset_on_failed_check = true;
    };
    of("condemns all", may, strict).goes(extent(2, 1, 18_500), extent(2, ANY, 10_300));
}

#[test]
fn pool_with_a_short_queue_has_no_dead_end() {
    let may = &[Cancel, Refuse, Resize];
    let short = |config: &mut Config| {
        config.max_waiters = Some(0);
        config.max_size = 1;
    };
    of("max_waiters", may, short).goes(extent(2, ANY, 6900), extent(3, ANY, 6900));
}

#[test]
fn hot_path_of_a_pool_that_is_paused_and_reset_has_no_dead_end() {
    let may = &[BeHot, Pause, Reset];
    of("hot path, paused, reset", may, |_| {}).goes(extent(1, 0, 31_700), extent(2, 0, 138_700));
}

#[test]
fn hot_path_has_no_dead_end() {
    let may = &[BeHot, Close];
    of("hot path", may, |_| {}).goes(extent(2, 0, 23_600), extent(3, 0, 50_400));
}

#[test]
fn hot_path_while_fill_looks_has_no_dead_end() {
    let may = &[BeHot, Fill];
    let refills = |config: &mut Config| config.min_idle = 1;
    of("hot path, fill", may, refills).goes(extent(1, 0, 1700), extent(2, 0, 7300));
}

#[test]
fn hot_path_of_an_ageing_pool_has_no_dead_end() {
    let may = &[BeHot];
    let ages = |config: &mut Config| config.max_lifetime = Some(UNIT * 3);
    of("hot path, max_lifetime", may, ages).goes(extent(1, 0, 13_000), extent(2, 0, 708_000));
}

#[test]
fn hot_path_of_a_pool_with_limits_has_no_dead_end() {
    let may = &[BeHot, Resize];
    let limits = |config: &mut Config| {
        config.min_idle = 1;
        config.max_idle = Some(1);
    };
    of("hot path, limits", may, limits).goes(extent(1, 0, 30_900), extent(2, 0, 83_000));
}
