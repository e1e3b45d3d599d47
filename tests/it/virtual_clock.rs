//! The virtual clock, which everything else here trusts.

mod days;
mod faults;
mod seeds;

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::future::{self, yield_now};
use watertight::{Faults, Pool, Spawner, Timer, VirtualRuntime};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u64>>>);

impl Log {
    fn note(&self, what: u64) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Notes the number when it is dropped.
struct Dropped(Log, u64);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

fn spawn(runtime: &VirtualRuntime, task: impl Future<Output = ()> + Send + 'static) {
    runtime.spawn(Box::pin(task));
}

/// A task that notes `what` after a time.
fn spawn_later(runtime: &VirtualRuntime, after: Duration, log: &Log, what: u64) {
    let (sleep, log) = (runtime.sleep(after), log.clone());
    spawn(runtime, async move {
        sleep.await;
        log.note(what);
    });
}

fn panics(body: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(body)).is_err()
}

#[test]
fn timers_go_off_in_the_order_of_their_times_and_each_at_its_own() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    for ms in [30, 10, 20] {
        let (clock, log) = (runtime.clone(), log.clone());
        spawn(&runtime, async move {
            clock.sleep(ms * MILLISECOND).await;
            assert_eq!(clock.elapsed(), ms * MILLISECOND);
            log.note(ms.into());
        });
    }
    runtime.advance(SECOND);
    assert_eq!(log.take(), [10, 20, 30]);
    assert_eq!(runtime.elapsed(), SECOND);
}

#[test]
fn timers_of_one_instant_go_off_in_the_order_in_which_they_were_set() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    for n in 0..10 {
        spawn_later(&runtime, SECOND, &log, n);
    }
    runtime.advance(SECOND);
    assert_eq!(log.take(), (0..10).collect::<Vec<_>>());
}

#[test]
fn advance_stops_at_the_very_nanosecond() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let nanosecond = Duration::from_nanos(1);
    spawn_later(&runtime, SECOND, &log, 1);
    spawn_later(&runtime, SECOND + nanosecond, &log, 2);
    runtime.advance(SECOND - nanosecond);
    assert_eq!(log.take(), [0; 0]);
    runtime.advance(nanosecond);
    assert_eq!(log.take(), [1]);
    assert_eq!((runtime.tasks(), runtime.timers()), (1, 1));
    runtime.advance(nanosecond);
    assert_eq!(log.take(), [2]);
    assert_eq!((runtime.tasks(), runtime.timers()), (0, 0));
}

#[test]
fn timers_that_a_timer_sets_go_off_on_the_way() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let (clock, noting) = (runtime.clone(), log.clone());
    spawn(&runtime, async move {
        for n in 1..=5 {
            clock.sleep(SECOND).await;
            noting.note(n);
        }
    });
    runtime.advance(3 * SECOND);
    assert_eq!(log.take(), [1, 2, 3]);
    runtime.kill();
}

#[test]
fn skip_goes_to_the_next_timer_and_says_when_there_is_none() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    assert!(!runtime.skip());
    spawn_later(&runtime, 7 * SECOND, &log, 7);
    runtime.settle();
    assert!(runtime.skip());
    assert_eq!(runtime.elapsed(), 7 * SECOND);
    assert_eq!(log.take(), [0; 0], "it is woken, and has not run");
    assert!(runtime.step());
    assert_eq!(log.take(), [7]);
    assert!(!runtime.step() && !runtime.skip());
}

#[test]
fn no_time_passes_while_it_settles() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    spawn_later(&runtime, Duration::ZERO, &log, 0);
    spawn_later(&runtime, MILLISECOND, &log, 1);
    runtime.settle();
    assert_eq!(log.take(), [0]);
    assert_eq!(runtime.elapsed(), Duration::ZERO);
    runtime.kill();
}

