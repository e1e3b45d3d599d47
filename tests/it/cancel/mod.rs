//! Cancellation, systematically: every future of the public API is dropped after each of its polls,
//! in every situation that it can be in, and each time the books are checked.
//!
//! A *case* is one combination of
//!
//! - a future: `acquire`, `acquire_timeout`, `release`, `fill`, `close`, `close_within`, `closed`,
//!   and those of [`Blocking`](watertight::Blocking)'s connect, check, recycle and close;
//! - the [fates](fates) of the manager's calls that can fall into its life, crossed with each other
//!   where one leads to the next: check, close and connect; recycle and close; two connects;
//! - where there is one, an event: a return in whatever condition, a discard, a resize, the pool's
//!   closing, the runtime's death, before the first poll, after it, or one later;
//! - what happens [between](Between) two polls;
//! - the number of polls after which it is dropped: 0, 1, 2, ... until it completes.
//!
//! Each case has a world of its own. Each poll has a waker of its own, and a future that is ready
//! must have woken the last of them. After each case the pool must still have its full capacity,
//! nobody may wait, the ledger must balance, and once the pool is closed no task, no timer and no
//! manager may be left.
//!
//! Each test counts its cases and knows how many there are at least, so that an enumeration that
//! shrinks does not go unnoticed. There are some 54,000 in all.

mod acquire;
mod blocking;
mod closing;
mod filling;
mod giving_back;
mod stepped;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use watertight::{AcquireError, Backoff, Builder, ConnectPolicy};

use self::stepped::Stepped;
use crate::support::{LawPool, Scripted, Step, Virtual, World, err, hang, ok, panics};

/// How much time passes when some does.
const TICK: Duration = Duration::from_millis(5);
/// The limit of everything that the manager does.
const LIMIT: Duration = Duration::from_millis(20);
/// The deadline of a caller.
const PATIENCE: Duration = Duration::from_millis(60);
/// A future that is not ready by then never will be.
const MOST_POLLS: usize = 200;

/// How a call of the manager's may go.
fn fates() -> [(&'static str, Step); 5] {
    [
        ("ok", ok()),
        ("ok later", ok().after(TICK)),
        ("error", err().after(TICK)),
        ("panic", panics().after(TICK)),
        ("pending for ever", hang()),
    ]
}

/// What happens between two polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    /// Everything runs that can, and a little time passes.
    Quiet,
    /// Nothing, every other time.
    Nothing,
    /// One task is polled once: that which became ready first. If none is ready, time passes.
    FirstTask,
    /// One task is polled once: that which became ready last.
    LastTask,
    /// Everything runs until the future has been woken, and only then is it polled. (Before an
    /// event it is polled once too often.)
    UntilWoken,
}

impl Between {
    const ALL: [Between; 5] = [
        Between::Quiet,
        Between::Nothing,
        Between::FirstTask,
        Between::LastTask,
        Between::UntilWoken,
    ];

    /// The pause after so many polls of a future that left this waker.
    fn pause(self, polls: usize, woken: &Woken, event_is_to_come: bool, runtime: &Stepped) {
        match self {
            Between::Quiet => runtime.advance(TICK),
            Between::Nothing if polls % 2 == 1 => {}
            Between::Nothing => runtime.advance(TICK),
            Between::FirstTask | Between::LastTask => {
                if !runtime.poll_one_task(self == Between::LastTask) {
                    runtime.advance(TICK);
                }
            }
            Between::UntilWoken => {
                runtime.settle();
                for _ in 0..MOST_POLLS {
                    if woken.get() || event_is_to_come {
                        return;
                    }
                    runtime.advance(TICK);
                }
                panic!("nobody wakes it after {polls} polls");
            }
        }
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Woken {
    fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What is done in a case: a future, and perhaps an event after so many polls of it.
struct Act<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    event: Option<Box<dyn FnOnce() + 'a>>,
    at: usize,
}

impl<'a> Act<'a> {
    fn of(future: impl Future<Output = ()> + 'a) -> Self {
        Act {
            future: Box::pin(future),
            event: None,
            at: 0,
        }
    }

    /// After `polls` polls of the future, this happens; at its end, if that comes first.
    fn and(mut self, polls: usize, event: impl FnOnce() + 'a) -> Self {
        self.event = Some(Box::new(event));
        self.at = polls;
        self
    }

    /// Polls the future so many times and drops it. True if it completed.
    fn play(mut self, polls: usize, between: Between, runtime: &Stepped) -> bool {
        runtime.one_by_one(matches!(between, Between::FirstTask | Between::LastTask));
        let mut last: Option<Arc<Woken>> = None;
        self.happen(0);
        for poll in 1..=polls {
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            if let Poll::Ready(()) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                let was_woken = last.is_none_or(|last| last.get());
                assert!(was_woken, "ready at poll {poll}, and nobody said so");
                self.end();
                return true;
            }
            self.happen(poll);
            between.pause(poll, &woken, self.event.is_some(), runtime);
            last = Some(woken);
        }
        self.end();
        false
    }

    fn happen(&mut self, polls: usize) {
        if polls == self.at {
            self.event.take().into_iter().for_each(|event| event());
        }
    }

    /// The future goes first.
    fn end(self) {
        drop(self.future);
        self.event.into_iter().for_each(|event| event());
    }
}

/// A call of the pool's.
type Verb = (&'static str, fn(&LawPool) -> Act<'_>);

/// The surroundings of a case.
struct Set<'a> {
    w: &'a World,
    clock: &'a Virtual,
    runtime: Stepped,
    /// How many others may be waiting.
    others: Cell<usize>,
}

