//! Flushing, resizing and failing in the background, while others go about their business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures_lite::future::yield_now;
use watertight::{Backoff, Condition, ConnectPolicy};

use crate::support::{Acquired, LawPool, Lent, Virtual, World, err, join, laws, panics};

laws! {
    every_mode:
        flush_under_load_never_exceeds_the_limit,
        background_work_survives_errors_and_panics,
        growth_refills_to_min_idle_without_demand;
}

/// Law 126.
async fn flush_under_load_never_exceeds_the_limit(w: World) {
    let pool = w.pool(|b| b.max_size(10));
    let cycles = w.times(100, 20);
    let over = Arc::new(AtomicBool::new(false));
    let flusher = {
        let (world, pool, over) = (w.clone(), pool.clone(), Arc::clone(&over));
        w.spawn(async move {
            let mut removed = 0;
            while !over.load(Ordering::Relaxed) {
                removed += pool.retain(|_, metrics| metrics.uses() % 2 == 0);
                world.sleep(1).await;
            }
            removed
        })
    };
    let workers: Vec<_> = (0..64)
        .map(|_| {
            let (world, pool) = (w.clone(), pool.clone());
            w.spawn(async move {
                for cycle in 0..cycles {
                    drop(pool.acquire().await.unwrap());
                    // Now and then all must be away, or nothing is ever idle.
                    match cycle % 10 {
                        0 => world.sleep(10).await,
                        _ => yield_now().await,
                    }
                }
            })
        })
        .collect();
    join(workers).await;
    over.store(true, Ordering::Relaxed);
    let removed = flusher.await as u64;
    assert!(w.ledger().peak() <= 10);
    assert_eq!(pool.statistics().acquires, 64 * cycles as u64);
    w.until(|| pool.statistics().closes.discarded == removed)
        .await;
    assert!(
        removed > 0 || w.virtual_time().is_none(),
        "nothing was flushed"
    );
}

/// Law 103, for all that is done in the background: connects, recycling, closes.
async fn background_work_survives_errors_and_panics(w: World) {
    let pool = w.pool(|b| {
        b.max_size(4)
            .min_idle(2)
            .idle_timeout(w.ms(3000))
            .connect_policy(ConnectPolicy::Retry(Backoff::new(w.ms(20), w.ms(40))))
    });
    for failure in [err(), panics()] {
        w.until(|| pool.status().idle >= 2).await;
        let mut held = pool.acquire_many(4).await;
        w.recycles().next([failure.clone(), failure.clone()]);
        w.closes().next([failure.clone(), failure.clone()]);
        w.connects().next([failure.clone(), failure]);
        for conn in &mut held {
            conn.condition = Condition::Dirty;
        }
        drop(held);
        w.until(|| pool.status().recycling == 0 && pool.status().closing == 0)
            .await;
    }
    assert_eq!(pool.statistics().closes.recycle_failed, 4);
    // It goes on recycling, refilling, and keeping time.
    let mut held = pool.acquire_many(4).await;
    for conn in &mut held {
        conn.condition = Condition::Dirty;
    }
    drop(held);
    w.until(|| pool.status().idle == 4).await;
    assert_eq!(pool.statistics().closes.recycle_failed, 4);
    w.sleep(3500).await;
    w.until(|| pool.status().idle == 2 && pool.statistics().closes.idle == 2)
        .await;
    pool.retain(|_, _| false);
    w.until(|| pool.status().idle == 2).await;
}

/// Law 9, after a shrink.
async fn growth_refills_to_min_idle_without_demand(w: World) {
    let pool = w.pool(|b| b.max_size(5).min_idle(3));
    w.until(|| pool.status().idle == 3).await;
    pool.resize(1);
    w.until(|| pool.status().size == 1).await;
    pool.resize(5);
    w.until(|| pool.status().idle == 3).await;
    assert_eq!(w.connects().calls(), 5);
    assert_eq!(pool.statistics().acquires, 0);
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Acquired> + Send + 'a>>;

/// Callers, holders, and somebody who changes the size all the time.
struct Walk<'a> {
    pool: &'a LawPool,
    runtime: &'a Virtual,
    rng: fastrand::Rng,
    held: Vec<Lent>,
    waiting: Vec<Waiting<'a>>,
    max_size: usize,
}

impl Walk<'_> {
    fn step(&mut self) {
        let before = self.pool.status().size;
        match self.rng.u8(0..12) {
            0..3 if self.waiting.len() < 8 => {
                self.waiting.push(Box::pin(self.pool.acquire()));
                self.poll(self.waiting.len() - 1);
            }
            3 => drop(any(&mut self.waiting, &mut self.rng)),
            4..6 if !self.waiting.is_empty() => {
                let index = self.rng.usize(..self.waiting.len());
                self.poll(index);
            }
            6..9 => drop(any(&mut self.held, &mut self.rng)),
            9 => {
                self.max_size = self.rng.usize(0..6);
                self.pool.resize(self.max_size);
            }
            _ => self.runtime.settle(),
        }
        let status = self.pool.status();
        assert_eq!(status.max_size, self.max_size);
        assert!(
            status.size <= self.max_size || status.size <= before,
            "it grew from {before}: {status:?}"
        );
    }

    fn poll(&mut self, index: usize) {
        let future = self.waiting[index].as_mut();
        if let Poll::Ready(result) = future.poll(&mut Context::from_waker(Waker::noop())) {
            drop(self.waiting.swap_remove(index));
            self.held.push(result.expect("nobody is late"));
        }
    }

    /// When all is quiet, only holders are above the limit, and nobody waits beside a place.
    fn rest(&mut self) {
        self.runtime.settle();
        let status = self.pool.status();
        // A hand-off that its waiter has not seen yet is a loan.
        let lent = status.in_use;
        assert_eq!(status.size, lent + status.idle, "{status:?}");
        assert!(status.size <= self.max_size.max(lent), "{status:?}");
        let free = self.max_size.saturating_sub(lent);
        assert!(status.waiting == 0 || free == 0, "{status:?}");
    }

    fn serve_all(&mut self) {
        if self.max_size == 0 {
            self.max_size = 1;
            self.pool.resize(1);
        }
        while !self.waiting.is_empty() {
            self.held.clear();
            self.runtime.settle();
            let before = self.waiting.len();
            for index in (0..before).rev() {
                self.poll(index);
            }
            assert!(self.waiting.len() < before, "somebody waits for ever");
        }
        self.held.clear();
    }
}

fn any<T>(things: &mut Vec<T>, rng: &mut fastrand::Rng) -> Option<T> {
    (!things.is_empty()).then(|| things.swap_remove(rng.usize(..things.len())))
}

/// Laws 133 and 136, in every order with calls, cancellations and returns.
#[test]
fn no_resize_makes_too_many_or_strands_anybody() {
    World::by_hand_on(Virtual::seeded(133), |w, runtime| {
        let pool = w.pool(|b| b.max_size(3));
        let mut walk = Walk {
            pool: &pool,
            runtime,
            rng: fastrand::Rng::with_seed(136),
            held: Vec::new(),
            waiting: Vec::new(),
            max_size: 3,
        };
        for _ in 0..3_000 {
            for _ in 0..12 {
                walk.step();
            }
            walk.rest();
            walk.serve_all();
        }
    });
}
