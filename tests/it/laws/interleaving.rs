//! Hand-offs, cancellations and deadlines in every order.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_lite::future::{poll_once, yield_now};

use crate::support::{Acquired, LawPool, Lent, Virtual, World, join, laws};

laws! {
    every_mode: ping_pong_needs_no_timer;
    tasks_only:
        waiter_dropped_at_its_hand_off_passes_it_on,
        no_interleaving_of_two_waiters_loses_a_connection;
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Acquired> + Send + 'a>>;

/// A pool, those who hold and those who wait, and chance.
struct Play<'a> {
    pool: &'a LawPool,
    runtime: &'a Virtual,
    rng: fastrand::Rng,
    held: Vec<Lent>,
    waiting: Vec<Waiting<'a>>,
    /// Connections that the holders did not give back.
    gone: usize,
}

impl<'a> Play<'a> {
    fn step(&mut self) {
        match self.rng.u8(0..10) {
            0..3 => self.arrive(),
            3..5 => self.give_up(),
            5..7 => self.look(),
            7 => self.runtime.settle(),
            _ => self.give_back(),
        }
    }

    fn arrive(&mut self) {
        if self.waiting.len() < 8 {
            self.waiting.push(Box::pin(self.pool.acquire()));
            self.poll(self.waiting.len() - 1);
        }
    }

    /// A waiter goes away, whether or not it has been served.
    fn give_up(&mut self) {
        if let Some(index) = self.any(self.waiting.len()) {
            drop(self.waiting.swap_remove(index));
        }
    }

    fn look(&mut self) {
        if let Some(index) = self.any(self.waiting.len()) {
            self.poll(index);
        }
    }

    fn poll(&mut self, index: usize) {
        let future = self.waiting[index].as_mut();
        if let Poll::Ready(result) = future.poll(&mut Context::from_waker(Waker::noop())) {
            drop(self.waiting.swap_remove(index));
            self.held.push(result.expect("nobody is late"));
        }
    }

    fn give_back(&mut self) {
        if let Some(index) = self.any(self.held.len()) {
            let conn = self.held.swap_remove(index);
            let fate = self.rng.u8(0..16);
            self.gone += usize::from(fate < 2);
            match fate {
                0 => conn.discard(),
                1 => drop(conn.detach()),
                _ => drop(conn),
            }
        }
    }

    fn any(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.rng.usize(..len))
    }

    /// Everybody who waits can be served as long as those who are served give back.
    fn serve_all(&mut self) {
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

/// Law 26.
#[test]
fn no_interleaving_loses_a_connection() {
    for max_size in [1, 2, 3] {
        World::by_hand_on(Virtual::seeded(26), |w, runtime| {
            let pool = w.pool(|b| b.max_size(max_size));
            let mut play = Play {
                pool: &pool,
                runtime,
                rng: fastrand::Rng::with_seed(max_size as u64),
                held: Vec::new(),
                waiting: Vec::new(),
                gone: 0,
            };
            for _ in 0..2_000 {
                for _ in 0..20 {
                    play.step();
                }
                play.serve_all();
                runtime.settle();
                let status = pool.status();
                assert_eq!(status.size, status.idle, "{status:?}");
                // None is lost, and none is made for nothing.
                assert_eq!(w.ledger().count().made - play.gone, status.idle);
            }
        });
    }
}

/// Law 26, one hand-off: the waiter is dropped after it was served and before it was polled.
async fn waiter_dropped_at_its_hand_off_passes_it_on(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let held = pool.acquire().await.unwrap();
    let mut first = Box::pin(pool.acquire());
    let mut second = Box::pin(pool.acquire());
    assert!(poll_once(&mut first).await.is_none());
    assert!(poll_once(&mut second).await.is_none());
    drop(held);
    drop(first);
    let conn = poll_once(&mut second)
        .await
        .expect("it is its turn")
        .unwrap();
    let mut third = Box::pin(pool.acquire());
    assert!(poll_once(&mut third).await.is_none());
    drop(conn);
    drop(third);
    assert_eq!(pool.status().idle, 1);
    assert_eq!(w.connects().calls(), 1);
}

/// Law 26, on real executors: two waiters, the first of whom is dropped before, at or after its
/// turn.
async fn no_interleaving_of_two_waiters_loses_a_connection(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let mut rng = fastrand::Rng::with_seed(26);
    for _ in 0..w.times(10_000, 1_000) {
        let held = pool.acquire().await.unwrap();
        let mut first = Box::pin(pool.acquire());
        let mut second = Box::pin(pool.acquire());
        assert!(poll_once(&mut first).await.is_none());
        assert!(poll_once(&mut second).await.is_none());
        let returning = w.spawn(async move { drop(held) });
        if rng.bool() {
            yield_now().await;
        }
        drop(first);
        drop(second.await.unwrap());
        returning.await;
    }
    assert_eq!(w.connects().calls(), 1);
}

/// Law 47.
async fn ping_pong_needs_no_timer(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let cycles = w.times(50_000, 5_000);
    let watch = w.stopwatch();
    let players = (0..2).map(|_| {
        let pool = pool.clone();
        w.spawn(async move {
            for _ in 0..cycles {
                let _conn = pool.acquire().await.unwrap();
                yield_now().await;
            }
        })
    });
    join(players.collect::<Vec<_>>()).await;
    watch.assert_at(0);
    assert_eq!(pool.statistics().acquires, 2 * cycles as u64);
    assert_eq!(pool.statistics().timeouts.total(), 0);
}
