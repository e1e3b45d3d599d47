//! What the pool asks of the allocator: nothing on the hot path, little for one who waits, and
//! all of it back. One test, because the allocator counts for the whole process.
//!
//! The exact figures are taken while time stands still, for what else happens in a pool happens
//! by the clock: the keeper's timer, about ten times a second while there is traffic. A last part
//! takes the time as it comes and counts the keeper in.
//!
//! `cargo test --test memory -- --nocapture` prints the figures.

#[path = "support/still.rs"]
mod still;

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use watertight::{Builder, CheckPolicy, FromFn, IdleOrder, Pool};

use still::Still;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const CYCLES: usize = 100_000;
const HAND_OFFS: usize = 10_000;
const WAITERS: usize = 1024;
const MOST_BYTES_PER_WAITER: usize = 80;
#[cfg(feature = "tokio")]
const MOST_BYTES_WITH_TIMER: usize = 256;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Connect = fn() -> std::future::Ready<std::result::Result<u64, std::io::Error>>;
type Trivial = FromFn<Connect>;

fn trivial() -> Builder<Trivial> {
    Pool::from_fn(|| std::future::ready(Ok(0)))
}

/// How many blocks are allocated by `work`.
fn blocks(work: impl FnOnce()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    work();
    dhat::HeapStats::get().total_blocks - before
}

/// Polls once. No executor, so nothing but the pool allocates.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The answer of a future that has one at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match poll(pin!(future)) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it should not have to wait"),
    }
}

#[test]
fn hot_path_allocates_nothing_and_a_waiter_little() -> Result {
    let _profiler = dhat::Profiler::builder().testing().build();
    hot_path_allocates_nothing()?;
    rare_use_allocates_nothing()?;
    hand_off_allocates_nothing()?;
    thread_that_waits_allocates_its_parker()?;
    crowd_costs_little_and_leaves_nothing()?;
    #[cfg(feature = "tokio")]
    on_tokio::hot_path_allocates_nothing_while_time_stands_still()?;
    #[cfg(feature = "tokio")]
    on_tokio::hand_off_allocates_the_timer_of_the_one_who_waits()?;
    #[cfg(feature = "tokio")]
    on_tokio::waiter_costs_little_with_its_timer()?;
    #[cfg(feature = "tokio")]
    on_tokio::keeper_allocates_by_the_clock_and_not_by_the_cycle()?;
    Ok(())
}

/// Runs the cycle until it has settled, and then many times, which must allocate nothing.
#[track_caller]
fn assert_free(what: &str, mut cycle: impl FnMut()) {
    for _ in 0..1000 {
        cycle();
    }
    let blocks = fewest(|| blocks(|| (0..CYCLES).for_each(|_| cycle())));
    println!("{blocks} allocations in {CYCLES} cycles: {what}");
    assert_eq!(blocks, 0, "{what}");
}

/// The smallest of some figures. What the pool allocates it allocates every time; what the test
/// harness does on its own thread it does once.
fn fewest(mut count: impl FnMut() -> u64) -> u64 {
    let mut fewest = u64::MAX;
    for _ in 0..5 {
        fewest = fewest.min(count());
        if fewest == 0 {
            break;
        }
    }
    fewest
}

/// A pool on a still clock with all of its connections idle.
fn still_pool(
    configure: impl FnOnce(Builder<Trivial>) -> Builder<Trivial>,
) -> Result<Pool<Trivial>> {
    idle_pool(Still::new(), configure)
}

fn idle_pool(
    runtime: Still,
    configure: impl FnOnce(Builder<Trivial>) -> Builder<Trivial>,
) -> Result<Pool<Trivial>> {
    let builder = trivial().max_size(4).runtime(runtime.clone());
    let pool = configure(builder).build()?;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut acquire = pin!(pool.acquire());
        held.push(loop {
            match poll(acquire.as_mut()) {
                Poll::Ready(conn) => break conn?,
                Poll::Pending => runtime.run(),
            }
        });
    }
    drop(held);
    Ok(pool)
}

