//! The input is a plan for the simulator: settings, mischief, and what each user does.

#![no_main]
#![allow(clippy::unwrap_used, dead_code)]

#[path = "../../tests/sim/answers.rs"]
mod answers;
#[path = "../../tests/sim/change.rs"]
mod change;
#[path = "../../tests/sim/changes.rs"]
mod changes;
#[path = "../../tests/sim/conditions.rs"]
mod conditions;
#[path = "../../tests/sim/coverage.rs"]
mod coverage;
#[path = "../../tests/sim/draw.rs"]
mod draw;
#[path = "../../tests/sim/ending.rs"]
mod ending;
#[path = "../../tests/sim/fickle.rs"]
mod fickle;
#[path = "../../tests/sim/load.rs"]
mod load;
#[path = "../../tests/sim/loans.rs"]
mod loans;
#[path = "../../tests/sim/model.rs"]
mod model;
#[path = "../../tests/sim/operating.rs"]
mod operating;
#[path = "../../tests/sim/outage.rs"]
mod outage;
#[path = "../../tests/sim/plan.rs"]
mod plan;
#[path = "../../tests/sim/quiet.rs"]
mod quiet;
#[path = "../../tests/sim/renewal.rs"]
mod renewal;
#[path = "../../tests/sim/run.rs"]
mod run;
#[path = "../../tests/sim/settings.rs"]
mod settings;
#[path = "../../tests/it/support/mod.rs"]
mod support;
#[path = "../../tests/sim/turned_away.rs"]
mod turned_away;
#[path = "../../tests/sim/user.rs"]
mod user;
#[path = "../../tests/sim/watched.rs"]
mod watched;
#[path = "../../tests/sim/watcher.rs"]
mod watcher;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

use draw::Draw;
use plan::Plan;

fuzz_target!(|script: &[u8]| {
    let plan = Plan::draw(&mut Draw::from_bytes(script));
    // libFuzzer's hook would abort at a panic that the pool is to survive: those of the manager and
    // of the users. They are raised without the hook, so what it sees is a failure.
    run::run(&plan, &RefCell::default(), false);
});
