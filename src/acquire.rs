//! Checking out: the queue.
//!
//! The [short way](crate::lending) takes the lock once and lends an idle connection. Everything else
//! joins the queue; from then on the caller does nothing but wait for its entry to be filled, by whoever
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
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::Moment;
use crate::connection::PooledConnection;
use crate::error::AcquireError;
use crate::event::{WaitEnded, WaitEnding};
use crate::lending::{
    Wait, lend_by_the_clock, lent, no_time, rejected, shed, tell_shed, tell_timed_out, timed_out,
    told,
};
use crate::loan::Site;
use crate::manager::Manager;
use crate::primitives::{Arc, contain};
use crate::runtime::BoxFuture;
use crate::shared::Shared;
use crate::state::{Effects, Join, Outcome, TimeOut, Turn, Unseen};
use crate::trace;

type Acquired<M> = Result<PooledConnection<M>, AcquireError<<M as Manager>::Error>>;

/// A call to `acquire`: at its first poll it takes the short way if it can, else it joins the
/// queue.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Acquire<'a, M: Manager> {
    shared: &'a Arc<Shared<M>>,
    patience: Patience,
    site: Site,
    entry: Option<Entry>,
}

/// How long a caller waits.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// As long as the pool's settings say.
    OfThePool,
    /// So long, or without limit.
    Of(Option<Duration>),
}

/// A place in the queue.
struct Entry {
    key: usize,
    since: Moment,
    deadline: Moment,
    /// Made when there is something to wait for, and what it waits for.
    timer: Option<(Moment, BoxFuture<()>)>,
    /// Attempts to connect whose tasks the runtime dropped.
    driving: Vec<BoxFuture<()>>,
    span: trace::Span,
}

impl<'a, M: Manager> Acquire<'a, M> {
    #[inline]
    pub(crate) fn new(shared: &'a Arc<Shared<M>>, patience: Patience, site: Site) -> Self {
        Acquire {
            shared,
            patience,
            site,
            entry: None,
        }
    }

    /// Gives up if the deadline has passed, whatever the timer says: for a thread that blocks,
    /// and might be blocking the very runtime that the timer needs.
    pub(crate) fn give_up_if_late(&mut self) -> Option<Acquired<M>> {
        let deadline = self.entry.as_ref()?.deadline;
        let now = self.shared.now();
        (now >= deadline).then(|| self.time_out(now)).flatten()
    }

    /// Answers at once if that is possible, and joins the queue otherwise. Then it tells whether
    /// there is something to look for before the wait.
    fn join(&mut self, cx: &Context<'_>) -> Result<Acquired<M>, bool> {
        let shared = self.shared;
        if matches!(self.patience, Patience::Of(Some(Duration::ZERO))) {
            // Zero means "do not wait", so not for a check either.
            return Ok(match lend_by_the_clock(shared, false, self.site) {
                Ok(Some(conn)) => Ok(conn),
                Ok(None) => Err(no_time(shared)),
                Err(error) => Err(error),
            });
        }
        let mut now = shared.now();
        // Cloned before the lock is taken, and dropped after: a waker is the executor's code.
        let mut waker = Some(cx.waker().clone());
        let mut fx = Effects::new();
        let (deadline, joined) = {
            let mut state = shared.state.lock();
            now = state.latest(now);
            let deadline = match self.patience {
                Patience::OfThePool => now.after_any(state.config().acquire_timeout),
                Patience::Of(timeout) => now.after_any(timeout),
            };
            let joined = state.join(now, deadline, &mut waker, &mut fx);
            (deadline, joined)
        };
        if let Some(unused) = waker {
            // While nothing is in our hands that it could take with it.
            contain(|| drop(unused));
        }
        match joined {
            Join::Served(live) => {
                shared.set_crowded(false);
                let conn = PooledConnection::new(Arc::clone(shared), live);
                shared.carry_out(fx);
                Ok(Ok(told(shared, conn, None, self.site)))
            }
            Join::Rejected(why) => {
                shared.carry_out(fx);
                Ok(Err(rejected(shared, why)))
            }
            Join::Closed => Ok(Err(AcquireError::Closed)),
            Join::Queued { key, busy } => {
                shared.set_crowded(true);
                self.entry = Some(Entry {
                    key,
                    since: now,
                    deadline,
                    timer: None,
                    driving: Vec::new(),
                    span: shared.audience.tracer.waiting(),
                });
                shared.tell(|observer| observer.wait_began());
                shared.carry_out_here(fx);
                Err(busy)
            }
        }
    }

