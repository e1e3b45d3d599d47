//! A runtime that can be told to poll one task at a time.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use watertight::{BoxFuture, Spawner, Timer};

use crate::support::{Gate, Virtual};

/// The virtual runtime, with a turnstile before each of its tasks. Blocking calls are tasks, too.
#[derive(Clone)]
pub(super) struct Stepped {
    clock: Virtual,
    turnstile: Arc<Mutex<Turnstile>>,
}

#[derive(Default)]
struct Turnstile {
    /// Only those with a ticket may pass.
    locked: bool,
    tickets: usize,
    /// Tasks that are ready and have no ticket, in the order in which they came.
    waiting: VecDeque<Waker>,
    blocking_calls: Calls,
}

/// How long blocking calls take.
#[derive(Clone, Default)]
pub(super) enum Calls {
    #[default]
    NoTime,
    For(Duration),
    Until(Gate),
}

impl Stepped {
    pub(super) fn on(clock: &Virtual) -> Self {
        Stepped {
            clock: clock.clone(),
            turnstile: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turnstile> {
        lock(&self.turnstile)
    }

    /// From now on no task runs but by [`poll_one_task`](Stepped::poll_one_task); or all do.
    pub(super) fn one_by_one(&self, on: bool) {
        self.lock().locked = on;
        if !on {
            let waiting = std::mem::take(&mut self.lock().waiting);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Polls one of the tasks that are ready, the first or the last. False if there is none.
    pub(super) fn poll_one_task(&self, last: bool) -> bool {
        self.clock.settle();
        loop {
            let next = {
                let mut turnstile = self.lock();
                turnstile.tickets = 1;
                match last {
                    true => turnstile.waiting.pop_back(),
                    false => turnstile.waiting.pop_front(),
                }
            };
            if let Some(waker) = &next {
                waker.wake_by_ref();
                self.clock.settle();
            }
            // It may have been over already.
            let used = std::mem::take(&mut self.lock().tickets) == 0;
            if used || next.is_none() {
                return used;
            }
        }
    }

    /// Blocking calls that begin from now on take so long.
    pub(super) fn calls_take(&self, calls: Calls) {
        self.lock().blocking_calls = calls;
    }

    pub(super) fn settle(&self) {
        self.clock.settle();
    }

    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

fn lock(turnstile: &Mutex<Turnstile>) -> MutexGuard<'_, Turnstile> {
    turnstile.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spawner for Stepped {
    fn spawn(&self, task: BoxFuture<()>) {
        let turnstile = Arc::clone(&self.turnstile);
        self.clock.spawn(Box::pin(Passing { task, turnstile }));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let calls = self.lock().blocking_calls.clone();
        let clock = self.clock.clone();
        self.spawn(Box::pin(async move {
            match calls {
                Calls::NoTime => {}
                Calls::For(time) => clock.sleep_until(clock.now() + time).await,
                Calls::Until(gate) => gate.passed().await,
            }
            work();
        }));
    }
}

impl Timer for Stepped {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.clock.sleep_until(at)
    }
}

/// A task that passes the turnstile each time that it is polled.
struct Passing {
    task: BoxFuture<()>,
    turnstile: Arc<Mutex<Turnstile>>,
}

impl Future for Passing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut turnstile = lock(&self.turnstile);
            if turnstile.locked {
                if turnstile.tickets == 0 {
                    turnstile.waiting.push_back(cx.waker().clone());
                    return Poll::Pending;
                }
                turnstile.tickets -= 1;
            }
        }
        self.task.as_mut().poll(cx)
    }
}
