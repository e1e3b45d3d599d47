//! What the pool says about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_lite::future::{poll_once, yield_now};
use watertight::{CheckPolicy, CloseReason, Condition, Observer, Status, event};

use crate::support::{Gate, LawPool, World, err, hang, join, laws, ok};

laws! {
    every_mode:
        every_snapshot_under_load_adds_up,
        observer_hears_what_is_counted,
        each_stage_shows_in_the_status,
        only_those_who_waited_count_as_waits,
        time_outs_are_counted_by_phase,
        each_close_counts_for_its_reason,
        return_through_a_full_queue_counts_for_its_reason;
    tasks_only: cancelled_waits_are_counted;
}

fn assert_adds_up(status: &Status) {
    let away = status.in_use + status.connecting + status.checking;
    let in_pool = status.idle + status.recycling + status.closing;
    assert_eq!(status.size, away + in_pool, "{status:?}");
    assert!(status.size <= status.max_size, "{status:?}");
    let somebody = status.waiting > 0;
    assert_eq!(status.oldest_waiter.is_some(), somebody, "{status:?}");
}

/// Law 181.
async fn every_snapshot_under_load_adds_up(w: World) {
    w.connects().next([ok(), err(), ok()]);
    let pool = w.pool(|b| b.max_size(4).min_idle(1).check_policy(CheckPolicy::Always));
    let cycles = w.times(200, 50);
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let pool = pool.clone();
            w.spawn(async move {
                let mut rng = fastrand::Rng::with_seed(worker);
                for _ in 0..cycles {
                    let mut conn = pool.acquire().await.unwrap();
                    yield_now().await;
                    let conditions = [Condition::Clean, Condition::Dirty, Condition::Broken];
                    conn.condition = conditions[rng.usize(..3)];
                }
            })
        })
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let sampler = {
        let (pool, over) = (pool.clone(), Arc::clone(&over));
        w.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                assert_adds_up(&pool.status());
                yield_now().await;
            }
        })
    };
    join(workers).await;
    over.store(true, Ordering::Relaxed);
    sampler.await;
    assert_eq!(pool.statistics().acquires, 16 * cycles as u64);
}

/// What an observer has heard.
#[derive(Debug, Default)]
struct Tally {
    connected: AtomicU64,
    connect_failed: AtomicU64,
    acquired: AtomicU64,
    returned: AtomicU64,
    timed_out: AtomicU64,
    closed: AtomicU64,
}

#[derive(Clone, Default)]
struct Listener(Arc<Tally>);

impl Observer for Listener {
    fn connected(&self, _: &event::Connected) {
        self.0.connected.fetch_add(1, Ordering::Relaxed);
    }

    fn connect_failed(&self, _: &event::ConnectFailed<'_>) {
        self.0.connect_failed.fetch_add(1, Ordering::Relaxed);
    }

    fn acquired(&self, _: &event::Acquired) {
        self.0.acquired.fetch_add(1, Ordering::Relaxed);
    }

    fn returned(&self, _: &event::Returned) {
        self.0.returned.fetch_add(1, Ordering::Relaxed);
    }

