//! The founding requirements, S1 to S10: the repairs of the outage that this crate began with,
//! each pinned by a test.

mod children;
mod foreign;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use watertight::{CloseReason, Condition, Observer, event};
#[cfg(feature = "tokio")]
use watertight::{Pool, PooledConnection};

use crate::support::{Gate, Virtual, World, hang, laws, ok};

/// S1: shutdown comes with the last user handle, never when some clone is dropped.
async fn s1_only_the_last_handle_shuts_the_pool_down(w: World) {
    let pool = w.lone_pool(|b| b.max_size(2));
    let idle = pool.acquire().await.unwrap();
    drop(idle);
    let clones: Vec<_> = (0..10).map(|_| pool.clone()).collect();
    let closed = pool.closed();
    let drops = clones
        .into_iter()
        .map(|clone| w.spawn(async { drop(clone) }));
    crate::support::join(drops.collect::<Vec<_>>()).await;
    assert!(!pool.is_closed());
    let held = pool.acquire().await.unwrap();
    drop(pool);
    closed.await;
    // The guard is not a handle, and works on.
    assert_eq!(held.id(), 0);
    drop(held);
    w.until(|| w.ledger().count().live == 0).await;
}

/// S1: two handles that are dropped together do not both think that the other is the last.
async fn s1_handles_dropped_together_shut_the_pool_down_once(w: World) {
    for round in 1..=20 {
        let pool = w.lone_pool(|b| b.max_size(1));
        drop(pool.acquire().await.unwrap());
        let twin = pool.clone();
        let tasks = [w.spawn(async { drop(pool) }), w.spawn(async { drop(twin) })];
        crate::support::join(tasks).await;
        w.until(|| w.ledger().count().closed == round).await;
    }
}

/// S2: a stream of returns that need work does not hold up what is due, and the other way round.
#[test]
fn s2_timers_and_returns_do_not_starve_each_other() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| {
            b.max_size(3)
                .idle_timeout(Duration::from_millis(1000))
                .return_queue(1)
        });
        runtime.block_on(async {
            let resting = pool.acquire().await.unwrap();
            let mut busy = pool.acquire().await.unwrap();
            drop(resting);
            let first_sweep = w.stopwatch();
            let mut recycled = 0;
            while w.ledger().count().closed == 0 {
                busy.condition = Condition::Dirty;
                pool.release(busy).await;
                recycled += 1;
                w.sleep(1).await;
                busy = pool.acquire().await.unwrap();
            }
            // Whichever of the two rested, it went on time, neither early nor late.
            first_sweep.assert_within(1000, 1102);
            assert!(recycled >= 900, "returns were held up: {recycled}");
            assert_eq!(w.recycles().calls(), recycled);
        });
    });
}

/// S2: an idle pool's maintenance does nothing at all.
#[test]
fn s2_the_first_sweep_is_not_due_at_the_start() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b);
        runtime.settle();
        assert_eq!(runtime.timers(), 0, "nothing is due in an empty pool");
        drop(runtime.block_on(pool.acquire()).unwrap());
        runtime.advance(Duration::from_secs(10));
        assert_eq!(runtime.timers(), 1, "but the idle time-out");
        assert_eq!(pool.status().idle, 1);
    });
}

/// S3: the reader of the return channel goes away while ten connections are out.
#[test]
fn s3_dropped_return_channel_gives_all_ten_places_back() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(10));
        let mut held = runtime.block_on(pool.acquire_many(10));
        runtime.kill();
        for conn in &mut held {
            conn.condition = Condition::Dirty;
        }
        drop(held);
        let status = pool.status();
        assert_eq!((status.size, status.idle), (0, 0), "{status:?}");
        assert_eq!(pool.statistics().closes.return_queue_full, 10);
        let again = runtime.block_on(pool.acquire_many(10));
        assert_eq!(again.len(), 10, "all ten places are free again");
    });
}

/// S3, with clean connections: those do not need the channel.
#[test]
fn s3_clean_connections_come_back_without_the_return_channel() {
    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(10));
        let held = runtime.block_on(pool.acquire_many(10));
        runtime.kill();
        drop(held);
        assert_eq!(pool.status().idle, 10);
        drop(runtime.block_on(pool.acquire_many(10)));
        assert_eq!(w.connects().calls(), 10);
    });
}

/// S4: nothing of the user's is called under the lock, so everything may ask the pool. Guarantee 7.
#[test]
fn s4_foreign_code_may_ask_the_pool_at_any_time() {
    foreign::every_callback_asks_the_pool();
}