#[test]
fn nobody_runs_while_it_stalls_and_all_that_is_due_runs_afterwards() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    spawn_later(&runtime, 2 * SECOND, &log, 2);
    spawn_later(&runtime, SECOND, &log, 1);
    spawn_later(&runtime, 9 * SECOND, &log, 9);
    runtime.settle();
    runtime.stall(5 * SECOND);
    assert_eq!(log.take(), [0; 0]);
    runtime.settle();
    assert_eq!(log.take(), [1, 2]);
    assert_eq!(runtime.elapsed(), 5 * SECOND);
    runtime.kill();
}

#[test]
fn sleep_that_is_dropped_leaves_no_timer() {
    let runtime = VirtualRuntime::new();
    let mut sleep = Box::pin(runtime.sleep(SECOND));
    assert_eq!(runtime.timers(), 0, "it has not been polled");
    assert!(runtime.block_on(future::poll_once(&mut sleep)).is_none());
    assert!(runtime.block_on(future::poll_once(&mut sleep)).is_none());
    assert_eq!(runtime.timers(), 1);
    drop(sleep);
    assert_eq!(runtime.timers(), 0);
}

#[test]
fn sleep_for_ever_never_ends() {
    let runtime = VirtualRuntime::new();
    let sleep = runtime.sleep(Duration::MAX);
    assert!(
        panics(|| runtime.block_on(sleep)),
        "nothing can happen any more"
    );
    runtime.block_on(runtime.sleep(SECOND));
    assert_eq!(runtime.elapsed(), SECOND);
}

#[test]
fn block_on_lets_time_pass_only_when_nothing_can_run() {
    let runtime = VirtualRuntime::new();
    let clock = runtime.clone();
    runtime.block_on(async {
        for _ in 0..100 {
            yield_now().await;
            assert_eq!(clock.elapsed(), Duration::ZERO);
        }
        clock.sleep(SECOND).await;
        assert_eq!(clock.elapsed(), SECOND);
    });
}

#[test]
fn future_that_wakes_itself_lets_tasks_run() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let noting = log.clone();
    spawn(&runtime, async move { noting.note(1) });
    runtime.block_on(async {
        while log.take() != [1] {
            yield_now().await;
        }
    });
}

#[test]
fn loops_without_end_are_reported() {
    let runtime = VirtualRuntime::new();
    assert!(panics(|| runtime.block_on(async {
        loop {
            yield_now().await;
        }
    })));
    let runtime = VirtualRuntime::new();
    spawn(&runtime, async {
        loop {
            yield_now().await;
        }
    });
    assert!(panics(|| runtime.settle()));
}

#[test]
fn long_test_in_which_time_passes_is_no_loop_without_end() {
    let runtime = VirtualRuntime::new();
    for _ in 0..3 {
        runtime.block_on(async {
            for _ in 0..900_000 {
                yield_now().await;
            }
        });
        runtime.advance(MILLISECOND);
        runtime.block_on(async {
            for _ in 0..900_000 {
                yield_now().await;
            }
        });
        runtime.stall(MILLISECOND);
    }
}

#[test]
fn settled_comes_when_all_others_wait() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let noting = log.clone();
    spawn(&runtime, async move {
        for n in 0..50 {
            yield_now().await;
            noting.note(n);
        }
    });
    runtime.block_on(async {
        runtime.settled().await;
        assert_eq!(log.take().len(), 50);
        assert_eq!(runtime.elapsed(), Duration::ZERO);
    });
}

#[test]
fn settled_may_move_to_another_task() {
    let runtime = VirtualRuntime::new();
    let mut settled = Box::pin(runtime.settled());
    let elsewhere = poll_fn(|_| {
        let waker = Waker::noop();
        let poll = settled.as_mut().poll(&mut Context::from_waker(waker));
        assert!(poll.is_pending());
        Poll::Ready(())
    });
    runtime.block_on(elsewhere);
    runtime.block_on(settled);
}

#[test]
fn step_lets_those_go_on_who_wait_to_be_settled() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let (settled, noting) = (runtime.settled(), log.clone());
    spawn(&runtime, async move {
        settled.await;
        noting.note(1);
    });
    while runtime.step() {}
    assert_eq!(log.take(), [1]);
}

