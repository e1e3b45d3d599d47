//! Panics: whatever panics on the user's side costs a connection at most, never a place, and
//! poisons nothing.

mod at_the_end;
mod hosts;
mod keys;
mod lost;
mod renewing;
mod waiting;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use watertight::{CheckPolicy, Condition, Loan, Observer, PausePolicy, Pool, WeakPool, event};

use crate::support::{LawPool, Mortal, Scripted, World, laws, panics};

/// All places can be had, so none was lost; and the pool still answers.
async fn assert_whole(pool: &LawPool) {
    let max = pool.status().max_size;
    let held = pool.acquire_many(max).await;
    assert_eq!(held.len(), max);
    assert_eq!(pool.status().in_use, max);
}

/// Law 69.
async fn panicking_connect_gives_its_place_back(w: World) {
    w.connects().next([panics(), panics()]);
    let pool = w.pool(|b| b.max_size(1));
    let conn = pool.acquire().await.unwrap();
    assert_eq!(w.connects().calls(), 3, "it was tried again");
    assert_eq!(pool.statistics().failed_connects, 2);
    drop(conn);
    assert_whole(&pool).await;
}

/// Law 96.
async fn panicking_check_costs_one_connection(w: World) {
    let pool = w.pool(|b| b.max_size(2).check_policy(CheckPolicy::Always));
    drop(pool.acquire_many(2).await);
    w.checks().next([panics()]);
    drop(pool.acquire().await.unwrap());
    w.until(|| pool.statistics().closes.check_failed == 1).await;
    assert_whole(&pool).await;
}

/// Guarantee 7.
async fn panicking_inspect_costs_one_connection(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let held = pool.acquire_many(2).await;
    w.inspects().next([panics()]);
    drop(held);
    w.until(|| pool.status().size == 1).await;
    assert_eq!(pool.statistics().closes.broken, 1);
    assert_whole(&pool).await;
}

/// Guarantee 7.
async fn panicking_recycle_costs_one_connection(w: World) {
    let pool = w.pool(|b| b.max_size(2));
    let mut held = pool.acquire_many(2).await;
    w.recycles().next([panics()]);
    held[0].condition = Condition::Dirty;
    drop(held);
    w.until(|| pool.status().size == 1).await;
    assert_eq!(pool.statistics().closes.recycle_failed, 1);
    assert_whole(&pool).await;
}

/// Law 111.
async fn panicking_close_gives_its_place_back(w: World) {
    w.closes().next([panics(), panics()]);
    let pool = w.pool(|b| b.max_size(2));
    for conn in pool.acquire_many(2).await {
        conn.discard();
    }
    w.until(|| pool.status().size == 0).await;
    assert_whole(&pool).await;
}

/// Guarantee 7. The connection's own destructor panics, wherever the pool runs it.
async fn panicking_destructor_gives_its_place_back(w: World) {
    let pool = w.pool(|b| b.max_size(2).check_policy(CheckPolicy::Always));
    // In `close`.
    for mut conn in pool.acquire_many(2).await {
        conn.panics_when_dropped = true;
        conn.discard();
    }
    w.until(|| pool.status().size == 0).await;
    // After a check that panicked as well, in a close that panics as well.
    let mut conn = pool.acquire().await.unwrap();
    conn.panics_when_dropped = true;
    drop(conn);
    w.checks().next([panics()]);
    w.closes().next([panics()]);
    drop(pool.acquire().await.unwrap());
    assert_whole(&pool).await;
}

/// Guarantee 7. A predicate that panics is its caller's affair: the pool loses one connection, the panic goes
/// on.
async fn panicking_predicate_costs_one_connection(w: World) {
    let pool = w.pool(|b| b.max_size(3));
    drop(pool.acquire_many(3).await);
    let mut seen = 0;
    let retain = std::panic::AssertUnwindSafe(|| {
        pool.retain(|_, _| {
            seen += 1;
            match seen {
                2 => std::panic::resume_unwind(Box::new("undecided")),
                _ => true,
            }
        })
    });
    assert!(std::panic::catch_unwind(retain).is_err());
    w.until(|| pool.status().size == 2).await;
    assert_eq!(pool.statistics().closes.discarded, 1);
    assert_whole(&pool).await;
}

/// Panics at everything that it hears, when it has asked the pool: no lock is held.
#[derive(Clone, Default)]
struct Panicking(
    Arc<Mutex<BTreeSet<&'static str>>>,
    Arc<OnceLock<WeakPool<Scripted>>>,
);

impl Panicking {
    fn panic(&self, at: &'static str) {
        if let Some(pool) = self.1.get().and_then(WeakPool::upgrade) {
            let _ = (pool.status(), pool.statistics(), pool.loans());
            self.0.lock().unwrap().insert(at);
        }
        std::panic::resume_unwind(Box::new("the observer panics"));
    }
}

macro_rules! panic_at {
    ($($event:ident($($type:ty)?),)*) => {
        const EVENTS: &[&str] = &[$(stringify!($event)),*];

        impl Observer for Panicking {
            $(
                fn $event(&self $(, _: $type)?) {
                    self.panic(stringify!($event));
                }
            )*
        }
    };
}

