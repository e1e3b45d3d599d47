//! Several keys, drawn users, dead servers, and a clock that a seed decides the order of: at every
//! step the limit holds, and whenever all is quiet nobody waits for what could be had.
//!
//! `WATERTIGHT_SEEDS=0..100000` tries others than the usual seeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use futures_lite::future::or;
use watertight::{Backoff, CheckPolicy, Condition, ConnectPolicy, Faults, KeyedBuilder};

use crate::support::{
    Acquired, KeyedLawPool, Scripted, Step, Virtual, World, err, hang, ok, panics, permanent,
};

const USERS: usize = 30;

/// What a seed decides.
#[derive(Debug)]
struct Plan {
    max_total: usize,
    max_per_key: usize,
    concurrency: Option<usize>,
    policy: ConnectPolicy,
    checks: CheckPolicy,
    idle_timeout: Option<Duration>,
    max_uses: Option<u64>,
    servers: Vec<Server>,
    /// Tasks are lost, and polled in vain.
    faults: bool,
    /// Users give up, and keys are cleared and removed.
    unrest: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Up,
    Moody,
    Down,
    Hung,
}

impl Plan {
    fn draw(rng: &mut Rng, faults: bool) -> Self {
        let max_total = rng.usize(1..=5);
        let backoff = Backoff::new(ms(rng.u64(1..=50)), ms(200));
        let peaceful = !faults && rng.u8(0..3) == 0;
        let server = |rng: &mut Rng| match rng.u8(0..6) {
            _ if peaceful => Server::Up,
            0 => Server::Down,
            1 => Server::Hung,
            2 => Server::Moody,
            _ => Server::Up,
        };
        Plan {
            max_total,
            max_per_key: rng.usize(1..=max_total + 1),
            concurrency: (rng.u8(0..4) == 0).then(|| rng.usize(1..=2)),
            policy: match rng.bool() {
                true => ConnectPolicy::Retry(backoff),
                false => ConnectPolicy::FailFast,
            },
            checks: match rng.u8(0..3) {
                0 => CheckPolicy::Always,
                1 => CheckPolicy::IdleFor(ms(20)),
                _ => CheckPolicy::Never,
            },
            idle_timeout: rng.bool().then(|| ms(rng.u64(20..=400))),
            max_uses: (rng.u8(0..4) == 0).then(|| rng.u64(1..=3)),
            servers: (0..rng.usize(1..=5)).map(|_| server(rng)).collect(),
            faults,
            unrest: !peaceful,
        }
    }

    /// Everybody is served, sooner or later.
    fn is_peaceful(&self) -> bool {
        !self.unrest && !self.faults
    }