/// S5: the last handle is dropped inside a task.
async fn s5_last_handle_dropped_in_a_task_closes_the_idle_ones(w: World) {
    let pool = w.lone_pool(|b| b.max_size(3));
    drop(pool.acquire_many(3).await);
    w.spawn(async { drop(pool) }).await;
    w.until(|| w.ledger().count().closed == 3).await;
    assert_eq!(w.closes().calls(), 3, "politely");
}

/// S5: the last handle is dropped on a plain thread.
async fn s5_last_handle_dropped_on_a_plain_thread_closes_the_idle_ones(w: World) {
    let pool = w.lone_pool(|b| b.max_size(3));
    drop(pool.acquire_many(3).await);
    thread::spawn(|| drop(pool)).join().unwrap();
    w.until(|| w.ledger().count().closed == 3).await;
    assert_eq!(w.closes().calls(), 3, "politely");
}

/// S5: the last handle is dropped after the runtime is gone: nobody can say goodbye, but every
/// connection is closed there and then.
#[test]
fn s5_last_handle_dropped_after_the_runtime_is_gone_drops_the_idle_ones() {
    World::by_hand(|w, runtime| {
        let pool = w.lone_pool(|b| b.max_size(3));
        drop(runtime.block_on(pool.acquire_many(3)));
        runtime.kill();
        drop(pool);
        assert_eq!(w.ledger().count().live, 0);
        assert_eq!(w.ledger().managers(), 0, "and nothing keeps the manager");
    });
}

/// S5, on the real thing.
#[cfg(feature = "tokio")]
#[test]
fn s5_last_handle_outlives_a_tokio_runtime() {
    for flavor in ["multi-thread", "current-thread"] {
        let mut builder = match flavor {
            "multi-thread" => tokio::runtime::Builder::new_multi_thread(),
            _ => tokio::runtime::Builder::new_current_thread(),
        };
        let runtime = builder.enable_all().build().unwrap();
        let alive = Arc::new(());
        let token = Arc::clone(&alive);
        let pool = runtime.block_on(async {
            let connect = move || {
                let token = Arc::clone(&token);
                async move { Ok::<_, std::io::Error>(token) }
            };
            let pool = Pool::from_fn(connect).max_size(3).build().unwrap();
            drop(pool.acquire().await.unwrap());
            pool
        });
        drop(runtime);
        // It still works, on the caller's own thread.
        let held = futures_lite::future::block_on(pool.acquire()).unwrap();
        let other = futures_lite::future::block_on(pool.acquire()).unwrap();
        drop(held);
        drop(other);
        drop(pool);
        assert_eq!(Arc::strong_count(&alive), 1, "{flavor}");
    }
}

/// S7: with a return channel of capacity 1 and a slow recycle, what does not fit is closed, the
/// count stays right, and nothing leaks.
async fn s7_full_return_channel_closes_connections_and_leaks_nothing(w: World) {
    let gate = Gate::new();
    w.recycles().always(ok().at(&gate));
    let pool = w.pool(|b| b.max_size(10).return_queue(1));
    let mut held = pool.acquire_many(10).await;
    for conn in &mut held {
        conn.condition = Condition::Dirty;
    }
    for conn in held {
        drop(conn);
        w.settle().await;
    }
    // One is being recycled and one waits for it; eight did not fit.
    w.until(|| pool.status().size == 2).await;
    assert_eq!(pool.statistics().closes.return_queue_full, 8);
    assert_eq!(pool.status().recycling, 2);
    gate.open();
    w.until(|| pool.status().idle == 2).await;
    let again = pool.acquire_many(10).await;
    assert_eq!(again.len(), 10, "no place was lost");
}

/// S7: a recycle that hangs costs its connection, and the channel moves on.
async fn s7_hung_recycle_frees_the_channel_after_its_timeout(w: World) {
    w.recycles().next([hang()]);
    let pool = w.pool(|b| b.max_size(2).return_queue(1).recycle_timeout(w.ms(200)));
    let mut held = pool.acquire_many(2).await;
    for conn in &mut held {
        conn.condition = Condition::Dirty;
    }
    let (first, second) = (held.remove(0), held.remove(0));
    drop(first);
    w.until(|| w.recycles().calls() == 1).await;
    pool.release(second).await;
    assert_eq!(pool.statistics().closes.recycle_failed, 1);
    assert_eq!(pool.status().idle, 1);
}

/// S9: a guard dropped on a plain thread.
async fn s9_guard_dropped_on_a_plain_thread_returns(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let conn = pool.acquire().await.unwrap();
    thread::spawn(|| drop(conn)).join().unwrap();
    assert_eq!(pool.status().idle, 1);
}