fn hot_path_allocates_nothing() -> Result {
    let pool = still_pool(|b| b)?;
    assert_free("acquire", || drop(now(pool.acquire())));
    assert_free("acquire_timeout", || {
        drop(now(pool.acquire_timeout(Duration::from_secs(1))));
    });
    assert_free("acquire_timeout of zero", || {
        drop(now(pool.acquire_timeout(Duration::ZERO)));
    });
    assert_free("try_acquire", || drop(pool.try_acquire()));
    let sync = pool.sync();
    assert_free("the sync facade", || drop(sync.acquire()));
    thread::scope(|scope| {
        let there = || assert_free("the sync facade on a thread", || drop(sync.acquire()));
        scope.spawn(there).join().expect("it allocates nothing");
    });
    for (what, pool) in [
        ("fifo", still_pool(|b| b.idle_order(IdleOrder::Fifo))?),
        (
            "never checked",
            still_pool(|b| b.check_policy(CheckPolicy::Never))?,
        ),
        ("min_idle", still_pool(|b| b.min_idle(2))?),
        ("max_uses", still_pool(|b| b.max_uses(usize::MAX as u64))?),
        (
            "no lifetime",
            still_pool(|b| b.max_lifetime(None).idle_timeout(None))?,
        ),
        ("no deadline", still_pool(|b| b.acquire_timeout(None))?),
    ] {
        assert_free(what, || drop(now(pool.acquire())));
    }
    let all: Vec<_> = (0..4).map(|_| pool.try_acquire()).collect();
    assert_free("try_acquire in vain", || {
        assert!(pool.try_acquire().is_none())
    });
    drop(all);
    Ok(())
}

/// With so little traffic that each use finds a tick gone by and reads the clock.
fn rare_use_allocates_nothing() -> Result {
    let ticks_apart = Still::stepping(Duration::from_millis(150));
    let pool = idle_pool(ticks_apart, |b| b.max_lifetime(None).idle_timeout(None))?;
    assert_free("rare acquire", || drop(now(pool.acquire())));
    let sync = pool.sync();
    assert_free("rare use of the sync facade", || drop(sync.acquire()));
    Ok(())
}

/// One waits while the other holds: neither joining the queue, nor the hand-off, nor being served
/// allocates, for the entry is used again and the clock's timer is not the pool's.
fn hand_off_allocates_nothing() -> Result {
    let pool = still_pool(|b| b.max_size(4))?;
    let _others: Vec<_> = (0..3).map(|_| pool.try_acquire()).collect();
    let mut held = pool.try_acquire();
    assert_free("acquire by hand-off", || {
        let mut waiting = pin!(pool.acquire());
        assert!(poll(waiting.as_mut()).is_pending());
        held = None;
        match poll(waiting) {
            Poll::Ready(served) => held = served.ok(),
            Poll::Pending => panic!("it was handed over"),
        }
    });
    assert_free("a waiter that goes away", || {
        assert!(poll(pin!(pool.acquire())).is_pending());
    });
    Ok(())
}

/// A thread that waits allocates what wakes it: one block.
fn thread_that_waits_allocates_its_parker() -> Result {
    let pool = still_pool(|b| b)?.sync();
    let _others: Vec<_> = (0..3).map(|_| pool.try_acquire()).collect();
    // How often the other thread has been told to acquire; each time there is nothing to be had.
    let turn = AtomicUsize::new(0);
    let blocks = thread::scope(|scope| {
        scope.spawn(|| {
            for next in 1.. {
                while turn.load(Ordering::Acquire) < next {
                    thread::yield_now();
                }
                if turn.load(Ordering::Acquire) == usize::MAX {
                    return;
                }
                drop(pool.acquire());
            }
        });
        let hand_over = || {
            let held = pool.try_acquire();
            turn.fetch_add(1, Ordering::Release);
            while pool.status().waiting == 0 {
                thread::yield_now();
            }
            drop(held);
            while pool.status().idle == 0 {
                thread::yield_now();
            }
        };
        let blocks = fewest(|| blocks(|| (0..HAND_OFFS).for_each(|_| hand_over())));
        turn.store(usize::MAX, Ordering::Release);
        blocks
    });
    println!("{blocks} allocations when a thread waited {HAND_OFFS} times");
    // Now and then it is served in the middle of its first look.
    assert!(blocks <= HAND_OFFS as u64, "{blocks}");
    Ok(())
}

fn crowd_costs_little_and_leaves_nothing() -> Result {
    let pool = still_pool(|b| b)?;
    let held: Vec<_> = (0..4).map(|_| pool.try_acquire()).collect();
    let each = bytes_per_waiter(&pool);
    println!("{each} bytes for each of {WAITERS} waiters, beyond its future and its timer");
    assert!(each <= MOST_BYTES_PER_WAITER, "{each} bytes for a waiter");
    drop(held);
    Ok(())
}