    fn served(&mut self, outcome: Outcome<M::Connection, M::Error>) -> Acquired<M> {
        let entry = self.entry.take();
        let ending = match outcome {
            Outcome::Connection(_) => WaitEnding::Served,
            Outcome::Failed(_) => WaitEnding::ConnectFailed,
            Outcome::Late { .. } => WaitEnding::TimedOut,
            Outcome::Shed { .. } => WaitEnding::Shed,
            Outcome::Closed => WaitEnding::Closed,
        };
        let wait = entry.as_ref().and_then(|it| it.tell(self.shared, ending));
        let result = self.answer(outcome, wait);
        if let Some(entry) = entry {
            entry.let_go();
        }
        result
    }

    fn answer(&self, outcome: Outcome<M::Connection, M::Error>, wait: Option<Wait>) -> Acquired<M> {
        let shared = self.shared;
        match outcome {
            Outcome::Connection(live) => Ok(lent(shared, live, wait, self.site)),
            Outcome::Failed(error) => Err(AcquireError::Connect(error)),
            Outcome::Shed { waited } => Err(shed(shared, waited)),
            Outcome::Closed => Err(AcquireError::Closed),
            Outcome::Late { phase, since } => {
                let now = shared.now();
                let (missed, status) = {
                    let state = shared.state.lock();
                    (state.missed(phase, since), state.status(now))
                };
                Err(timed_out(shared, missed, now, status))
            }
        }
    }

    /// The deadline has passed.
    fn time_out(&mut self, now: Moment) -> Option<Acquired<M>> {
        let key = self.entry.as_ref()?.key;
        let mut fx = Effects::new();
        let (timed, status) = {
            let mut state = self.shared.state.lock();
            // The status is that of the moment before: this caller is among those who wait.
            let status = state.status(now);
            (state.time_out(key, now, &mut fx), status)
        };
        // Only now may foreign code run: nothing is in our hands any more that it could lose.
        let entry = self.entry.take();
        match timed {
            TimeOut::Served(outcome) => {
                // Nothing has changed but for this caller.
                self.entry = entry;
                Some(self.served(outcome))
            }
            TimeOut::Missed(missed, waker) => {
                self.shared.carry_out(fx);
                contain(|| drop(waker));
                if let Some(entry) = entry {
                    entry.tell(self.shared, WaitEnding::TimedOut);
                    entry.let_go();
                }
                Some(Err(timed_out(self.shared, missed, now, status)))
            }
        }
    }
}

impl Entry {
    /// Timers and spans have destructors of their own, and one that panics is not to meet another. (All
    /// that an attempt has is contained by itself.)
    fn let_go(self) {
        let Entry { timer, span, .. } = self;
        contain(|| drop(timer));
        contain(move || {
            let _ends_here = span;
        });
    }

    /// Tells how the wait had ended of one that went away: as it was counted.
    fn tell_unseen<M: Manager>(&self, shared: &Shared<M>, unseen: Unseen) {
        self.tell(
            shared,
            match unseen {
                Unseen::Cancelled => WaitEnding::Cancelled,
                Unseen::Failed => WaitEnding::ConnectFailed,
                Unseen::Late(_) => WaitEnding::TimedOut,
                Unseen::Shed { .. } => WaitEnding::Shed,
                Unseen::Closed => WaitEnding::Closed,
            },
        );
        match unseen {
            Unseen::Late(phase) => {
                let waited = shared.now().elapsed_since(self.since);
                tell_timed_out(shared, phase, waited);
            }
            Unseen::Shed { waited } => tell_shed(shared, waited),
            Unseen::Cancelled | Unseen::Failed | Unseen::Closed => {}
        }
    }

