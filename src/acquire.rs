//! Checking out: the short way, and the queue.
//!
//! The short way takes the lock once and lends an idle connection. Everything else joins the
//! queue; from then on the caller does nothing but wait for its entry to be filled, by whoever
//! has a connection: a return, a check, a connect. None of that work is the caller's own, so
//! dropping this future loses nothing but its place in the queue:
//!
//! | dropped | what happens |
//! |---|---|
//! | before its first poll | nothing had begun |
//! | while it waits | it leaves the queue; a check or connect under way serves the next or ends idle |
//! | after it was served, before it was polled | the connection goes to the next in the queue, or back among the idle |
//! | while it runs an attempt to connect that the runtime had dropped | the place goes to the next waiter to run it, or is free |

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::connection::PooledConnection;
use crate::error::{AcquireError, Phase};
use crate::manager::Manager;
use crate::observer;
use crate::primitives::Arc;
use crate::runtime::BoxFuture;
use crate::shared::Shared;
use crate::state::{Effects, Lend, Missed, Outcome, TimeOut, Turn};
use crate::status::Status;

type Acquired<M> = Result<PooledConnection<M>, AcquireError<<M as Manager>::Error>>;

/// Lends a connection, waiting for one if need be.
#[inline]
pub(crate) async fn acquire<M: Manager>(
    shared: &Arc<Shared<M>>,
    timeout: Option<Duration>,
) -> Acquired<M> {
    // Zero means "do not wait", so not for a check either.
    let no_wait = timeout == Some(Duration::ZERO);
    match lend(shared, !no_wait)? {
        Some(conn) => Ok(conn),
        None if no_wait => Err(no_time(shared)),
        None => Wait::new(shared, timeout).await,
    }
}

/// Lends an idle connection, if that is possible at once and without overtaking anybody.
#[inline]
pub(crate) fn lend<M: Manager>(
    shared: &Arc<Shared<M>>,
    checked: bool,
) -> Result<Option<PooledConnection<M>>, AcquireError<M::Error>> {
    let mut lent = shared.state.lock().lend();
    if let Lend::ReadClock = lent {
        lent = lend_by_the_clock(shared, checked);
    }
    match lent {
        Lend::Connection { live, refill } => {
            let conn = PooledConnection::new(Arc::clone(shared), live);
            if refill {
                shared.transition(|state, now, fx| state.refill(now, fx));
            }
            if shared.is_observed() {
                shared.observe(|observer| observer.acquired(&observer::Acquired::new(None)));
            }
            Ok(Some(conn))
        }
        Lend::Closed => Err(AcquireError::Closed),
        Lend::Unavailable | Lend::ReadClock => Ok(None),
    }
}

#[cold]
fn lend_by_the_clock<M: Manager>(shared: &Arc<Shared<M>>, checked: bool) -> Lend<M::Connection> {
    let now = shared.now();
    let mut fx = Effects::new();
    let lent = shared.state.lock().lend_at(now, checked, &mut fx);
    shared.carry_out(fx);
    lent
}

/// The answer to a caller who would not wait.
#[cold]
pub(crate) fn no_time<M: Manager>(shared: &Arc<Shared<M>>) -> AcquireError<M::Error> {
    let now = shared.now();
    let (missed, status) = {
        let mut state = shared.state.lock();
        (state.missed(Phase::Wait, now), state.status(now))
    };
    timed_out(shared, missed, now, status)
}

fn timed_out<M: Manager>(
    shared: &Shared<M>,
    missed: Missed<M::Error>,
    now: Instant,
    status: Status,
) -> AcquireError<M::Error> {
    let Missed {
        phase,
        since,
        cause,
    } = missed;
    let waited = now.saturating_duration_since(since);
    shared.observe(|observer| observer.timed_out(&observer::TimedOut::new(phase, waited)));
    AcquireError::TimedOut {
        phase,
        waited,
        cause,
        status: Box::new(status),
    }
}

/// A place in the queue, from the first poll to the end.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Wait<'a, M: Manager> {
    shared: &'a Arc<Shared<M>>,
    timeout: Option<Duration>,
    entry: Option<Entry>,
}

struct Entry {
    key: usize,
    since: Instant,
    deadline: Option<Instant>,
    /// Made when there is something to wait for, and what it waits for.
    timer: Option<(Instant, BoxFuture<()>)>,
    /// An attempt to connect whose task the runtime dropped.
    driving: Option<BoxFuture<()>>,
}

impl<'a, M: Manager> Wait<'a, M> {
    pub(crate) fn new(shared: &'a Arc<Shared<M>>, timeout: Option<Duration>) -> Self {
        Wait {
            shared,
            timeout,
            entry: None,
        }
    }

