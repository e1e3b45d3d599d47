//! How long the virtual clock waits for what never comes.

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A task that does something every hour.
fn chime(runtime: &VirtualRuntime, log: &Log) {
    let (clock, log) = (runtime.clone(), log.clone());
    spawn(runtime, async move {
        loop {
            clock.sleep(HOUR).await;
            log.note(clock.elapsed().as_secs() / 3600);
        }
    });
}

#[test]
fn future_that_waits_for_ever_is_reported_after_a_day_from_its_start() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    chime(&runtime, &log);
    runtime.advance(HOUR * 2);
    assert!(panics(|| runtime.block_on(pending())));
    assert_eq!(log.take(), (1..=26).collect::<Vec<_>>());
    assert_eq!(runtime.elapsed(), HOUR * 26);
    runtime.kill();
}

#[test]
fn future_that_takes_most_of_a_day_comes_to_its_end() {
    let runtime = VirtualRuntime::new();
    let most = HOUR * 24 - MILLISECOND;
    runtime.block_on(runtime.sleep(most));
    assert_eq!(runtime.elapsed(), most);
}

#[test]
fn tasks_that_are_spawned_together_are_told_apart() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    for n in 0..5 {
        spawn_later(&runtime, MILLISECOND, &log, n);
    }
    assert_eq!((runtime.tasks(), runtime.timers()), (5, 0));
    runtime.settle();
    assert_eq!((runtime.tasks(), runtime.timers()), (5, 5));
    runtime.advance(MILLISECOND);
    assert_eq!((runtime.tasks(), runtime.timers()), (0, 0));
    assert_eq!(log.take(), [0, 1, 2, 3, 4]);
}
