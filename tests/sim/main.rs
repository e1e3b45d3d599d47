//! A deterministic simulator: drawn users, a moody manager and a mischievous runtime, on a virtual
//! clock, beside a plain reference model.
//!
//! A *seed* makes a [`Plan`]: the settings of a pool, what its runtime does wrong, how the calls
//! of its manager go, and what each of its users does. [`run`] plays it: at every step chance picks
//! who goes on, and the model and the ledger are asked whether all is as it must be; at the end,
//! once everything goes well again, the pool must be as good as new, and then leave nothing behind.
//!
//! Beside the number of steps it prints (with `--nocapture`) how often everything happened that can;
//! if something never does, the default run fails.
//!
//! ```text
//! cargo test --test sim                                                  a few thousand seeds
//! WATERTIGHT_SEEDS=0..200000 cargo test --profile checked --test sim     many of them
//! WATERTIGHT_SEED=17 cargo test --test sim                               one, and all that happens
//! WATERTIGHT_SCRIPT=fuzz/artifacts/.. cargo test --test sim              one that a fuzzer found
//! ```

// In a test, an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod alarm;
mod answers;
mod change;
mod changes;
mod conditions;
mod coverage;
mod draw;
mod ending;
mod fickle;
mod load;
mod loans;
mod model;
mod operating;
mod outage;
mod plan;
mod quiet;
mod renewal;
mod run;
mod settings;
#[path = "../it/support/mod.rs"]
mod support;
mod turned_away;
mod user;
mod watched;
mod watcher;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs};

use coverage::Counts;
use draw::Draw;
use plan::Plan;
use run::{Report, run};

/// So many seeds are tried by default.
const SEEDS: Range<u64> = 0..3_000;
/// After so many failures the rest would not tell more.
const ENOUGH: usize = 20;

#[test]
fn whatever_happens_nothing_leaks_starves_or_hangs() {
    if let Ok(seed) = env::var("WATERTIGHT_SEED") {
        return replay(&mut Draw::from_seed(seed.parse().expect("a number")));
    }
    if let Ok(script) = env::var("WATERTIGHT_SCRIPT") {
        let bytes = fs::read(&script).expect("a file");
        return replay(&mut Draw::from_bytes(&bytes));
    }
    let seeds = env::var("WATERTIGHT_SEEDS").map_or(SEEDS, |range| {
        let (first, end) = range.split_once("..").expect("first..end");
        first.parse().expect("a number")..end.parse().expect("a number")
    });
    assert!(!seeds.is_empty(), "no seed in {seeds:?}");
    let Tally {
        steps,
        failures,
        counts,
    } = try_seeds(&seeds);
    println!("seeds {seeds:?}: {steps} steps");
    coverage::print(&counts);
    assert!(
        failures.is_empty(),
        "seeds that fail: {failures:#?}\nreplay one with WATERTIGHT_SEED=.. cargo test --test sim"
    );
    if seeds == SEEDS {
        coverage::assert_complete(&counts);
    }
}

/// What came of many seeds.
#[derive(Default)]
struct Tally {
    steps: usize,
    failures: Vec<(u64, String)>,
    counts: Counts,
}

fn try_seeds(seeds: &Range<u64>) -> Tally {
    let next = AtomicU64::new(seeds.start);
    let tally = Mutex::new(Tally::default());
    let work = || {
        while tally.lock().unwrap().failures.len() < ENOUGH {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = try_plan(&mut Draw::from_seed(seed));
            let mut tally = tally.lock().unwrap();
            match outcome {
                Ok(steps) => tally.steps += steps,
                Err(why) => tally.failures.push((seed, why)),
            }
        }
        let counts = &mut tally.lock().unwrap().counts;
        for (what, count) in coverage::take() {
            *counts.entry(what).or_default() += count;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    tally.into_inner().unwrap()
}

/// What the fuzzer has found worth keeping, because it got somewhere new.
#[test]
fn scripts_in_the_corpus_of_the_fuzzer_pass() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/script");
    let Ok(corpus) = fs::read_dir(corpus) else {
        println!("the corpus is not part of the published package");
        return;
    };
    let mut scripts = 0;
    for entry in corpus {
        let script = entry.unwrap().path();
        let outcome = try_plan(&mut Draw::from_bytes(&fs::read(&script).unwrap()));
        assert!(outcome.is_ok(), "{}: {outcome:?}", script.display());
        scripts += 1;
    }
    assert!(scripts > 100, "the corpus is gone: {scripts}");
}

/// Runs one plan; returns the number of its steps, or why it failed.
fn try_plan(draw: &mut Draw<'_>) -> Result<usize, String> {
    let plan = Plan::draw(draw);
    let report = RefCell::<Report>::default();
    alarm::watch(|| run(&plan, &report, false))?;
    Ok(report.into_inner().steps)
}

/// Runs one plan, and prints it and all that happens.
fn replay(draw: &mut Draw<'_>) {
    let plan = Plan::draw(draw);
    let report = RefCell::default();
    println!("{plan}");
    let result = alarm::watch(|| run(&plan, &report, true));
    for line in &report.borrow().trace {
        println!("{line}");
    }
    assert_eq!(result, Ok(()), "it fails");
}