    /// How long until the deadline, by the pool's clock; `None` if there is none.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let deadline = self.entry.as_ref()?.deadline?;
        Some(deadline.saturating_duration_since(self.shared.now()))
    }

    /// Gives up if the deadline has passed, whatever the timer says: for a thread that blocks,
    /// and might be blocking the very runtime that the timer needs.
    pub(crate) fn give_up_if_late(&mut self) -> Option<Acquired<M>> {
        let deadline = self.entry.as_ref()?.deadline?;
        let now = self.shared.now();
        (now >= deadline).then(|| self.time_out(now)).flatten()
    }

    /// Joins the queue. False if the pool is closed.
    fn join(&mut self, waker: Waker) -> bool {
        let shared = self.shared;
        shared.revive_keeper();
        let now = shared.now();
        let deadline = self.timeout.and_then(|timeout| now.checked_add(timeout));
        let mut fx = Effects::new();
        let key = shared.state.lock().enqueue(now, deadline, waker, &mut fx);
        self.entry = key.map(|key| Entry {
            key,
            since: now,
            deadline,
            timer: None,
            driving: None,
        });
        shared.carry_out(fx);
        self.entry.is_some()
    }

    fn served(&mut self, outcome: Outcome<M::Connection, M::Error>) -> Acquired<M> {
        let shared = self.shared;
        let since = self.entry.take().map(|entry| entry.since);
        match outcome {
            Outcome::Connection(live) => {
                let conn = PooledConnection::new(Arc::clone(shared), live);
                shared.observe(|observer| {
                    let waited = since.map(|at| shared.now().saturating_duration_since(at));
                    observer.acquired(&observer::Acquired::new(waited));
                });
                Ok(conn)
            }
            Outcome::Failed(error) => Err(AcquireError::Connect(error)),
            Outcome::Closed => Err(AcquireError::Closed),
            Outcome::Late { phase, since } => {
                let now = shared.now();
                let (missed, status) = {
                    let mut state = shared.state.lock();
                    (state.missed(phase, since), state.status(now))
                };
                Err(timed_out(shared, missed, now, status))
            }
        }
    }

    /// The deadline has passed.
    fn time_out(&mut self, now: Instant) -> Option<Acquired<M>> {
        let key = self.entry.as_ref()?.key;
        let mut fx = Effects::new();
        let (timed, status) = {
            let mut state = self.shared.state.lock();
            // The status is that of the moment before: this caller is among those who wait.
            let status = state.status(now);
            (state.time_out(key, now, &mut fx), status)
        };
        let result = match timed {
            TimeOut::Served(outcome) => self.served(outcome),
            TimeOut::Missed(missed, waker) => {
                drop(waker);
                self.entry = None;
                Err(timed_out(self.shared, missed, now, status))
            }
        };
        self.shared.carry_out(fx);
        Some(result)
    }
}

impl Entry {
    /// Polls the attempt to connect that this waiter runs, if any. True if it came to its end.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let ended = match &mut self.driving {
            Some(task) => task.as_mut().poll(cx).is_ready(),
            None => false,
        };
        if ended {
            self.driving = None;
        }
        ended
    }

    /// True if it is `at` or later, by the timer.
    fn sleep(
        &mut self,
        at: Instant,
        sleep_until: impl Fn() -> BoxFuture<()>,
        cx: &mut Context<'_>,
    ) -> bool {
        let (_, timer) = match self.timer.take() {
            Some((made_for, timer)) if made_for == at => self.timer.insert((at, timer)),
            _ => self.timer.insert((at, sleep_until())),
        };
        let over = timer.as_mut().poll(cx).is_ready();
        if over {
            self.timer = None;
        }
        over
    }
}

impl<M: Manager> Future for Wait<'_, M> {
    type Output = Acquired<M>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acquired<M>> {
        let this = &mut *self;
        let shared = this.shared;
        // Cloned before the lock is taken, and dropped after: a waker is the executor's code.
        let mut waker = Some(cx.waker().clone());
        if this.entry.is_none() {
            if let Some(waker) = waker.take() {
                if !this.join(waker) {
                    return Poll::Ready(Err(AcquireError::Closed));
                }
            }
        }
        loop {
            let Some(entry) = &mut this.entry else {
                return Poll::Pending;
            };
            let (turn, step) = {
                let mut state = shared.state.lock();
                (state.poll_waiter(entry.key, &mut waker), state.step())
            };
            waker = None;
            let (drive, due) = match turn {
                Turn::Over(outcome) => return Poll::Ready(this.served(outcome)),
                Turn::Wait { drive, due } => (drive, due),
            };
            if drive {
                entry.driving = Some(shared.connect_task(step));
            }
            if entry.drive(cx) {
                shared.state.lock().stopped_driving(entry.key);
                continue;
            }
            let Some(at) = [entry.deadline, due].into_iter().flatten().min() else {
                return Poll::Pending;
            };
            if !entry.sleep(at, || shared.runtime.sleep_until(at), cx) {
                return Poll::Pending;
            }
            let deadline = entry.deadline;
            let now = shared.now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                if let Some(result) = this.time_out(now) {
                    return Poll::Ready(result);
                }
            } else if due.is_some_and(|due| due <= now) {
                shared.transition(|state, now, fx| state.advance(now, fx));
            }
        }
    }
}

impl<M: Manager> Drop for Wait<'_, M> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            let waker = self
                .shared
                .transition(|state, now, fx| state.cancel(entry.key, now, fx));
            drop(waker);
            // An attempt that this waiter was running goes with it, after it has left the queue:
            // the place comes back and the next in line is told.
            drop(entry);
        }
    }
}
