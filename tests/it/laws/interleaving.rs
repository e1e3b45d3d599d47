//! Hand-offs, cancellations and deadlines in every order.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::future::{poll_once, yield_now};
use watertight::event::{WaitEnded, WaitEnding};
use watertight::{BoxFuture, Observer, Pool, Spawner, Timer};

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

/// Law 26 and guarantee 1, in a hundred thousand interleavings.
#[test]
fn no_interleaving_loses_a_connection() {
    for seed in 0..100 {
        let max_size = 1 + seed as usize % 3;
        World::by_hand_on(Virtual::seeded(seed), |w, runtime| {
            let pool = w.pool(|b| b.max_size(max_size));
            let mut play = Play {
                pool: &pool,
                runtime,
                rng: fastrand::Rng::with_seed(seed),
                held: Vec::new(),
                waiting: Vec::new(),
                gone: 0,
            };
            for round in 0..1_000 {
                // Many short ones: each begins and ends with all at rest.
                for _ in 0..[4, 8, 16][round % 3] {
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

/// Law 18: a hand-off before the deadline counts, even if it is seen after; one at the deadline
/// does not. Whichever it is, nothing is lost and nothing made anew.
#[test]
fn hand_off_and_deadline_may_meet_in_any_order() {
    for (returned_at, seen_at) in [(99, 99), (99, 100), (99, 150), (100, 100), (101, 101)] {
        World::by_hand(|w, runtime| {
            let pool = w.pool(|b| b.max_size(1));
            let held = runtime.block_on(pool.acquire()).unwrap();
            let mut waiter = Box::pin(pool.acquire_timeout(w.ms(100)));
            assert!(runtime.block_on(poll_once(&mut waiter)).is_none());
            runtime.stall(w.ms(returned_at));
            drop(held);
            runtime.stall(w.ms(seen_at - returned_at));
            let seen = runtime.block_on(poll_once(&mut waiter));
            let served = seen.expect("it is over").is_ok();
            assert_eq!(served, returned_at < 100, "{returned_at}, {seen_at}");
            assert_eq!(pool.statistics().timeouts.total(), u64::from(!served));
            assert_eq!((pool.status().idle, pool.status().waiting), (1, 0));
            assert_eq!(w.connects().calls(), 1);
        });
    }
}

/// The virtual clock, but something happens when a timer is looked at, or between a reading and what
/// follows from it.
#[derive(Clone)]
struct Meddling {
    clock: Virtual,
    trick: Arc<Mutex<Option<Trick>>>,
    after_reading: Arc<Mutex<Option<Trick>>>,
}

impl Meddling {
    fn with(clock: &Virtual) -> Self {
        Meddling {
            clock: clock.clone(),
            trick: Arc::default(),
            after_reading: Arc::default(),
        }
    }
}

fn play(trick: &Mutex<Option<Trick>>) {
    let trick = trick.lock().unwrap().take();
    trick.into_iter().for_each(|trick| trick());
}

type Trick = Box<dyn FnOnce() + Send>;

impl Spawner for Meddling {
    fn spawn(&self, task: BoxFuture<()>) {
        self.clock.spawn(task);
    }
}

impl Timer for Meddling {
    fn now(&self) -> Instant {
        let now = self.clock.now();
        play(&self.after_reading);
        now
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        let mut sleep = self.clock.sleep_until(at);
        let trick = Arc::clone(&self.trick);
        Box::pin(std::future::poll_fn(move |cx| {
            play(&trick);
            sleep.as_mut().poll(cx)
        }))
    }
}

/// Laws 18 and 26: a hand-off between a waiter's look at its place in the queue and its look at
/// the clock, which says that it is late, was in time.
#[test]
fn hand_off_between_two_looks_of_a_late_waiter_is_seen() {
    World::by_hand(|w, clock| {
        let runtime = Meddling::with(clock);
        let pool = w.pool(|b| b.max_size(1).runtime(runtime.clone()));
        let held = clock.block_on(pool.acquire()).unwrap();
        let mut waiter = Box::pin(pool.acquire_timeout(w.ms(100)));
        assert!(clock.block_on(poll_once(&mut waiter)).is_none());
        let (stalled, late) = (clock.clone(), w.ms(100));
        *runtime.trick.lock().unwrap() = Some(Box::new(move || {
            drop(held);
            stalled.stall(late);
        }));
        let answer = clock.block_on(poll_once(&mut waiter));
        assert_eq!(answer.expect("it is over").unwrap().id(), 0);
        assert_eq!(pool.statistics().timeouts.total(), 0);
        assert_eq!(pool.status().idle, 1);
    });
}

/// Laws 18 and 188: whoever listens hears that the wait has ended, and how.
#[test]
fn hand_off_that_a_late_waiter_sees_is_heard_of_as_that() {
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<WaitEnding>>>);
    impl Observer for Heard {
        fn wait_ended(&self, event: &WaitEnded) {
            self.0.lock().unwrap().push(event.ending());
        }
    }
    World::by_hand(|w, clock| {
        let runtime = Meddling::with(clock);
        let heard = Heard::default();
        let pool = w.pool(|b| {
            let b = b.max_size(1).observer(heard.clone());
            b.runtime(runtime.clone())
        });
        let held = clock.block_on(pool.acquire()).unwrap();
        heard.0.lock().unwrap().clear();
        let mut waiter = Box::pin(pool.acquire_timeout(w.ms(100)));
        assert!(clock.block_on(poll_once(&mut waiter)).is_none());
        let (stalled, late) = (clock.clone(), w.ms(100));
        *runtime.trick.lock().unwrap() = Some(Box::new(move || {
            drop(held);
            stalled.stall(late);
        }));
        let answer = clock.block_on(poll_once(&mut waiter));
        assert!(answer.expect("it is over").is_ok());
        assert_eq!(*heard.0.lock().unwrap(), [WaitEnding::Served]);
    });
}

/// Laws 18 and 29, when a holder's timer and a waiter's fire at the same time, in every order of tasks.
#[test]
fn return_and_time_out_at_one_instant_lose_nothing() {
    for seed in 0..500 {
        World::by_hand_on(Virtual::seeded(seed), |w, runtime| {
            let pool = w.pool(|b| b.max_size(1));
            let held = runtime.block_on(pool.acquire()).unwrap();
            let waiters: Vec<_> = (0..4).map(|_| w.acquiring_within(&pool, 100)).collect();
            let holder = w.clone();
            let holder = w.spawn(async move {
                holder.sleep(100).await;
                drop(held);
            });
            let served = runtime.block_on(async {
                holder.await;
                let results = join(waiters).await;
                results.into_iter().filter(Result::is_ok).count() as u64
            });
            let statistics = pool.statistics();
            assert_eq!(
                (statistics.timeouts.total(), served),
                (4, 0),
                "at the deadline is late"
            );
            assert_eq!(statistics.acquires, 1 + served);
            assert_eq!((pool.status().idle, pool.status().waiting), (1, 0));
            assert_eq!(w.connects().calls(), 1);
        });
    }
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
    let cycles = w.times(50_000, 10_000);
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

/// Laws 18 and 24: whoever gives back has read the clock, and is slow; another has seen since that the first
/// who waits is late.
#[test]
fn nobody_is_served_by_an_old_reading_of_the_clock() {
    let (clock, ms) = (Virtual::new(), Duration::from_millis);
    let runtime = Meddling::with(&clock);
    let trick = Arc::clone(&runtime.after_reading);
    // Nobody observes it, so a return reads the clock once.
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(()) })
        .max_size(1)
        .runtime(runtime)
        .build()
        .unwrap();
    let held = clock.block_on(pool.acquire()).unwrap();
    let mut late = Box::pin(pool.acquire_timeout(ms(100)));
    assert!(clock.block_on(poll_once(&mut late)).is_none());
    let mut next = Box::pin(pool.acquire_timeout(ms(1000)));
    assert!(clock.block_on(poll_once(&mut next)).is_none());
    let (stalled, asking) = (clock.clone(), pool.clone());
    *trick.lock().unwrap() = Some(Box::new(move || {
        stalled.stall(ms(100));
        asking.resize(1);
    }));
    drop(held);
    assert!(trick.lock().unwrap().is_none(), "it has happened");
    let answer = clock.block_on(poll_once(&mut next));
    drop(answer.expect("it is his turn").unwrap());
    let answer = clock.block_on(poll_once(&mut late));
    assert!(answer.expect("it is over").unwrap_err().is_timed_out());
    drop((late, next));
    clock.block_on(pool.close());
    clock.kill();
}

/// Law 77: whoever asks has read the clock, and is slow; another has seen since that what is idle is too old.
#[test]
fn nothing_is_lent_by_an_old_reading_of_the_clock() {
    World::by_hand(|w, clock| {
        let runtime = Meddling::with(clock);
        let trick = Arc::clone(&runtime.after_reading);
        let lifetime = w.ms(100);
        let pool = w.pool(|b| {
            let b = b.max_size(1).max_lifetime(lifetime).lifetime_jitter(0.0);
            b.runtime(runtime)
        });
        drop(clock.block_on(pool.acquire()).unwrap());
        let (stalled, asking) = (clock.clone(), pool.clone());
        *trick.lock().unwrap() = Some(Box::new(move || {
            stalled.stall(lifetime);
            watertight::Pool::resize(&asking, 1);
        }));
        let conn = clock.block_on(pool.acquire()).unwrap();
        assert!(trick.lock().unwrap().is_none(), "it has happened");
        assert_eq!(conn.id(), 1);
    });
}
