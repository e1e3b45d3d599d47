//! The runtimes: what the pool asks of them, and what it does when they are odd, late or gone.

mod begun_here;
mod coarse;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod crowded;
#[cfg(feature = "tokio")]
mod greedy;
mod inline;
#[cfg(feature = "tokio")]
mod on_tokio;
mod plain;

use std::future::{Ready, ready};
use std::io;
#[cfg(any(feature = "tokio", feature = "smol"))]
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use watertight::{
    BoxFuture, BuildError, Builder, FromFn, KeyedPool, Observer, Pool, Spawner, SyncPool, Timer,
};

use crate::support::{Virtual, World, comes_to_its_end};

mod threads {
    include!("../support/threads.rs");
}
use threads::Threads;

/// Runs this test in a process of its own, with these variables in its environment. True if this is that.
#[cfg(any(feature = "tokio", feature = "smol"))]
fn is_alone(test: &str, variables: &[(&str, &str)]) -> bool {
    const ALONE: &str = "WATERTIGHT_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let alone = Command::new(std::env::current_exe().unwrap())
        .args([&format!("runtimes::{test}"), "--exact"])
        .env(ALONE, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let run = String::from_utf8_lossy(&alone.stdout).contains("1 passed");
    assert!(alone.status.success() && run, "{alone:?}");
    false
}

/// Counts what it is asked for.
#[derive(Clone, Default)]
struct Counting(Arc<Asked>);

#[derive(Default)]
struct Asked {
    tasks: AtomicUsize,
    times: AtomicUsize,
    timers: AtomicUsize,
}

impl Counting {
    fn all(&self) -> [usize; 3] {
        let Asked {
            tasks,
            times,
            timers,
        } = &*self.0;
        [tasks, times, timers].map(|counter| counter.load(Ordering::SeqCst))
    }
}

impl Spawner for Counting {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.tasks.fetch_add(1, Ordering::SeqCst);
        Threads.spawn(task);
    }
}

impl Timer for Counting {
    fn now(&self) -> Instant {
        self.0.times.fetch_add(1, Ordering::SeqCst);
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.0.timers.fetch_add(1, Ordering::SeqCst);
        Threads.sleep_until(at)
    }
}

#[test]
fn runtime_of_the_users_own_runs_a_pool() {
    let pool = Pool::from_fn(|| async { Ok::<_, io::Error>(7) })
        .max_size(2)
        .runtime(Threads)
        .build()
        .unwrap();
    let conn = block_on(pool.acquire()).unwrap();
    assert_eq!(*conn, 7);
    let second = block_on(pool.acquire()).unwrap();
    let late = block_on(pool.acquire_timeout(Duration::from_millis(20)));
    assert!(late.unwrap_err().is_timed_out());
    drop((conn, second));
    block_on(pool.close());
}

#[test]
fn blocking_work_is_done_by_default_on_a_thread_of_its_own() {
    let (done, name) = std::sync::mpsc::channel();
    Threads.spawn_blocking(Box::new(move || {
        let name = std::thread::current().name().map(String::from);
        done.send(name).unwrap();
    }));
    let name = name.recv().unwrap();
    assert_eq!(name.as_deref(), Some("watertight-blocking"));
}

/// Uses a pool over and over, and asserts that nothing is spawned meanwhile, and the clock read at
/// most so often for each use.
fn use_over_and_over(
    set: impl FnOnce(Builder<Connects, SyncPool<Connects>>) -> Builder<Connects, SyncPool<Connects>>,
    readings_of_a_use: usize,
) {
    let runtime = Counting::default();
    let connect: fn() -> Ready<io::Result<()>> = || ready(Ok(()));
    let pool = set(SyncPool::from_fn(connect).runtime(runtime.clone()))
        .build()
        .unwrap();
    drop(pool.acquire().unwrap());
    // Once it is over, it stands in nobody's way.
    pool.fill().unwrap();
    for _ in 0..1000 {
        drop(pool.acquire().unwrap());
    }
    let before = runtime.all();
    let begun = Instant::now();
    const CYCLES: usize = 100_000;
    for _ in 0..CYCLES {
        drop(pool.acquire().unwrap());
    }
    let after = runtime.all();
    let [tasks, times, timers] = std::array::from_fn(|i| after[i] - before[i]);
    assert_eq!(tasks, 0);
    // The maintenance reads the clock and sets its timer once a tick, a tenth of a second: seldom, but
    // on a machine that is busy with other things, for a long time.
    let most = CYCLES / 500 + begun.elapsed().as_millis() as usize / 20;
    let of_uses = readings_of_a_use * CYCLES;
    assert!(times < of_uses + most, "{times} readings in {CYCLES} uses");
    assert!(times >= of_uses, "{times} readings in {CYCLES} uses");
    assert!(timers < most, "{timers} timers in {CYCLES} uses");
    pool.close();
}

type Connects = FromFn<fn() -> Ready<io::Result<()>>>;

/// Guarantee 10.
#[test]
fn hot_path_spawns_nothing_waits_for_nothing_and_reads_no_clock() {
    use_over_and_over(|pool| pool, 0);
}

#[test]
fn use_of_a_pool_that_is_observed_reads_the_clock_twice() {
    struct Nobody;
    impl Observer for Nobody {}
    use_over_and_over(|pool| pool.observer(Nobody), 2);
}