/// What a crowd allocates, for each of it. It goes away again, and leaves one entry's room for
/// each of a few.
fn bytes_per_waiter(pool: &Pool<Trivial>) -> usize {
    let mut queue: Vec<Pin<Box<_>>> = (0..WAITERS).map(|_| Box::pin(pool.acquire())).collect();
    let before = dhat::HeapStats::get().curr_bytes;
    for waiter in &mut queue {
        assert!(poll(waiter.as_mut()).is_pending());
    }
    let each = (dhat::HeapStats::get().curr_bytes - before) / WAITERS;
    let future = size_of_val(&*queue[0]);
    drop(queue);
    let left = (dhat::HeapStats::get().curr_bytes + WAITERS * (future + size_of::<usize>()))
        .saturating_sub(before);
    println!("{left} bytes are left of {WAITERS} waiters");
    assert!(
        left <= WAITERS * MOST_BYTES_PER_WAITER,
        "{left} bytes are left of the queue"
    );
    each
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::time::Instant;

    use tokio::runtime::Builder;

    use super::*;

    fn paused() -> Result<tokio::runtime::Runtime> {
        let mut builder = Builder::new_current_thread();
        Ok(builder.enable_all().start_paused(true).build()?)
    }

    pub(super) fn hot_path_allocates_nothing_while_time_stands_still() -> Result {
        let runtime = paused()?;
        let pool = runtime.block_on(async { trivial().build() })?;
        drop(runtime.block_on(pool.acquire())?);
        let _inside = runtime.enter();
        assert_free("acquire on tokio", || drop(now(pool.acquire())));
        Ok(())
    }

    /// One block for one who waits: tokio's timer.
    pub(super) fn hand_off_allocates_the_timer_of_the_one_who_waits() -> Result {
        let runtime = paused()?;
        let pool = runtime.block_on(async { trivial().max_size(1).build() })?;
        let mut held = Some(runtime.block_on(pool.acquire())?);
        let _inside = runtime.enter();
        let mut hand_over = || {
            let mut waiting = pin!(pool.acquire());
            let to_wait = blocks(|| assert!(poll(waiting.as_mut()).is_pending()));
            let to_give = blocks(|| held = None);
            let to_take = blocks(|| held = now(waiting).ok());
            assert!(held.is_some());
            [to_wait, to_give, to_take]
        };
        for _ in 0..1000 {
            hand_over();
        }
        for (step, most) in [HAND_OFFS as u64, 0, 0].into_iter().enumerate() {
            let blocks = fewest(|| (0..HAND_OFFS).map(|_| hand_over()[step]).sum());
            let step = ["to wait", "to give", "to take"][step];
            println!("{blocks} allocations in {HAND_OFFS} hand-offs on tokio: {step}");
            assert!(blocks <= most, "{step}: {blocks}");
        }
        Ok(())
    }

    pub(super) fn waiter_costs_little_with_its_timer() -> Result {
        let runtime = paused()?;
        let pool = runtime.block_on(async { trivial().max_size(1).build() })?;
        let held = runtime.block_on(pool.acquire())?;
        let _inside = runtime.enter();
        let each = bytes_per_waiter(&pool);
        println!("{each} bytes for each of {WAITERS} waiters on tokio, beyond its future");
        assert!(each <= MOST_BYTES_WITH_TIMER, "{each} bytes for a waiter");
        drop(held);
        Ok(())
    }

    /// In real time: the keeper wakes ten times a second while there is traffic, and sets a timer.
    pub(super) fn keeper_allocates_by_the_clock_and_not_by_the_cycle() -> Result {
        const MOST_PER_TICK: u128 = 20;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let pool = runtime.block_on(async { trivial().build() })?;
        let sync = pool.sync();
        let start = Instant::now();
        let blocks = blocks(|| (0..4 * CYCLES).for_each(|_| drop(sync.acquire())));
        let ticks = start.elapsed().as_millis() / 100 + 1;
        let cycles = 4 * CYCLES;
        println!("{blocks} allocations in {cycles} cycles and {ticks} ticks of the keeper's");
        assert!(
            u128::from(blocks) <= MOST_PER_TICK * (ticks + 5),
            "{blocks}"
        );
        drop(sync);
        runtime.block_on(pool.close());
        Ok(())
    }
}