impl Set<'_> {
    /// A pool in which everything has its limit.
    fn pool(&self, configure: impl FnOnce(Builder<Scripted>) -> Builder<Scripted>) -> LawPool {
        self.w.pool(|b| configure(self.limits(b)))
    }

    fn limits(&self, b: Builder<Scripted>) -> Builder<Scripted> {
        b.max_size(2)
            .acquire_timeout(PATIENCE)
            .connect_timeout(LIMIT)
            .check_timeout(LIMIT)
            .recycle_timeout(LIMIT)
            .close_timeout(LIMIT)
            .connect_policy(ConnectPolicy::Retry(Backoff::new(LIMIT / 10, LIMIT)))
            .runtime(self.runtime.clone())
    }

    /// A pool whose `n` places are taken by idle connections.
    fn idle_pool(
        &self,
        n: usize,
        configure: impl FnOnce(Builder<Scripted>) -> Builder<Scripted>,
    ) -> LawPool {
        let pool = self.pool(|b| configure(b.max_size(n)));
        drop(self.clock.block_on(pool.acquire_many(n)));
        pool
    }

    /// Whatever was dropped, nobody waits, and all places can be had within the time-outs.
    fn full_capacity_is_left(&self, pool: &LawPool) {
        let w = self.w;
        for script in [
            w.connects(),
            w.checks(),
            w.inspects(),
            w.recycles(),
            w.closes(),
        ] {
            script.forget();
        }
        self.runtime.one_by_one(false);
        self.runtime.settle();
        assert!(pool.status().waiting <= self.others.get());
        if self.others.get() > 0 {
            self.clock.advance(2 * PATIENCE);
        }
        assert_eq!(pool.status().waiting, 0);
        if pool.is_closed() {
            // Without its caller; what hangs as it is closed has a time-out.
            self.clock.advance(2 * PATIENCE);
            assert_eq!(pool.status().size, 0);
            return;
        }
        let max = pool.status().max_size;
        let mut failures = 0;
        let mut held = Vec::new();
        while held.len() < max {
            match self.clock.block_on(pool.acquire()) {
                Ok(conn) => held.push(conn),
                // A pool that fails fast may still answer with what was begun before.
                Err(AcquireError::Connect(_)) if failures < max => failures += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Plays what `act` makes in a world that `set` furnishes, [every way](every_way).
fn drop_after_every_poll(
    name: &str,
    set: impl Fn(&Set<'_>) -> LawPool,
    act: impl for<'a> Fn(&'a Set<'a>, &'a LawPool) -> Act<'a>,
) -> usize {
    every_way(name, |polls, between| {
        let mut completed = false;
        World::by_hand(|w, clock| {
            let stage = Set {
                w,
                clock,
                runtime: Stepped::on(clock),
                others: Cell::new(0),
            };
            let pool = set(&stage);
            completed = act(&stage, &pool).play(polls, between, &stage.runtime);
            stage.full_capacity_is_left(&pool);
        });
        completed
    })
}

/// Plays once for every number of polls until it completes, for everything that may happen between
/// two polls. Returns how many cases that were.
fn every_way(name: &str, play: impl Fn(usize, Between) -> bool) -> usize {
    let mut cases = 0;
    for between in Between::ALL {
        let completed = (0..=MOST_POLLS).find(|&polls| {
            cases += 1;
            let note = format!("{name}, dropped after {polls} polls, between them {between:?}");
            let _note = Note(&note);
            play(polls, between)
        });
        assert!(completed.is_some(), "{name}, {between:?}: never complete");
    }
    cases
}

/// Says which case it was, if it panics.
struct Note<'a>(&'a str);

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in this case: {}", self.0);
        }
    }
}

/// Asserts that an enumeration has not shrunk.
#[track_caller]
fn assert_at_least(least: usize, cases: usize) {
    println!("{cases} cases");
    assert!(cases >= least, "only {cases} cases are left");
}
