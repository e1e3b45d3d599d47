//! Running a scenario under every schedule, or many.

use std::cell::Cell;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use checker::clock;

use super::world::World;

thread_local! {
    /// Panics since the execution under way began, contained or not. A checker runs all threads of
    /// an execution on the one that asked for it.
    static PANICS: Cell<usize> = const { Cell::new(0) };
    static EXECUTION: Cell<usize> = const { Cell::new(0) };
    static PLAN: Cell<&'static str> = const { Cell::new("") };
}

/// How thoroughly to look.
fn is_long() -> bool {
    std::env::var("WATERTIGHT_MODEL").is_ok_and(|form| form == "long")
}

/// Runs a scenario under the model checker: with loom under all schedules that interrupt a thread
/// at most three times, with shuttle under many at random. The short form of a run allows one
/// interruption less.
pub(crate) fn explore(scenario: impl Fn(&World) + Send + Sync + 'static) {
    explore_within(3, scenario);
}

/// The same for a scenario of so many threads, or such long ones, that loom would take hours:
/// with one interruption less.
pub(crate) fn explore_crowd(scenario: impl Fn(&World) + Send + Sync + 'static) {
    explore_within(2, scenario);
}

fn explore_within(interruptions: usize, scenario: impl Fn(&World) + Send + Sync + 'static) {
    watch_panics();
    let scenario = move || {
        EXECUTION.set(EXECUTION.get() + 1);
        PANICS.set(0);
        // The pool's own dice, so that a schedule determines everything.
        fastrand::seed(7);
        let world = World::new(clock::install());
        scenario(&world);
        world.assert_over();
        drop(world);
        clock::remove();
        // One that the pool contained would otherwise pass unseen.
        assert_eq!(PANICS.get(), 0, "something panicked, see above");
    };
    let scenario = std::sync::Arc::new(scenario);
    for (how, run) in plans(interruptions) {
        EXECUTION.set(0);
        PLAN.set(how);
        let begun = Instant::now();
        let scenario = std::sync::Arc::clone(&scenario);
        run(Box::new(move || scenario()));
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let (runs, took) = (EXECUTION.get(), begun.elapsed().as_secs_f64());
        eprintln!("model | {name} | {how} | {runs} | {took:.2}");
    }
}

type Run = Box<dyn FnOnce(Box<dyn Fn() + Send + Sync>)>;

#[cfg(loom)]
fn plans(interruptions: usize) -> Vec<(&'static str, Run)> {
    let bound = interruptions - usize::from(!is_long());
    let run = move |scenario: Box<dyn Fn() + Send + Sync>| {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(bound);
        builder.max_branches = 100_000;
        builder.check(scenario);
    };
    let how = [
        "loom, bound 0",
        "loom, bound 1",
        "loom, bound 2",
        "loom, bound 3",
    ];
    vec![(how[bound], Box::new(run))]
}

#[cfg(shuttle)]
fn plans(_: usize) -> Vec<(&'static str, Run)> {
    use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler, UrwRandomScheduler};

    fn with(scheduler: impl Scheduler + 'static) -> Run {
        Box::new(move |scenario| {
            let mut config = shuttle::Config::new();
            config.stack_size = 0x40000;
            shuttle::Runner::new(scheduler, config).run(scenario);
        })
    }
    /// The short form is the same every time; the long form is not.
    fn seed(fixed: u64) -> u64 {
        match is_long() {
            true => fastrand::u64(..),
            false => fixed,
        }
    }
    let schedules = match is_long() {
        true => 100_000,
        false => 5_000,
    };
    vec![
        (
            "shuttle, random",
            with(RandomScheduler::new_from_seed(seed(1), schedules)),
        ),
        (
            "shuttle, pct 3",
            with(PctScheduler::new_from_seed(seed(2), 3, schedules)),
        ),
        (
            "shuttle, urw",
            with(UrwRandomScheduler::new_from_seed(seed(3), schedules)),
        ),
    ]
}

/// Counts panics, and says at the first in which execution it was.
fn watch_panics() {
    static ONCE: Once = Once::new();
    static LAST: AtomicUsize = AtomicUsize::new(0);
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            let execution = EXECUTION.get();
            if LAST.swap(execution, Ordering::Relaxed) != execution {
                let plan = PLAN.get();
                eprintln!("model: execution {execution} of {plan}");
            }
            report(info);
        }));
    });
}
