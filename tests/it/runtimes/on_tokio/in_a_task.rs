//! Callers that block in a task, or wherever else a runtime is under way.

use futures_lite::future::poll_once;
use tokio::task::coop::consume_budget;

use super::*;

/// Threads of the runtime that block in an acquire hold up their tasks, not the pool.
#[test]
fn blocking_acquire_in_a_task_does_not_dead_lock_a_multi_thread_runtime() {
    let runtime = two_workers();
    let connect = || async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok::<_, io::Error>(())
    };
    let build = move || Pool::from_fn(connect).max_size(1).build().unwrap().sync();
    let task = runtime.spawn(async move {
        let pool = build();
        // A worker keeps the task that it spawned last for itself: the connect, and then the close.
        drop(pool.acquire().unwrap());
        pool.close();
    });
    runtime.block_on(task).unwrap();
    // Nor can the keeper be waited for, which is not always there yet.
    for _ in 0..100 {
        let pool = runtime.block_on(async { build() });
        let blocking = pool.clone();
        let task = runtime.spawn(async move { blocking.acquire().map(drop) });
        runtime.block_on(task).unwrap().unwrap();
        pool.close();
    }
}

/// A worker keeps what was spawned last for itself, on whichever runtime the pool is.
#[test]
fn blocking_acquire_gives_away_the_task_that_it_waits_for_though_the_pool_is_elsewhere() {
    let pools = [
        trivial().runtime(TokioRuntime::background()),
        #[cfg(feature = "smol")]
        trivial().runtime(watertight::SmolRuntime::new()),
        trivial().runtime(Threads),
    ];
    for pool in pools {
        let runtime = two_workers();
        let task = runtime.spawn(async {
            let pool = pool.max_size(1).build().unwrap();
            let held = pool.acquire().await.unwrap();
            tokio::spawn(async { drop(held) });
            pool.sync().acquire_timeout(PATIENCE).map(drop)
        });
        runtime.block_on(task).unwrap().unwrap();
    }
}

/// The other worker sleeps, and this one has been the last to look after timers.
#[test]
fn blocking_acquire_gives_away_the_timers_that_it_waits_for() {
    let runtime = two_workers();
    let task = runtime.spawn(async {
        let pool = trivial().max_size(1).runtime(TokioRuntime::background());
        let pool = pool.build().unwrap();
        let held = pool.acquire().await.unwrap();
        tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            drop(held);
        });
        // Until both workers have nothing to do, and this task is woken by a timer.
        tokio::time::sleep(Duration::from_millis(100)).await;
        pool.sync().acquire_timeout(PATIENCE).map(drop)
    });
    runtime.block_on(task).unwrap().unwrap();
}

/// On a single thread nothing else can run meanwhile: the deadline ends it.
#[test]
fn blocking_acquire_on_the_only_thread_ends_at_its_deadline() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = trivial().max_size(1).build().unwrap();
        let _held = pool.acquire().await.unwrap();
        let limit = Duration::from_millis(50);
        let late = pool.sync().acquire_timeout(limit).unwrap_err();
        assert!(late.is_timed_out(), "{late:?}");
    });
}

/// tokio, and how often somebody was about to block on it.
struct Parking {
    tokio: TokioRuntime,
    parked: Arc<AtomicUsize>,
}

impl Spawner for Parking {
    fn spawn(&self, task: BoxFuture<()>) {
        self.tokio.spawn(task);
    }

    fn about_to_block(&self) {
        self.parked.fetch_add(1, Ordering::SeqCst);
    }
}

impl Timer for Parking {
    fn now(&self) -> Instant {
        self.tokio.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.tokio.sleep_until(at)
    }
}

/// What has used up its part of the turn gets no other while it blocks.
#[test]
fn blocking_acquire_sleeps_though_its_task_has_done_all_that_it_may_in_one_turn() {
    let runtime = two_workers();
    let parked = Arc::new(AtomicUsize::new(0));
    let parking = Parking {
        tokio: TokioRuntime::new(runtime.handle().clone()),
        parked: Arc::clone(&parked),
    };
    let pool = trivial().max_size(1).runtime(parking).build().unwrap();
    let late = runtime.block_on(async {
        let _held = pool.acquire().await.unwrap();
        let mut turns = 0;
        while poll_once(consume_budget()).await.is_some() {
            turns += 1;
            assert!(turns < 1000, "there is no end to it");
        }
        pool.sync().acquire_timeout(Duration::from_millis(200))
    });
    assert!(late.unwrap_err().is_timed_out());
    let parked = parked.load(Ordering::SeqCst);
    assert!((1..20).contains(&parked), "{parked} times");
}
