//! The crate's aims, as ratios within one run.

use watertight_peers::measure::Sample;
use watertight_peers::scenarios::{Contender, Scenario};

use crate::runs::Results;

use Contender::{Bb8, Deadpool, Limit, R2d2, Watertight};

fn cycle(sample: &Sample) -> Option<f64> {
    sample.cycle_ns
}

/// How many times another takes as long for a cycle as this pool.
fn faster(results: &Results, scenario: Scenario, other: Contender) -> Option<f64> {
    let ours = results.median(scenario, Watertight, cycle)?;
    Some(results.median(scenario, other, cycle)? / ours)
}

fn p999(sample: &Sample) -> Option<f64> {
    Some(sample.waits.as_ref()?.p999)
}

fn worst(sample: &Sample) -> Option<f64> {
    Some(sample.waits.as_ref()?.worst)
}

fn fairness(sample: &Sample) -> Option<f64> {
    sample.fairness
}

pub fn tell(results: &Results) {
    println!("\nAims\n\n| what | aim | measured |\n|---|---|---|");
    let at_least = [
        (
            "uncontended, faster than deadpool",
            4.0,
            Scenario::Uncontended,
            Deadpool,
        ),
        (
            "uncontended, faster than bb8",
            4.0,
            Scenario::Uncontended,
            Bb8,
        ),
        (
            "uncontended thread, faster than r2d2",
            4.0,
            Scenario::Thread,
            R2d2,
        ),
        (
            "16 tasks on 16, faster than deadpool",
            3.0,
            Scenario::Ample,
            Deadpool,
        ),
        ("16 tasks on 16, faster than bb8", 3.0, Scenario::Ample, Bb8),
        (
            "64 tasks on 8, faster than deadpool",
            1.3,
            Scenario::Contended,
            Deadpool,
        ),
        (
            "the same with time-outs in both",
            1.3,
            Scenario::ContendedTimeOuts,
            Deadpool,
        ),
        (
            "64 on 8, one thread, faster than deadpool",
            2.0,
            Scenario::CurrentThread,
            Deadpool,
        ),
        (
            "the same with time-outs in both",
            2.0,
            Scenario::CurrentThreadTimeOuts,
            Deadpool,
        ),
        (
            "8 threads on 4, faster than r2d2",
            1.5,
            Scenario::Threads,
            R2d2,
        ),
    ];
    for (what, aim, scenario, other) in at_least {
        line(
            what,
            &format!("at least {aim} times"),
            faster(results, scenario, other),
            |it| it >= aim,
        );
    }
    let limit = results.median(Scenario::Thread, Limit, cycle);
    let of_limit = |scenario| Some(results.median(scenario, Watertight, cycle)? / limit?);
    let most = "at most 2.5 times";
    line(
        "uncontended task, to the mutex",
        most,
        of_limit(Scenario::Uncontended),
        |it| it <= 2.5,
    );
    line(
        "uncontended thread, to the mutex",
        most,
        of_limit(Scenario::Thread),
        |it| it <= 2.5,
    );
    let fair = |scenario| results.median(scenario, Watertight, fairness);
    line(
        "64 tasks on 8, fairness",
        "at least 0.9",
        fair(Scenario::Contended),
        |it| it >= 0.9,
    );
    line(
        "8 threads on 4, fairness",
        "at least 0.9",
        fair(Scenario::Threads),
        |it| it >= 0.9,
    );
    let to = |which: fn(&Sample) -> Option<f64>, other| {
        let ours = results.median(Scenario::Contended, Watertight, which)?;
        Some(ours / results.median(Scenario::Contended, other, which)?)
    };
    line(
        "64 on 8, p99.9 to deadpool's",
        "at most 1",
        to(p999, Deadpool),
        |it| it <= 1.0,
    );
    line(
        "64 on 8, worst wait to bb8's",
        "at most 0.1",
        to(worst, Bb8),
        |it| it <= 0.1,
    );
    let crowd = |scenario| results.median(scenario, Watertight, cycle);
    let grows = crowd(Scenario::Crowd100000).zip(crowd(Scenario::Crowd100));
    let grows = grows.map(|(large, small)| large / small);
    line(
        "a crowd of 100,000 to one of 100",
        "at most 2",
        grows,
        |it| it <= 2.0,
    );
    let served = results.median(Scenario::SlowConnect, Watertight, worst);
    line(
        "slow connect: served after, ms",
        "by the return, 20",
        served,
        |it| it < 100.0,
    );
}

fn line(what: &str, aim: &str, measured: Option<f64>, reached: impl Fn(f64) -> bool) {
    let Some(measured) = measured else {
        return;
    };
    let verdict = match reached(measured) {
        true => "",
        false => " (missed)",
    };
    println!("| {what} | {aim} | {measured:.2}{verdict} |");
}