/// S9: a guard dropped while a panic unwinds is discarded, politely.
async fn s9_guard_dropped_by_a_panic_is_discarded(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let conn = pool.acquire().await.unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _conn = conn;
        std::panic::resume_unwind(Box::new("the holder panics"));
    }));
    assert!(panic.is_err());
    w.until(|| pool.status().size == 0).await;
    assert_eq!(pool.statistics().closes.discarded, 1);
    assert_eq!(w.closes().calls(), 1);
    assert!(pool.acquire().await.is_ok());
}

/// S9: a thread that ends while holding gives back what it held.
async fn s9_thread_that_exits_while_holding_returns(w: World) {
    thread_local! {
        static HELD: std::cell::RefCell<Option<crate::support::Lent>> = const { std::cell::RefCell::new(None) };
    }
    let pool = w.pool(|b| b.max_size(1));
    let conn = pool.acquire().await.unwrap();
    thread::spawn(move || HELD.set(Some(conn))).join().unwrap();
    assert_eq!(pool.status().in_use, 0);
    assert!(pool.acquire().await.is_ok());
}

/// S9: a guard dropped where blocking is allowed, and one dropped after the runtime is gone.
#[cfg(feature = "tokio")]
#[test]
fn s9_guards_outlive_a_tokio_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (pool, kept) = runtime.block_on(async {
        let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(()) })
            .max_size(2)
            .build()
            .unwrap();
        let (one, kept) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        tokio::task::spawn_blocking(move || drop(one))
            .await
            .unwrap();
        assert_eq!(pool.status().idle, 1);
        (pool, kept)
    });
    drop(runtime);
    drop(kept);
    assert_eq!(pool.status().idle, 2);
    let broken = futures_lite::future::block_on(pool.acquire()).unwrap();
    PooledConnection::discard(broken);
    assert_eq!(
        pool.status().size,
        1,
        "closed by dropping, and its place is free"
    );
    futures_lite::future::block_on(pool.close());
}

/// S10: the numbers and the events tell the same story.
#[test]
fn s10_statistics_and_events_agree() {
    let events = Arc::new(Events::default());
    World::by_hand_on(Virtual::new(), |w, runtime| {
        let pool = w.pool(|b| b.max_size(1).observer(Watch(Arc::clone(&events))));
        runtime.block_on(async {
            let conn = pool.acquire().await.unwrap();
            let late = pool.acquire_timeout(Duration::from_millis(5)).await;
            assert!(late.unwrap_err().is_timed_out());
            conn.discard();
            drop(pool.acquire().await.unwrap());
            drop(pool.acquire().await.unwrap());
            pool.close().await;
        });
        let statistics = pool.statistics();
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst) as u64;
        assert_eq!(count(&events.connected), statistics.connects);
        assert_eq!(count(&events.acquired), statistics.acquires);
        assert_eq!(count(&events.returned), statistics.acquires);
        assert_eq!(count(&events.timed_out), statistics.timeouts.total());
        assert_eq!(count(&events.closed), statistics.closes.total());
        assert_eq!(statistics.closes.get(CloseReason::Discarded), 1);
        assert_eq!(statistics.closes.get(CloseReason::Shutdown), 1);
        assert_eq!((statistics.connects, statistics.acquires), (2, 3));
        assert_eq!((statistics.waits, statistics.timeouts.wait), (3, 1));
    });
}

#[derive(Default)]
struct Events {
    connected: AtomicUsize,
    acquired: AtomicUsize,
    returned: AtomicUsize,
    timed_out: AtomicUsize,
    closed: AtomicUsize,
}

struct Watch(Arc<Events>);

fn add(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

impl Observer for Watch {
    fn connected(&self, _: &event::Connected) {
        add(&self.0.connected);
    }

    fn acquired(&self, _: &event::Acquired) {
        add(&self.0.acquired);
    }

    fn returned(&self, _: &event::Returned) {
        add(&self.0.returned);
    }

    fn timed_out(&self, _: &event::TimedOut) {
        add(&self.0.timed_out);
    }

    fn closed(&self, _: &event::Closed) {
        add(&self.0.closed);
    }
}

laws! {
    every_mode:
        s1_only_the_last_handle_shuts_the_pool_down,
        s1_handles_dropped_together_shut_the_pool_down_once,
        s5_last_handle_dropped_in_a_task_closes_the_idle_ones,
        s5_last_handle_dropped_on_a_plain_thread_closes_the_idle_ones,
        s7_full_return_channel_closes_connections_and_leaks_nothing,
        s7_hung_recycle_frees_the_channel_after_its_timeout,
        s9_guard_dropped_on_a_plain_thread_returns,
        s9_guard_dropped_by_a_panic_is_discarded,
        s9_thread_that_exits_while_holding_returns;
}
