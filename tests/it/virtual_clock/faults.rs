//! What the virtual clock's runtime does wrong when it is told to.

use super::*;

/// How many of `n` tasks that wait for a second come to their end, on a handle with these faults.
fn survivors(seed: u64, faults: Faults, n: u64) -> Vec<u64> {
    let (runtime, log) = (VirtualRuntime::seeded(seed), Log::default());
    let faulty = runtime.with_faults(faults);
    for n in 0..n {
        spawn_later(&faulty, SECOND, &log, n);
    }
    runtime.advance(2 * SECOND);
    let mut survivors = log.take();
    survivors.sort_unstable();
    assert_eq!(runtime.tasks(), 0);
    assert_eq!(runtime.timers(), 0, "the lost ones left no timer");
    assert_eq!(
        runtime.lost_tasks(),
        u64::try_from(survivors.len()).unwrap() < n
    );
    survivors
}

#[test]
fn tasks_are_lost_as_often_as_was_asked_for() {
    for faults in [
        Faults::none().drop_unpolled(0.5),
        Faults::none().drop_midway(0.293), // twice: at the first poll and at the last
    ] {
        let survivors = survivors(7, faults, 1_000);
        assert!(
            (400..600).contains(&survivors.len()),
            "{faults:?}: {}",
            survivors.len()
        );
        assert_eq!(
            survivors,
            self::survivors(7, faults, 1_000),
            "the same seed loses the same"
        );
        assert_ne!(survivors, self::survivors(8, faults, 1_000));
    }
}

#[test]
fn probabilities_out_of_range_count_as_never_and_always() {
    for never in [0.0, -1.0, f64::NEG_INFINITY, f64::NAN] {
        let faults = Faults::none().drop_unpolled(never).drop_midway(never);
        assert_eq!(survivors(1, faults, 50).len(), 50, "{never}");
    }
    for always in [1.0, 2.0, f64::INFINITY] {
        let faults = Faults::none().drop_unpolled(always);
        assert_eq!(survivors(1, faults, 50).len(), 0, "{always}");
        let faults = Faults::none().drop_midway(always);
        assert_eq!(survivors(1, faults, 50).len(), 0, "{always}");
    }
}

#[test]
fn without_a_seed_only_what_is_certain_goes_wrong() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let unlikely = runtime.with_faults(Faults::none().drop_unpolled(0.999));
    spawn_later(&unlikely, SECOND, &log, 1);
    let certain = runtime.with_faults(Faults::none().drop_unpolled(1.0));
    spawn_later(&certain, SECOND, &log, 2);
    let late = runtime.with_faults(Faults::none().delay_wakes(1.0, SECOND));
    spawn_later(&late, SECOND, &log, 3);
    runtime.advance(SECOND);
    assert_eq!(log.take(), [1]);
    runtime.advance(SECOND - MILLISECOND);
    assert_eq!(log.take(), [0; 0]);
    runtime.advance(MILLISECOND);
    assert_eq!(log.take(), [3], "by the longest delay");
}

#[test]
fn only_tasks_of_the_faulty_handle_are_harmed() {
    let (runtime, log) = (VirtualRuntime::seeded(3), Log::default());
    let _faulty = runtime.with_faults(Faults::none().drop_unpolled(1.0));
    spawn_later(&runtime, SECOND, &log, 1);
    runtime.advance(SECOND);
    assert_eq!(log.take(), [1]);
}

#[test]
fn delayed_tasks_run_late_but_not_too_late() {
    let (runtime, log) = (VirtualRuntime::seeded(5), Log::default());
    let faulty = runtime.with_faults(Faults::none().delay_wakes(1.0, SECOND));
    for _ in 0..100 {
        let (clock, log) = (runtime.clone(), log.clone());
        spawn(&faulty, async move {
            clock.sleep(SECOND).await;
            log.note(u64::try_from(clock.elapsed().as_millis()).unwrap());
        });
    }
    runtime.advance(SECOND);
    assert!(log.take().len() < 5);
    assert_eq!(runtime.timers(), 0, "a delayed wake-up is not a timer");
    runtime.advance(SECOND);
    let times = log.take();
    assert!(times.len() > 95);
    assert!(times.is_sorted());
    let early = times.iter().filter(|&&ms| ms < 1500).count();
    assert!((25..75).contains(&early), "{early} in the first half");
}

#[test]
fn delays_may_be_as_long_as_they_like() {
    let (runtime, log) = (VirtualRuntime::seeded(5), Log::default());
    let faulty = runtime.with_faults(Faults::none().delay_wakes(1.0, Duration::MAX));
    spawn_later(&faulty, SECOND, &log, 1);
    runtime.advance(SECOND);
    runtime.advance(24 * 3600 * SECOND);
    assert_eq!(log.take(), [1], "a day at most");
}

/// How often tasks are polled that nobody wakes.
fn polls(runtime: &VirtualRuntime, faults: Faults, tasks: usize) -> usize {
    let (faulty, log) = (runtime.with_faults(faults), Log::default());
    for _ in 0..tasks {
        let noting = log.clone();
        let waits = move |_: &mut Context<'_>| {
            noting.note(0);
            Poll::<()>::Pending
        };
        spawn(&faulty, poll_fn(waits));
    }
    runtime.settle();
    runtime.kill();
    log.take().len()
}

#[test]
fn tasks_are_polled_in_vain_as_often_as_was_asked_for() {
    let often = polls(
        &VirtualRuntime::seeded(5),
        Faults::none().poll_in_vain(0.7),
        1_000,
    );
    assert!((1_600..1_800).contains(&often), "{often}");
    for runtime in [VirtualRuntime::new(), VirtualRuntime::seeded(5)] {
        assert_eq!(polls(&runtime, Faults::none().poll_in_vain(1.0), 10), 20);
    }
}
