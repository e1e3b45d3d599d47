//! The pools for synchronous code: each verb does what it does for tasks, and each keeps its own
//! time.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use watertight::{
    AcquireError, BoxFuture, Builder, Condition, KeyedPool, Manager, Phase, Pool, PooledConnection,
    Spawner, SyncPool, Timer,
};

mod threads {
    include!("../support/threads.rs");
}
use threads::Threads;

/// Counts from 1.
#[derive(Default)]
struct Numbers(AtomicU32);

impl Manager for Numbers {
    type Connection = u32;
    type Error = Infallible;

    async fn connect(&self) -> Result<u32, Infallible> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

fn sync_pool(max_size: usize) -> SyncPool<Numbers> {
    let builder: Builder<_, SyncPool<_>> = SyncPool::builder(Numbers::default());
    builder.max_size(max_size).runtime(Threads).build().unwrap()
}

/// Waits for what other threads are about to do.
#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Takes its time to make a connection fit again.
struct Thorough;

impl Manager for Thorough {
    type Connection = ();
    type Error = Infallible;

    async fn connect(&self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn inspect(&self, (): &mut ()) -> Condition {
        Condition::Dirty
    }

    async fn recycle(&self, (): &mut ()) -> Result<(), Self::Error> {
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }
}

#[test]
fn release_is_over_when_the_connection_is_idle_again() {
    let pool = SyncPool::builder(Thorough)
        .runtime(Threads)
        .build()
        .unwrap();
    pool.release(pool.acquire().unwrap());
    assert_eq!(pool.status().idle, 1, "{:?}", pool.status());
}

#[test]
fn connections_come_and_go_by_every_verb() {
    let pool = sync_pool(2);
    assert!(pool.try_acquire().is_none(), "it begins nothing");
    let conn = pool.acquire().unwrap();
    assert_eq!(*conn, 1);
    pool.release(conn);
    assert_eq!(pool.status().idle, 1);
    let conn = pool.try_acquire().unwrap();
    let other = pool.acquire_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((*conn, *other), (1, 2));
    let late = pool.acquire_timeout(Duration::ZERO).unwrap_err();
    assert!(late.is_timed_out());
    assert_eq!(pool.adopt(7), Err(7), "there is no place");
    assert_eq!(PooledConnection::detach(conn), 1);
    assert_eq!(pool.adopt(7), Ok(()));
    let statistics = pool.statistics();
    assert_eq!((statistics.acquires, statistics.adopted), (3, 1));
    drop(other);
    assert_eq!(pool.retain(|conn, _| *conn < 9), 0);
    assert_eq!(pool.retain(|conn, _| *conn == 8), 2);
    let (clone, from) = (pool.clone(), SyncPool::from(pool.as_async().clone()));
    for same in [&clone, &from] {
        assert_eq!(same.statistics(), pool.statistics());
    }
    assert!(!pool.is_closed());
    pool.close();
    assert!(pool.is_closed() && clone.is_closed() && pool.as_async().is_closed());
    assert!(matches!(pool.acquire(), Err(AcquireError::Closed)));
    assert_eq!(pool.status().size, 0);
}

#[test]
fn size_and_warmth_are_what_they_are_told_to_be() {
    let pool = SyncPool::builder(Numbers::default())
        .max_size(4)
        .min_idle(3)
        .runtime(Threads)
        .build()
        .unwrap();
    pool.fill().unwrap();
    assert!(pool.status().idle >= 3);
    pool.resize(1);
    assert_eq!(pool.status().max_size, 1);
    until(|| pool.status().size == 1);
    pool.close();
    assert!(matches!(pool.fill(), Err(AcquireError::Closed)));
}

#[test]
fn resets_and_pauses_end_when_they_are_over() {
    let pool = sync_pool(2);
    for reset in [SyncPool::reset, |pool: &SyncPool<_>| {
        pool.reset_over(Duration::from_millis(1));
    }] {
        let before = *pool.acquire().unwrap();
        reset(&pool);
        pool.wait_reset();
        let after = *pool.acquire().unwrap();
        assert!(after > before, "{before} is gone");
    }
    assert_eq!(pool.statistics().closes.reset, 2);
    let held = pool.acquire().unwrap();
    std::thread::scope(|scope| {
        let pausing = scope.spawn(|| pool.pause());
        until(|| pool.status().paused);
        assert!(!pausing.is_finished(), "one is in use");
        drop(held);
    });
    assert!(pool.try_acquire().is_none());
    pool.resume();
    assert!(pool.try_acquire().is_some());
    pool.close();
}

#[test]
fn one_that_is_held_is_severed_after_the_grace_period() {
    let pool = sync_pool(2);
    let held = pool.acquire().unwrap();
    assert_eq!(pool.close_within(Duration::from_millis(20)), 1);
    drop(held);
    until(|| pool.status().size == 0);
    assert_eq!(pool.close_within(Duration::from_secs(20)), 0);
}

/// A runtime whose timers never go off.
struct Timeless;

impl Spawner for Timeless {
    fn spawn(&self, task: BoxFuture<()>) {
        Threads.spawn(task);
    }
}

impl Timer for Timeless {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}

/// Law 47: nobody would see to a hand-off that got lost.
#[test]
fn two_threads_play_ping_pong_without_a_timer() {
    const CYCLES: usize = 5_000;
    crate::support::comes_to_its_end(|| {
        let pool = Pool::builder(Numbers::default())
            .max_size(1)
            .acquire_timeout(None)
            .runtime(Timeless)
            .build()
            .unwrap();
        let players = [(); 2].map(|()| {
            let pool = pool.clone();
            thread::spawn(move || {
                for _ in 0..CYCLES {
                    let _conn = block_on(pool.acquire()).unwrap();
                    thread::yield_now();
                }
            })
        });
        for player in players {
            player.join().unwrap();
        }
        assert_eq!(pool.statistics().acquires, 2 * CYCLES as u64);
        assert!(pool.statistics().waits > 0, "they met");
        block_on(pool.close());
    });
}

#[test]
fn a_thread_that_waits_keeps_its_own_time() {
    let pool = SyncPool::builder(Numbers::default())
        .max_size(1)
        .runtime(Timeless)
        .build()
        .unwrap();
    let held = pool.acquire().unwrap();
    let begun = Instant::now();
    let timeout = Duration::from_millis(30);
    let late = pool.acquire_timeout(timeout).unwrap_err();
    let AcquireError::TimedOut { phase, waited, .. } = late else {
        panic!("{late}");
    };
    assert_eq!(phase, Phase::Wait);
    assert!(waited >= timeout && begun.elapsed() >= timeout);
    assert_eq!(pool.statistics().timeouts.wait, 1);
    assert_eq!(pool.status().waiting, 0);
    assert_eq!(pool.close_within(timeout), 1);
    drop(held);
    until(|| pool.status().size == 0);
}

/// How far the clock jumps.
const HOUR: Duration = Duration::from_secs(3600);

thread_local! {
    /// After so many more readings on this thread the clock jumps.
    static UNTIL_THE_JUMP: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A runtime whose clock jumps, and whose timers never go off.
#[derive(Default)]
struct Jumping(AtomicBool);

impl Spawner for Jumping {
    fn spawn(&self, task: BoxFuture<()>) {
        Threads.spawn(task);
    }
}

impl Timer for Jumping {
    fn now(&self) -> Instant {
        let left = UNTIL_THE_JUMP.get();
        UNTIL_THE_JUMP.set(left.saturating_sub(1));
        let has_jumped = self.0.fetch_or(left == 0, Ordering::SeqCst) || left == 0;
        Instant::now() + if has_jumped { HOUR } else { Duration::ZERO }
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}

/// Whenever it does so: its time begins when it joins the queue.
#[test]
fn a_thread_that_waits_has_all_its_time_though_the_clock_jumps() {
    let timeout = Duration::from_millis(20);
    for readings in 0..12 {
        let pool = SyncPool::builder(Numbers::default())
            .max_size(1)
            .runtime(Jumping::default())
            .build()
            .unwrap();
        let held = pool.acquire().unwrap();
        UNTIL_THE_JUMP.set(readings);
        let late = pool.acquire_timeout(timeout).unwrap_err();
        UNTIL_THE_JUMP.set(usize::MAX);
        let AcquireError::TimedOut { waited, .. } = late else {
            panic!("{late}");
        };
        assert!(waited >= timeout, "{readings}: {waited:?}");
        drop(held);
    }
}

#[test]
fn a_thread_that_waits_is_served_by_the_next_return() {
    let pool = sync_pool(1);
    let held = pool.acquire().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| *pool.acquire().unwrap());
        until(|| pool.status().waiting == 1);
        drop(held);
        assert_eq!(waiting.join().unwrap(), 1);
    });
    pool.close();
}

#[test]
fn pools_with_keys_do_by_every_verb_what_they_do_for_tasks() {
    let pool = KeyedPool::builder(|_: &u8| Numbers::default())
        .max_total(3)
        .max_per_key(1)
        .each(|each| each.runtime(Threads))
        .build_sync()
        .unwrap();
    assert!(pool.try_acquire(&1).is_none());
    assert!(pool.status(&1).is_none() && pool.statistics(&1).is_none());
    let conn = pool.acquire(&1).unwrap();
    let late = pool.acquire_timeout(&1, Duration::from_millis(20));
    let AcquireError::TimedOut { status, .. } = late.unwrap_err() else {
        panic!("the only connection of the key is lent");
    };
    assert_eq!((status.max_size, status.in_use), (1, 1));
    drop(conn);
    drop(pool.try_acquire(&1).unwrap());
    assert_eq!(pool.statistics(&1).unwrap().acquires, 2);
    assert_eq!(pool.status(&1).unwrap().idle, 1);
    drop(pool.acquire(&2).unwrap());
    assert_eq!(pool.total_status().idle, 2);
    let mut keys = pool.keys();
    keys.sort_unstable();
    assert_eq!(keys, [1, 2]);
    assert_eq!((pool.clear(&2), pool.clear(&3)), (1, 0));
    assert!(pool.remove(&1) && !pool.remove(&1));
    until(|| pool.total_status().size == 0);
    let held = pool.acquire(&4).unwrap();
    let clone = pool.clone();
    assert!(!clone.is_closed() && !pool.as_async().is_closed());
    assert_eq!(pool.close_within(Duration::from_millis(20)), 1);
    assert!(clone.is_closed() && pool.as_async().is_closed());
    drop(held);
    pool.close();
    assert_eq!(clone.total_status().size, 0);
    assert!(matches!(pool.acquire(&4), Err(AcquireError::Closed)));
}

#[test]
fn pools_say_their_names_and_what_is_lent() {
    let pool = SyncPool::builder(Numbers::default())
        .name("one")
        .runtime(Threads)
        .build()
        .unwrap();
    assert_eq!(pool.name(), Some("one"));
    assert_eq!(sync_pool(1).name(), None);
    let keyed = |name| {
        KeyedPool::builder(|_: &u8| Numbers::default())
            .each(|each| {
                let each = each
                    .leak_threshold(Duration::from_secs(60))
                    .runtime(Threads);
                match name {
                    Some(name) => each.name(name),
                    None => each,
                }
            })
            .build_sync()
            .unwrap()
    };
    assert_eq!(keyed(None::<&str>).name(), None);
    let keyed = keyed(Some("many"));
    assert_eq!(keyed.name(), Some("many"));
    let _held = keyed.acquire(&1).unwrap();
    assert_eq!(keyed.loans(&1).len(), 1);
    assert_eq!(keyed.loans(&2).len(), 0);
}

#[test]
fn threads_and_tasks_use_the_same_pool() {
    let pool = Pool::builder(Numbers::default())
        .runtime(Threads)
        .build()
        .unwrap();
    let conn = pool.sync().acquire().unwrap();
    let same = PooledConnection::pool(&conn).unwrap();
    assert_eq!(same.status().in_use, 1);
    assert_eq!(pool.manager().0.load(Ordering::SeqCst), 1);
    assert!(Arc::ptr_eq(same.runtime(), pool.runtime()));
    let weak = pool.downgrade();
    assert_eq!(weak.clone().upgrade().unwrap().status().in_use, 1);
    drop((conn, same));
    pool.sync().close();
    drop(pool);
    assert!(weak.upgrade().is_none());
}