/// Guarantee 10, for a key: only what comes back is looked at by the clock.
#[test]
fn hot_path_of_a_key_reads_no_clock_to_lend() {
    let runtime = Counting::default();
    let pool = KeyedPool::builder(|_: &u8| FromFn::new(|| async { Ok::<_, io::Error>(()) }))
        .each(|each| each.runtime(runtime.clone()))
        .build_sync()
        .unwrap();
    for _ in 0..1000 {
        drop(pool.acquire(&1).unwrap());
    }
    const CYCLES: usize = 10_000;
    let begun = Instant::now();
    let mut readings = 0;
    for _ in 0..CYCLES {
        let [_, before, _] = runtime.all();
        let conn = pool.acquire(&1).unwrap();
        let [_, after, _] = runtime.all();
        readings += after - before;
        drop(conn);
    }
    let most = CYCLES / 50 + begun.elapsed().as_millis() as usize / 20;
    assert!(readings < most, "{readings} readings in {CYCLES} cycles");
    pool.close();
}

/// Guarantee 10.
#[test]
fn idle_pool_is_left_alone() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.idle_timeout(None).max_lifetime(None).min_idle(2));
        drop(runtime.block_on(pool.acquire_many(2)));
        runtime.advance(Duration::from_secs(5));
        assert_eq!(
            runtime.timers(),
            0,
            "nothing is due, so nothing is waited for"
        );
    });
}

#[test]
fn spawner_that_runs_tasks_on_the_spot_is_as_good_as_any() {
    struct OnTheSpot(Virtual);
    impl Spawner for OnTheSpot {
        fn spawn(&self, mut task: BoxFuture<()>) {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            if task.as_mut().poll(&mut cx).is_pending() {
                self.0.spawn(task);
            }
        }
    }
    impl Timer for OnTheSpot {
        fn now(&self) -> Instant {
            self.0.now()
        }
        fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
            self.0.sleep_until(at)
        }
    }
    World::by_hand(|w, runtime| {
        w.connects()
            .next([crate::support::err(), crate::support::panics()]);
        let pool = w.pool(|b| {
            b.max_size(2)
                .min_idle(1)
                .runtime(OnTheSpot(runtime.clone()))
        });
        let held = runtime.block_on(pool.acquire_many(2));
        for conn in held {
            conn.discard();
        }
        drop(runtime.block_on(pool.acquire_many(2)));
    });
}

/// Guarantee 11.
#[test]
fn spawner_that_drops_every_task_leaves_the_work_to_those_who_wait() {
    let runtime = Virtual::new();
    runtime.drop_spawned(true);
    World::by_hand_on(runtime, |w, runtime| {
        let pool = w.pool(|b| b.max_size(2).min_idle(2));
        let held = runtime.block_on(pool.acquire_many(2));
        let mut third = Box::pin(pool.acquire());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(third.as_mut().poll(&mut cx).is_pending());
        for conn in held {
            conn.discard();
        }
        drop(runtime.block_on(third).unwrap());
        w.connects().next([crate::support::err()]);
        drop(runtime.block_on(pool.acquire_many(2)));
        assert!(w.connects().calls() >= 4, "also after a refusal");
    });
}

/// Guarantee 11. The attempt that one waiter runs serves whoever is first; if its runner goes, the
/// next runs it.
#[test]
fn waiter_that_runs_an_attempt_may_go_and_the_next_takes_over() {
    let runtime = Virtual::new();
    runtime.drop_spawned(true);
    World::by_hand_on(runtime, |w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        w.connects()
            .always(crate::support::ok().after(Duration::from_millis(100)));
        let mut first = Box::pin(pool.acquire());
        let second = pool.clone();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let survivor = async {
            let watch = w.stopwatch();
            let conn = second.acquire().await.unwrap();
            watch.assert_at(150);
            drop(conn);
        };
        let quitter = async {
            w.sleep(50).await;
            drop(first);
            std::future::pending::<()>().await;
        };
        runtime.block_on(futures_lite::future::or(survivor, quitter));
    });
}

#[test]
fn pool_without_a_runtime_is_not_built() {
    let builder = Pool::from_fn(|| async { Ok::<_, io::Error>(()) });
    match builder.build() {
        // smol is there everywhere.
        Ok(_) if cfg!(feature = "smol") => {}
        Ok(_) => panic!("on which runtime?"),
        Err(error) => {
            assert_eq!(error, BuildError::NoRuntime);
            assert!(error.to_string().contains("runtime(..)"), "{error}");
        }
    }
}

/// Its timers ring when half of the time is over.
#[derive(Clone)]
struct Early(Virtual);

impl Spawner for Early {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.spawn(task);
    }
}

impl Timer for Early {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        let left = at.saturating_duration_since(self.now());
        let early = (left / 2).max(Duration::from_millis(1)).min(left);
        self.0.sleep_until(self.now() + early)
    }
}

/// Who waits for a time-out comes back in vain, and waits on.
#[test]
fn timers_that_ring_early_cut_nothing_short() {
    let runtime = Virtual::new();
    let patience = Duration::from_secs(8);
    let pool = Pool::from_fn(|| async { Ok::<_, io::Error>(()) })
        .runtime(Early(runtime.clone()))
        .max_size(1)
        .build()
        .unwrap();
    let held = runtime.block_on(pool.acquire()).unwrap();
    let begun = runtime.now();
    let late = runtime.block_on(pool.acquire_timeout(patience));
    assert!(late.unwrap_err().is_timed_out());
    assert_eq!(runtime.now() - begun, patience);
    let begun = runtime.now();
    assert_eq!(runtime.block_on(pool.close_within(patience)), 1);
    assert_eq!(runtime.now() - begun, patience);
    drop(held);
    runtime.kill();
}