    /// Tells how the wait ended, if anybody listens.
    fn tell<M: Manager>(&self, shared: &Shared<M>, ending: WaitEnding) -> Option<Wait> {
        self.span.end(ending);
        if !shared.audience.listens() {
            return None;
        }
        let wait = Wait {
            since: self.since,
            until: shared.now(),
        };
        let waited = wait.waited();
        shared.tell(|observer| observer.wait_ended(&WaitEnded { waited, ending }));
        Some(wait)
    }

    /// Polls the attempts to connect that this waiter runs, if any. True if one came to its end.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.driving.len();
        self.driving
            .retain_mut(|task| task.as_mut().poll(cx).is_pending());
        self.driving.len() < before
    }

    /// Polls a timer for `at`. True if that has come.
    fn sleep<M: Manager>(&mut self, at: Moment, shared: &Shared<M>, cx: &mut Context<'_>) -> bool {
        if self
            .timer
            .as_ref()
            .is_none_or(|(made_for, _)| *made_for != at)
        {
            let new = shared.timer(at).map(|timer| (at, timer));
            let old = std::mem::replace(&mut self.timer, new);
            contain(|| drop(old));
        }
        let over = match &mut self.timer {
            Some((_, timer)) => timer.as_mut().poll(cx).is_ready(),
            None => false,
        };
        if over {
            contain(|| drop(self.timer.take()));
        }
        over
    }
}

impl<M: Manager> Future for Acquire<'_, M> {
    type Output = Acquired<M>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acquired<M>> {
        let this = &mut *self;
        let shared = this.shared;
        let mut waker = Some(cx.waker());
        let mut look = true;
        let joins = this.entry.is_none();
        if joins {
            look = match this.join(cx) {
                Ok(answer) => return Poll::Ready(answer),
                Err(busy) => busy,
            };
            waker = None;
        }
        loop {
            let Some(entry) = &mut this.entry else {
                return Poll::Pending;
            };
            let turn = match look {
                true => shared.state.lock().poll_waiter(entry.key, waker),
                // Its waker has been left, and nothing but a return will serve it.
                false => Turn::Wait(Moment::NEVER),
            };
            let due = match turn {
                Turn::Over(outcome) => return Poll::Ready(this.served(outcome)),
                Turn::LeaveWaker => {
                    // A waker is the executor's code: cloned and dropped without the lock.
                    let clone = cx.waker().clone();
                    let old = shared.state.lock().leave_waker(entry.key, clone);
                    contain(|| drop(old));
                    waker = None;
                    #[cfg(mutant = "no-second-look")]
                    return Poll::Pending;
                    continue;
                }
                Turn::Advance => {
                    shared.transition(|state, now, fx| state.advance(now, fx));
                    continue;
                }
                Turn::Drive => {
                    let now = shared.now();
                    let attempt = shared.state.lock().drive(entry.key, now);
                    let task = attempt.map(|attempt| shared.connect_task(attempt));
                    entry.driving.extend(task);
                    continue;
                }
                Turn::Wait(due) => due,
            };
            if entry.drive(cx) {
                if entry.driving.is_empty() {
                    shared.state.lock().stopped_driving(entry.key);
                }
                continue;
            }
            let deadline = entry.deadline;
            let at = deadline.min(due);
            let rings = entry.sleep(at, shared, cx);
            // Whatever the timer says: one of tokio's may never ring in a task that does too much at once.
            if !rings && (joins || shared.now() < at) {
                return Poll::Pending;
            }
            let now = shared.now();
            if deadline <= now {
                if let Some(result) = this.time_out(now) {
                    return Poll::Ready(result);
                }
            } else if due <= now {
                shared.transition(|state, now, fx| state.advance(now, fx));
            } else {
                // Too early. Come back, rather than insist: who knows what clock that is.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<M: Manager> Drop for Acquire<'_, M> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            let shared = self.shared;
            let left = shared.state.lock().quit(entry.key);
            let (waker, unseen) = match left {
                Some(waker) => (waker, Unseen::Cancelled),
                None => shared.transition(|state, now, fx| state.cancel(entry.key, now, fx)),
            };
            contain(|| drop(waker));
            entry.tell_unseen(shared, unseen);
            // An attempt that this waiter was running goes with it, after it has left the queue:
            // the place comes back and the next in line is told.
            entry.let_go();
        }
    }
}