    fn timed_out(&self, _: &event::TimedOut) {
        self.0.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&self, _: &event::Closed) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Law 188.
async fn observer_hears_what_is_counted(w: World) {
    let listener = Listener::default();
    w.connects().next([ok(), err(), ok()]);
    let pool = w.pool(|b| b.max_size(2).max_uses(3).observer(listener.clone()));
    for _ in 0..10 {
        let held = pool.acquire_many(2).await;
        assert!(pool.acquire_timeout(w.ms(5)).await.is_err());
        drop(held);
    }
    pool.acquire().await.unwrap().discard();
    drop(pool.acquire().await.unwrap().detach());
    pool.close().await;
    let counted = pool.statistics();
    let heard = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let tally = &listener.0;
    assert_eq!(heard(&tally.connected), counted.connects);
    assert_eq!(heard(&tally.connect_failed), counted.failed_connects);
    assert_eq!(heard(&tally.acquired), counted.acquires);
    assert_eq!(heard(&tally.timed_out), counted.timeouts.total());
    w.until(|| heard(&tally.closed) == counted.closes.total())
        .await;
    assert_eq!(heard(&tally.returned), counted.acquires);
}

/// Law 181.
async fn each_stage_shows_in_the_status(w: World) {
    let pool = w.pool(|b| b.max_size(6).check_policy(CheckPolicy::Always));
    let mut held = pool.acquire_many(5).await;
    let gate = Gate::new();
    w.closes().next([ok().at(&gate)]);
    w.recycles().next([ok().at(&gate)]);
    w.checks().always(ok().at(&gate));
    w.connects().next([ok().at(&gate)]);
    held.pop().unwrap().discard();
    held.pop().unwrap().condition = Condition::Dirty;
    drop(held.split_off(1));
    let callers = [
        w.waiter(&pool).await,
        w.waiter(&pool).await,
        w.waiter(&pool).await,
    ];
    w.until(|| pool.status().connecting == 1).await;
    let status = pool.status();
    assert_adds_up(&status);
    assert_eq!((status.in_use, status.idle, status.waiting), (1, 0, 3));
    assert_eq!((status.closing, status.recycling), (1, 1));
    assert_eq!((status.checking, status.connecting), (2, 1));
    gate.open();
    for conn in join(callers).await {
        drop(conn.unwrap());
    }
}

/// Law 182.
async fn only_those_who_waited_count_as_waits(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let created = pool.statistics();
    assert_eq!((created.acquires, created.waits), (1, 1));
    let waiter = w.waiter(&pool).await;
    drop(held);
    drop(waiter.await.unwrap());
    let queued = pool.statistics();
    assert_eq!((queued.acquires, queued.waits), (2, 2));
    drop(pool.acquire().await.unwrap());
    drop(pool.try_acquire().unwrap());
    let idle = pool.statistics();
    assert_eq!((idle.acquires, idle.waits), (4, 2));
}

/// Law 183. A call that was never polled has not begun, and is not counted.
async fn cancelled_waits_are_counted(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    drop(Box::pin(pool.acquire()));
    assert_eq!(pool.statistics().cancellations, 0);
    w.connects().next([hang()]);
    cancel_a_wait(&w, &pool).await;
    assert_eq!(pool.statistics().cancellations, 1);
    pool.adopt(w.connection_from_elsewhere()).unwrap_err();
    let other = w.sibling();
    let pool = other.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    cancel_a_wait(&other, &pool).await;
    assert_eq!(pool.statistics().cancellations, 1);
    let mut waiter = Box::pin(pool.acquire());
    assert!(poll_once(&mut waiter).await.is_none());
    drop(held);
    drop(waiter);
    assert_eq!(pool.statistics().cancellations, 2);
    assert_eq!(pool.statistics().acquires, 1);
}

async fn cancel_a_wait(w: &World, pool: &LawPool) {
    let mut waiter = Box::pin(pool.acquire());
    assert!(poll_once(&mut waiter).await.is_none());
    w.settle().await;
}

/// Law 184.
async fn time_outs_are_counted_by_phase(w: World) {
    let pool = w.pool(|b| b.max_size(1).check_policy(CheckPolicy::Always));
    w.connects().next([ok().after(w.ms(300))]);
    assert!(pool.acquire_timeout(w.ms(100)).await.is_err());
    assert_eq!(pool.statistics().timeouts.connect, 1);
    w.until_time(300, || pool.status().idle == 1).await;
    w.checks().next([ok().after(w.ms(300))]);
    assert!(pool.acquire_timeout(w.ms(100)).await.is_err());
    assert_eq!(pool.statistics().timeouts.check, 1);
    w.until_time(300, || pool.status().idle == 1).await;
    let held = pool.acquire().await.unwrap();
    assert!(pool.acquire_timeout(w.ms(100)).await.is_err());
    let statistics = pool.statistics();
    assert_eq!(statistics.timeouts.wait, 1);
    assert_eq!(statistics.timeouts.total(), 3);
    assert_eq!((statistics.acquires, statistics.cancellations), (1, 0));
    drop(held);
}

/// Law 185.
async fn each_close_counts_for_its_reason(w: World) {
    let full = CloseReason::ReturnQueueFull;
    for &reason in CloseReason::ALL.iter().filter(|&&reason| reason != full) {
        let scene = w.sibling();
        let pool = close_one(&scene, reason).await;
        scene.until(|| scene.ledger().count().live == 0).await;
        // The connection is gone a moment before its close is counted.
        scene.until(|| pool.statistics().closes.total() > 0).await;
        let closes = pool.statistics().closes;
        assert_eq!(closes.get(reason), 1, "{reason}: {closes:?}");
        assert_eq!(closes.total(), 1, "{reason}: {closes:?}");
    }
}

/// Law 185.
async fn return_through_a_full_queue_counts_for_its_reason(w: World) {
    let gate = Gate::new();
    w.recycles().always(ok().at(&gate));
    let pool = w.pool(|b| b.max_size(3).return_queue(1));
    for (waiting, mut conn) in pool.acquire_many(3).await.into_iter().enumerate() {
        conn.condition = Condition::Dirty;
        drop(conn);
        // One is being recycled, one waits for it, and for one there is no room.
        w.until(|| waiting > 0 || w.recycles().calls() == 1).await;
    }
    w.until(|| pool.statistics().closes.total() == 1).await;
    gate.open();
    w.until(|| pool.status().idle == 2).await;
    assert_eq!(pool.statistics().closes.return_queue_full, 1);
}

/// A pool of one connection, which leaves it for this reason.
async fn close_one(w: &World, reason: CloseReason) -> LawPool {
    let pool = w.pool(|b| {
        let b = b.max_size(1);
        match reason {
            CloseReason::Idle => b.max_idle(0),
            CloseReason::Lifetime => b.max_lifetime(w.ms(50)),
            CloseReason::Uses => b.max_uses(1),
            CloseReason::CheckFailed => b.check_policy(CheckPolicy::Always),
            _ => b,
        }
    });
    let mut conn = pool.acquire().await.unwrap();
    match reason {
        CloseReason::Broken => conn.condition = Condition::Broken,
        CloseReason::RecycleFailed => {
            w.recycles().next([err()]);
            conn.condition = Condition::Dirty;
        }
        CloseReason::Discarded => {
            conn.discard();
            return pool;
        }
        CloseReason::Detached => {
            drop(conn.detach());
            return pool;
        }
        CloseReason::Lifetime => w.sleep(60).await,
        _ => {}
    }
    drop(conn);
    match reason {
        CloseReason::CheckFailed => {
            w.checks().next([err()]);
            w.connects().always(err());
            assert!(pool.acquire_timeout(w.ms(100)).await.is_err());
        }
        CloseReason::Reset => pool.reset(),
        CloseReason::Resize => pool.resize(0),
        CloseReason::Shutdown => pool.close().await,
        _ => {}
    }
    pool
}