#[test]
fn task_may_drive_the_runtime_and_wait_for_what_comes_of_it() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let (clock, noting) = (runtime.clone(), log.clone());
    spawn(&runtime, async move {
        let sleep = clock.sleep(SECOND);
        let drive = async {
            clock.advance(SECOND);
        };
        future::zip(sleep, drive).await;
        noting.note(1);
    });
    runtime.settle();
    assert_eq!(log.take(), [1]);
    assert_eq!(runtime.elapsed(), SECOND);
}

#[test]
fn what_a_task_drops_may_spawn_and_wake() {
    struct Spawns(VirtualRuntime, Log, Waker);
    impl Drop for Spawns {
        fn drop(&mut self) {
            self.2.wake_by_ref();
            let log = self.1.clone();
            spawn(&self.0, async move { log.note(1) });
        }
    }
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let (spawner, noting) = (runtime.clone(), log.clone());
    spawn(&runtime, async move {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let _spawns = Spawns(spawner, noting, waker);
        pending::<()>().await;
    });
    runtime.settle();
    runtime.kill();
    assert_eq!(log.take(), [0; 0], "a dead runtime runs nothing");
    assert_eq!(runtime.tasks(), 0);
}

#[test]
fn those_who_wait_to_be_settled_go_on_when_the_runtime_is_killed() {
    let runtime = VirtualRuntime::new();
    let settled = runtime.settled();
    spawn(&runtime, pending());
    let killer = runtime.clone();
    runtime.block_on(future::zip(settled, async move { killer.kill() }));
}

#[test]
fn seed_decides_who_of_one_instant_is_first() {
    let order = |runtime: &VirtualRuntime| {
        let log = Log::default();
        for n in 0..20 {
            spawn_later(runtime, SECOND, &log, n);
        }
        runtime.advance(SECOND);
        log.take()
    };
    let ascending: Vec<_> = (0..20).collect();
    assert_eq!(order(&VirtualRuntime::new()), ascending);
    let chance = order(&VirtualRuntime::seeded(3));
    assert_ne!(chance, ascending);
    assert_eq!(chance, order(&VirtualRuntime::seeded(3)));
}

#[test]
fn panicking_task_is_reported_and_leaves_the_runtime_usable() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let dropped = Dropped(log.clone(), 1);
    spawn(&runtime, async move {
        let _dropped = dropped;
        panic!("on purpose");
    });
    spawn_later(&runtime, SECOND, &log, 2);
    assert!(panics(|| runtime.settle()));
    assert_eq!(log.take(), [1], "what it held is gone");
    runtime.advance(SECOND);
    assert_eq!(log.take(), [2], "the others go on");
    assert_eq!(runtime.tasks(), 0);
    assert!(!runtime.lost_tasks(), "it came to its own end");
}

#[test]
fn killed_runtime_drops_its_tasks_in_their_order_and_every_later_one() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    assert!(!runtime.lost_tasks());
    for n in 0..5 {
        let dropped = Dropped(log.clone(), n);
        spawn(&runtime, async move {
            let _dropped = dropped;
            pending::<()>().await;
        });
    }
    runtime.settle();
    runtime.kill();
    assert_eq!(log.take(), [0, 1, 2, 3, 4]);
    assert!(runtime.lost_tasks());
    let dropped = Dropped(log.clone(), 5);
    spawn(&runtime, async move { drop(dropped) });
    assert_eq!(log.take(), [5], "at once, unpolled");
    assert_eq!(runtime.tasks(), 0);
    runtime.block_on(runtime.sleep(SECOND));
    assert_eq!(runtime.elapsed(), SECOND, "timers still work");
}

#[test]
fn runtime_killed_from_within_drops_that_task_too_once_it_waits() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let (killer, dropped) = (runtime.clone(), Dropped(log.clone(), 1));
    spawn(&runtime, async move {
        let _dropped = dropped;
        killer.kill();
        pending::<()>().await;
    });
    runtime.settle();
    assert_eq!(log.take(), [1]);
    assert_eq!(runtime.tasks(), 0);
}