panic_at! {
    configured(&event::Configured),
    connecting(),
    connected(&event::Connected),
    connect_failed(&event::ConnectFailed<'_>),
    adopted(&event::Adopted),
    checked(&event::Checked),
    recycled(&event::Recycled),
    wait_began(),
    wait_ended(&event::WaitEnded),
    acquired(&event::Acquired),
    returned(&event::Returned),
    leaked(&Loan),
    leak_returned(&Loan),
    timed_out(&event::TimedOut),
    rejected(&event::Rejected),
    closed(&event::Closed),
    paused(),
    resumed(),
    reset(),
    closing(),
}

/// Guarantee 7, and S4.
async fn panicking_observer_changes_nothing(w: World) {
    let observer = Panicking::default();
    w.connects().next([crate::support::err()]);
    let pool = w.pool(|b| {
        let b = b.max_size(1).check_policy(CheckPolicy::Always);
        b.leak_threshold(w.ms(40))
            .pause_policy(PausePolicy::FailFast)
            .observer(observer.clone())
    });
    observer.1.set(pool.downgrade()).unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let late = pool.acquire_timeout(w.ms(50)).await.unwrap_err();
    assert!(late.is_timed_out());
    w.until(|| pool.statistics().leaks == 1).await;
    conn.condition = Condition::Dirty;
    pool.release(conn).await;
    pool.acquire().await.unwrap().discard();
    assert_whole(&pool).await;
    pool.retain(|_, _| false);
    w.until(|| pool.status().size == 0).await;
    pool.adopt(w.connection_from_elsewhere()).unwrap();
    let paused = Pool::pause(&pool);
    assert!(pool.acquire().await.is_err());
    pool.resume();
    paused.await;
    pool.reset();
    pool.resize(2);
    assert_whole(&pool).await;
    pool.close().await;
    let all: BTreeSet<_> = EVENTS.iter().copied().collect();
    w.until(|| *observer.0.lock().unwrap() == all).await;
}

/// Guarantee 7. A holder whose task panics gives its place back.
async fn panicking_holder_gives_its_place_back(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    for _ in 0..3 {
        let handle = pool.clone();
        let task = w.spawn(async move {
            let _conn = handle.acquire().await.unwrap();
            std::panic::resume_unwind(Box::new("the holder panics"));
        });
        let joined = std::panic::AssertUnwindSafe(task);
        let outcome: Result<(), _> = futures_lite::FutureExt::catch_unwind(joined).await;
        assert!(outcome.is_err());
    }
    assert_whole(&pool).await;
}

laws! {
    every_mode:
        panicking_connect_gives_its_place_back,
        panicking_check_costs_one_connection,
        panicking_inspect_costs_one_connection,
        panicking_recycle_costs_one_connection,
        panicking_close_gives_its_place_back,
        panicking_destructor_gives_its_place_back,
        panicking_predicate_costs_one_connection,
        panicking_observer_changes_nothing,
        panicking_holder_gives_its_place_back;
}

/// Guarantee 7. The destructor of an error panics, when the next takes its place.
#[test]
fn panicking_destructor_of_an_error_is_contained() {
    struct Furious(bool);
    impl Drop for Furious {
        fn drop(&mut self) {
            if self.0 {
                std::panic::resume_unwind(Box::new("furious"));
            }
        }
    }
    let runtime = Mortal::new();
    let failures = AtomicUsize::new(0);
    let pool = Pool::from_fn(move || {
        let failed = failures.fetch_add(1, Ordering::SeqCst);
        std::future::ready(match failed {
            0..3 => Err(Furious(failed < 2)),
            _ => Ok(failed),
        })
    })
    .runtime(runtime.clone())
    .build()
    .unwrap();
    let conn = runtime.block_on(pool.acquire()).ok().unwrap();
    assert_eq!((*conn, pool.statistics().failed_connects), (3, 3));
    drop(conn);
    runtime.block_on(pool.close());
}

/// Guarantee 7. A check and a recycling fail, and the destructors of their errors panic: what is to follow from
/// a failure follows.
#[test]
fn panicking_destructor_of_what_a_check_or_recycling_says_is_contained() {
    struct Furious;
    impl Drop for Furious {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("furious"));
        }
    }
    struct Unfit(Arc<AtomicUsize>);
    impl watertight::Manager for Unfit {
        type Connection = ();
        type Error = Furious;
        async fn connect(&self) -> Result<(), Furious> {
            Ok(())
        }
        async fn check(&self, (): &mut (), _: &watertight::Metrics) -> Result<(), Furious> {
            futures_lite::future::yield_now().await;
            Err(Furious)
        }
        fn inspect(&self, (): &mut ()) -> Condition {
            Condition::Dirty
        }
        async fn recycle(&self, (): &mut ()) -> Result<(), Furious> {
            match self.0.load(Ordering::SeqCst) {
                0 => Err(Furious),
                _ => Ok(()),
            }
        }
        async fn close(&self, (): ()) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let runtime = Mortal::new();
    let closes = Arc::<AtomicUsize>::default();
    let pool = Pool::builder(Unfit(Arc::clone(&closes)))
        .max_size(1)
        .check_policy(CheckPolicy::Always)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    for way in [1, 2] {
        let conn = runtime.block_on(pool.acquire()).ok().unwrap();
        drop(conn);
        runtime.settle();
        if way == 2 {
            // It is clean by now, and unfit.
            drop(runtime.block_on(pool.acquire()).ok().unwrap());
            runtime.settle();
        }
        assert_eq!(closes.load(Ordering::SeqCst), way);
    }
    let closed = pool.statistics().closes;
    assert_eq!((closed.recycle_failed, closed.check_failed), (1, 1));
    runtime.block_on(pool.close());
}
