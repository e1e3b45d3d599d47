//! The end of a run: once all goes well again, the pool must be as good as new.

use std::time::Duration;

use watertight::Pool;

use crate::fickle::Fickle;
use crate::plan::{Plan, ms};
use crate::support::{LawPool, Scripted};
use crate::user::Stage;

/// The users are gone, and nothing goes wrong any more.
pub(crate) fn after(stage: &Stage<'_>, pool: Option<Pool<Scripted>>, plan: &Plan, own: &Fickle) {
    stage.note(|| "all is well again".into());
    let world = stage.world;
    for script in [
        world.connects(),
        world.checks(),
        world.inspects(),
        world.recycles(),
        world.closes(),
    ] {
        script.forget();
    }
    own.come_to_its_senses();
    stage.runtime.drop_spawned(false);
    let starts_anew = plan.mischief.loses && stage.chance.borrow_mut().bool();
    if starts_anew {
        // Another runtime, so to speak: of the tasks with faults none is left.
        stage.runtime.kill();
        stage.runtime.drop_spawned(false);
    }
    give_time(stage, plan);
    let Some(pool) = pool else {
        stage.forgotten.borrow_mut().clear();
        stage.leaked.borrow_mut().clear();
        return;
    };
    let pool = LawPool::of(pool, world);
    if !pool.is_closed() {
        if !plan.mischief.loses {
            has_recovered(&pool, plan);
        }
        has_its_full_capacity(stage, &pool);
        if starts_anew {
            comes_back_to_life(stage, &pool, plan);
        }
    }
    stage.forgotten.borrow_mut().clear();
    stage.model.compare(&pool);
    let leaked = stage.leaked.borrow().len();
    let left = stage
        .runtime
        .block_on(pool.close_within(plan.settings.patience()));
    assert_eq!(
        left, leaked,
        "places are taken, but not by those who leaked"
    );
    stage.leaked.borrow_mut().clear();
}

/// Longer than any limit, any delay, the idle time-out, and the patience of those who were forgotten.
fn give_time(stage: &Stage<'_>, plan: &Plan) {
    let settings = &plan.settings;
    let idle = settings.idle_timeout.unwrap_or(0) * 5 / 4;
    let late = ms(3 * plan.mischief.late + idle);
    let time = settings.patience() + settings.longest_call() + settings.longest_delay();
    stage.runtime.advance(time + late);
    stage.model.look();
}

/// Without anybody asking.
fn has_recovered(pool: &LawPool, plan: &Plan) {
    let settings = &plan.settings;
    let status = pool.status();
    let free = status.max_size.saturating_sub(status.in_use);
    assert!(
        status.idle >= settings.min_idle.min(free),
        "not refilled: {status:?}"
    );
    assert!(
        settings.idle_timeout.is_none() || status.idle <= settings.min_idle,
        "idle for too long: {status:?}"
    );
}

fn has_its_full_capacity(stage: &Stage<'_>, pool: &LawPool) {
    let status = pool.status();
    let lost = stage.leaked.borrow().len() + stage.forgotten.borrow().len();
    assert!(status.in_use <= lost, "lent, but nobody has it: {status:?}");
    let most = status.max_size.saturating_sub(status.in_use);
    let patience = Duration::from_secs(30);
    let held = stage.runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..most {
            let acquire = pool.acquire_timeout(patience);
            held.push(stage.model.watch(patience, acquire).await);
        }
        held
    });
    for (place, conn) in held.iter().enumerate() {
        assert!(conn.is_ok(), "only {place} of {most}: {conn:?}");
    }
}

/// There may have been nobody to keep the pool warm, but whoever wants something of it brings that
/// about, and then it stays so without being asked.
fn comes_back_to_life(stage: &Stage<'_>, pool: &LawPool, plan: &Plan) {
    let status = pool.status();
    if status.in_use < status.max_size && stage.chance.borrow_mut().bool() {
        pool.retain(|_, _| false);
        let patience = Duration::from_secs(30);
        let acquire = stage.model.watch(patience, pool.acquire_timeout(patience));
        let acquired = stage.runtime.block_on(acquire);
        assert!(acquired.is_ok(), "all is well, but: {acquired:?}");
    } else {
        let filled = stage.runtime.block_on(pool.fill());
        assert!(filled.is_ok(), "all is well, but: {filled:?}");
        pool.retain(|_, _| false);
    }
    give_time(stage, plan);
    has_recovered(pool, plan);
}