#[test]
fn runtime_that_lost_nothing_says_so_though_it_was_killed() {
    let runtime = VirtualRuntime::new();
    runtime.kill();
    assert!(!runtime.lost_tasks());
}

#[test]
fn spawned_tasks_are_dropped_for_as_long_as_that_is_asked_for() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    runtime.drop_spawned(true);
    spawn_later(&runtime, SECOND, &log, 1);
    assert!(runtime.lost_tasks());
    runtime.drop_spawned(false);
    spawn_later(&runtime, SECOND, &log, 2);
    runtime.advance(SECOND);
    assert_eq!(log.take(), [2]);
}

#[test]
fn blocking_work_is_done_in_no_time_and_in_turn() {
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let noting = log.clone();
    spawn(&runtime, async move { noting.note(1) });
    let noting = log.clone();
    runtime.spawn_blocking(Box::new(move || noting.note(2)));
    assert_eq!(log.take(), [0; 0]);
    runtime.settle();
    assert_eq!(log.take(), [1, 2]);
    assert_eq!(runtime.elapsed(), Duration::ZERO);
}

#[test]
fn clocks_of_all_handles_are_one() {
    let runtime = VirtualRuntime::new();
    let other = runtime.with_faults(Faults::none()).clone();
    other.advance(SECOND);
    assert_eq!(runtime.elapsed(), SECOND);
    assert_eq!(runtime.now(), other.now());
}

#[test]
fn debug_output_says_how_things_stand() {
    let runtime = VirtualRuntime::new();
    spawn(&runtime, runtime.sleep(SECOND));
    runtime.advance(MILLISECOND);
    let shown = format!("{runtime:?}");
    assert!(
        shown.starts_with("VirtualRuntime { elapsed: 1ms, tasks: 1, timers: 1"),
        "{shown}"
    );
    runtime.kill();
}

/// Which of `n` tasks that are ready runs when.
fn order(runtime: &VirtualRuntime, n: u64) -> Vec<u64> {
    let log = Log::default();
    for n in 0..n {
        let log = log.clone();
        spawn(runtime, async move { log.note(n) });
    }
    runtime.settle();
    log.take()
}

#[test]
fn seed_decides_the_order_of_tasks() {
    let ascending: Vec<_> = (0..20).collect();
    assert_eq!(order(&VirtualRuntime::new(), 20), ascending);
    let mut orders: Vec<_> = (0..10)
        .map(|seed| {
            let order = order(&VirtualRuntime::seeded(seed), 20);
            assert_eq!(order, self::order(&VirtualRuntime::seeded(seed), 20));
            order
        })
        .collect();
    orders.sort_unstable();
    orders.dedup();
    assert_eq!(orders.len(), 10, "every seed has its own");
}

/// When the connections of a pool on this runtime reach the end of their lives.
fn ends_of_life(runtime: &VirtualRuntime) -> Vec<Duration> {
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(()) })
        .max_size(8)
        .max_lifetime(100 * SECOND)
        .idle_timeout(None)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let mut ends = Vec::new();
    runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(pool.acquire().await.unwrap());
        }
        drop(held);
        let mut left = 8;
        while left > 0 {
            runtime.sleep(MILLISECOND * 100).await;
            let now = pool.status().idle;
            ends.extend((now..left).map(|_| runtime.elapsed()));
            left = now;
        }
        pool.close().await;
    });
    ends
}

#[test]
fn seed_decides_the_jitter_of_a_pool() {
    let first = ends_of_life(&VirtualRuntime::seeded(1));
    assert_eq!(first, ends_of_life(&VirtualRuntime::seeded(1)));
    assert_ne!(first, ends_of_life(&VirtualRuntime::seeded(2)));
    let plain = ends_of_life(&VirtualRuntime::new());
    assert_eq!(plain, ends_of_life(&VirtualRuntime::new()));
}
