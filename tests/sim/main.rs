//! A deterministic simulator: drawn users, a moody manager and a mischievous runtime, on a virtual
//! clock, beside a plain reference model.
//!
//! ```text
//! cargo test --test sim                                      a few thousand seeds
//! WATERTIGHT_SEEDS=200000 cargo test --release --test sim    more of them
//! WATERTIGHT_SEED=17 cargo test --test sim                   this one, with all that happens in it
//! ```

// In a test, an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod conditions;
mod draw;
mod model;
mod plan;
mod run;
#[path = "../it/support/mod.rs"]
mod support;
mod user;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use draw::Draw;
use plan::Plan;
use run::{Report, run};

/// So many seeds are tried by default.
const SEEDS: u64 = 3_000;
/// After so many failures the rest would not tell more.
const ENOUGH: usize = 20;

#[test]
fn whatever_happens_nothing_leaks_starves_or_hangs() {
    if let Some(seed) = number_in("WATERTIGHT_SEED") {
        let plan = Plan::draw(&mut Draw::from_seed(seed));
        let report = RefCell::default();
        println!("{plan}");
        let result = catch_unwind(AssertUnwindSafe(|| run(&plan, &report, true)));
        for line in &report.borrow().trace {
            println!("{line}");
        }
        assert!(result.is_ok(), "seed {seed} fails");
        return;
    }
    let seeds = number_in("WATERTIGHT_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let tally = Mutex::new((0, Vec::new()));
    let try_seeds = || {
        while tally.lock().unwrap().1.len() < ENOUGH {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let outcome = try_seed(seed);
            let mut tally = tally.lock().unwrap();
            match outcome {
                Ok(steps) => tally.0 += steps,
                Err(why) => tally.1.push((seed, why)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(try_seeds);
        }
    });
    let (steps, failures) = tally.into_inner().unwrap();
    println!("{seeds} seeds, {steps} steps");
    assert!(
        failures.is_empty(),
        "seeds that fail: {failures:#?}\nreplay one with WATERTIGHT_SEED=.. cargo test --test sim"
    );
}

/// Runs one seed; returns the number of its steps, or why it failed.
fn try_seed(seed: u64) -> Result<usize, String> {
    let plan = Plan::draw(&mut Draw::from_seed(seed));
    let report = RefCell::<Report>::default();
    let result = catch_unwind(AssertUnwindSafe(|| run(&plan, &report, false)));
    match result {
        Ok(()) => Ok(report.into_inner().steps),
        Err(panic) => Err(match panic.downcast::<String>() {
            Ok(why) => *why,
            Err(panic) => panic
                .downcast::<&str>()
                .map_or_else(|_| String::new(), |why| (*why).into()),
        }),
    }
}

fn number_in(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}