    fn settings(&self, b: KeyedBuilder<u32, Scripted>) -> KeyedBuilder<u32, Scripted> {
        b.max_total(self.max_total)
            .max_per_key(self.max_per_key)
            .each(|b| {
                b.connect_concurrency(self.concurrency)
                    .connect_policy(self.policy)
                    .check_policy(self.checks)
                    .idle_timeout(self.idle_timeout)
                    .max_uses(self.max_uses)
                    .connect_timeout(ms(300))
                    .check_timeout(ms(100))
                    .recycle_timeout(ms(100))
                    .close_timeout(ms(100))
            })
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How a call of the manager's ends, on a bad day.
fn mood(rng: &mut Rng) -> Step {
    match rng.u8(0..8) {
        0 => err(),
        1 => hang(),
        2 => panics(),
        3 => permanent(),
        _ => ok().after(ms(rng.u64(0..=20))),
    }
}

fn set_the_stage(w: &World, pool: &KeyedLawPool, plan: &Plan, rng: &mut Rng) {
    for (key, server) in (0..).zip(&plan.servers) {
        let connects = pool.connects(key);
        match server {
            Server::Up => connects.always(ok().after(ms(rng.u64(0..=20)))),
            Server::Moody => connects.next((0..40).map(|_| mood(rng)).collect::<Vec<_>>()),
            Server::Down => connects.always(err().after(ms(rng.u64(0..=5)))),
            Server::Hung => connects.always(hang()),
        }
    }
    let quick = rng.u64(0..=10);
    w.closes().always(ok().after(ms(quick)));
    w.checks().always(ok().after(ms(quick / 2)));
    w.recycles().always(ok().after(ms(quick / 3)));
    if plan.unrest {
        for script in [w.closes(), w.checks(), w.recycles()] {
            script.next((0..20).map(|_| mood(rng)).collect::<Vec<_>>());
        }
    }
}

/// What a user does, again and again.
async fn use_keys(w: World, pool: KeyedLawPool, plan: Arc<Plan>, mut rng: Rng) {
    for _ in 0..rng.usize(1..=5) {
        w.sleep(rng.u64(0..=100)).await;
        let key = rng.u32(0..plan.servers.len() as u32);
        if plan.unrest && rng.u8(0..20) == 0 {
            match rng.bool() {
                true => drop(pool.clear(&key)),
                false => drop(pool.remove(&key)),
            }
        }
        if plan.unrest && rng.u8(0..10) == 0 {
            drop(pool.try_acquire(key));
        }
        let patience = match plan.is_peaceful() {
            true => 20_000,
            false => rng.u64(0..=800),
        };
        let acquired = acquire(&w, &pool, &plan, key, patience, &mut rng).await;
        assert!(
            !plan.is_peaceful() || matches!(acquired, Some(Ok(_))),
            "starved: {acquired:?}"
        );
        let Some(Ok(mut lent)) = acquired else {
            continue;
        };
        w.sleep(rng.u64(0..=30)).await;
        match rng.u8(0..10) {
            0 => lent.discard(),
            1 => drop(lent.detach()),
            2 => lent.condition = Condition::Broken,
            3 => lent.condition = Condition::Dirty,
            _ => {}
        }
    }
}

/// `None` if the user gave up.
async fn acquire(
    w: &World,
    pool: &KeyedLawPool,
    plan: &Plan,
    key: u32,
    patience: u64,
    rng: &mut Rng,
) -> Option<Acquired> {
    let acquire = async { Some(pool.acquire_timeout(key, ms(patience)).await) };
    if !plan.unrest || rng.u8(0..4) != 0 {
        return acquire.await;
    }
    let give_up = async {
        w.sleep(rng.u64(0..=100)).await;
        None
    };
    or(acquire, give_up).await
}

/// Nobody whose server is up waits for what could be had.
fn assert_nobody_waits_in_vain(pool: &KeyedLawPool, plan: &Plan) {
    let total = pool.total_status();
    let unserved = |key: u32| {
        let status = pool.status(&key)?;
        let coming = status.connecting + status.checking;
        let room = plan.max_per_key.saturating_sub(status.size);
        let limit = plan.concurrency.unwrap_or(usize::MAX);
        let begin = limit.saturating_sub(status.connecting);
        Some(status.waiting.saturating_sub(coming).min(room).min(begin))
    };
    let up = (0..).zip(&plan.servers);
    let up = up.filter(|(_, server)| **server == Server::Up);
    let unserved: usize = up.filter_map(|(key, _)| unserved(key)).sum();
    if unserved == 0 {
        return;
    }
    let leaving = total.closing + total.connecting;
    assert!(
        total.size == plan.max_total,
        "{unserved} wait beside a free place: {total}; {:#?}; {plan:?}",
        pool.keys()
            .into_iter()
            .map(|key| (key, pool.status(&key)))
            .collect::<Vec<_>>()
    );
    assert!(
        total.idle == 0 || leaving >= unserved,
        "{unserved} wait beside an idle connection: {total}"
    );
}

/// Plays a plan to its end; returns how many steps that took.
fn play(seed: u64, faults: bool) -> usize {
    let mut rng = Rng::with_seed(seed);
    let plan = Arc::new(Plan::draw(&mut rng, faults));
    let runtime = Virtual::seeded(seed);
    let theirs = match faults {
        true => {
            let faults = Faults::none().drop_unpolled(0.05).drop_midway(0.02);
            runtime.with_faults(faults.poll_in_vain(0.05))
        }
        false => runtime.clone(),
    };
    let mut steps = 0;
    World::by_hand_on(runtime.clone(), |w, runtime| {
        let pool = w.keyed_pool(|b| plan.settings(b).each(|b| b.runtime(theirs)));
        set_the_stage(w, &pool, &plan, &mut rng);
        let left = Arc::new(AtomicUsize::new(USERS));
        for _ in 0..USERS {
            let user = use_keys(w.clone(), pool.clone(), Arc::clone(&plan), rng.fork());
            let left = Arc::clone(&left);
            drop(w.spawn(async move {
                user.await;
                left.fetch_sub(1, Ordering::SeqCst);
            }));
        }
        while left.load(Ordering::SeqCst) > 0 {
            while runtime.step() {
                steps += 1;
                let size = pool.total_status().size;
                assert!(size <= plan.max_total, "{size} places: {plan:?}");
                w.ledger().assert_clean();
            }
            if !plan.faults {
                assert_nobody_waits_in_vain(&pool, &plan);
            }
            assert!(
                left.load(Ordering::SeqCst) == 0 || runtime.skip(),
                "users wait for ever"
            );
        }
        settle_down(w, runtime, &pool);
    });
    steps
}

/// When all have gone, so has everything else.
fn settle_down(w: &World, runtime: &Virtual, pool: &KeyedLawPool) {
    runtime.advance(ms(2000));
    let total = pool.total_status();
    assert_eq!((total.waiting, total.in_use), (0, 0), "{total}");
    assert_eq!(total.size, total.idle, "{total}");
    for key in pool.keys() {
        pool.clear(&key);
    }
    runtime.advance(ms(2000));
    assert!(pool.keys().is_empty(), "{:?} are left", pool.keys());
    if !runtime.lost_tasks() {
        assert_eq!(w.ledger().managers(), 0);
        assert_eq!((runtime.tasks(), runtime.timers()), (0, 0));
    }
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("WATERTIGHT_SEEDS") else {
        return 0..400;
    };
    let (first, end) = range.split_once("..").unwrap();
    first.parse().unwrap()..end.parse().unwrap()
}

fn play_all(faults: bool) {
    let failed = seeds().filter(|&seed| {
        let played = std::panic::catch_unwind(|| play(seed, faults));
        played.is_err()
    });
    let failed: Vec<_> = failed.take(10).collect();
    assert!(failed.is_empty(), "seeds that fail: {failed:?}");
}

/// Laws L4, 192, 193 and 194, whatever the users and the servers do.
#[test]
fn nobody_waits_for_what_another_key_could_spare() {
    play_all(false);
}

/// Law L4 and guarantee 11: the runtime loses tasks.
#[test]
fn limit_holds_whatever_tasks_are_lost() {
    play_all(true);
}
