//! The tasks that do the asynchronous work: connect, check, recycle, close.
//!
//! Each carries the place that it works for. It may be dropped at any of its awaits, or before it
//! was ever polled: the place then comes back, and a connection whose state is unknown is
//! dropped. Each calls the manager with a time-out and a net for panics.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::error::ConnectError;
use crate::event::{Checked, ConnectFailed, Connected, Recycled};
use crate::here::leave_the_caller;
use crate::lease::{Held, Lease};
use crate::manager::Manager;
use crate::primitives::{Arc, contain};
use crate::returns::Return;
use crate::runtime::Timer;
use crate::shared::Shared;
use crate::state::{Live, Stage};
use crate::status::CloseReason;

/// Makes a connection and gives it to the pool.
pub(crate) async fn connect<M: Manager>(mut lease: Lease<M>) {
    let Some(shared) = lease.shared().cloned() else {
        return;
    };
    if shared.is_closed() {
        // Nobody is to wait for what has not begun.
        return;
    }
    let stage = lease.stage();
    shared.tell(|observer| observer.connecting());
    let begun = shared.now();
    let limit = shared.setting(|config| config.connect_timeout);
    let made = bounded(&*shared.runtime, limit, async {
        shared.manager.connect().await
    })
    .await;
    let took = shared.now().elapsed_since(begun);
    let error = match made {
        Ok(Ok(connection)) => {
            let id = shared.state.lock().draw_id();
            let connected = Connected {
                connection: id,
                took,
            };
            shared.tell(|observer| observer.connected(&connected));
            lease.surrender();
            let rejected =
                shared.transition(|state, now, fx| state.connected(connection, id, stage, now, fx));
            return close_rejected(shared, rejected).await;
        }
        Ok(Err(error)) => ConnectError::Failed(Arc::new(error)),
        Err(Stopped::TimedOut) => ConnectError::TimedOut,
        Err(Stopped::Panicked) => ConnectError::Panicked,
    };
    shared.tell(|observer| observer.connect_failed(&ConnectFailed::new(&error, took)));
    let permanent = error
        .manager_error()
        .and_then(|error| contain(|| shared.manager.is_permanent(error)))
        .unwrap_or(false);
    lease.surrender();
    shared.claim_place();
    shared.transition(|state, now, fx| state.connect_failed(stage, error, permanent, now, fx));
}

/// Checks a connection and gives it to the pool if it is fit.
pub(crate) async fn check<M: Manager>(mut held: Held<M>) {
    let Some(shared) = held.lease.shared().cloned() else {
        return;
    };
    if shared.is_closed() {
        return hand_on(shared, held, false).await;
    }
    let Some(live) = &mut held.live else {
        return;
    };
    let (connection, begun) = (live.id(), shared.now());
    let metrics = live.metrics(begun, shared.origin);
    let limit = shared.setting(|config| config.check_timeout);
    let checked = bounded(&*shared.runtime, limit, async {
        shared.manager.check(&mut live.connection, &metrics).await
    });
    let passed = succeeded(checked.await);
    if shared.audience.listens() {
        let checked = Checked {
            connection,
            took: shared.now().elapsed_since(begun),
            passed,
        };
        shared.tell(|observer| observer.checked(&checked));
    }
    pass(shared, held, passed, CloseReason::CheckFailed).await;
}

/// Does what a returned connection needs.
pub(crate) async fn take_care<M: Manager>(returned: Return<M>) {
    let Return { held, over } = returned;
    match held.lease.stage() {
        Stage::Recycling => recycle(held).await,
        _ => close(held).await,
    }
    drop(over);
}

async fn recycle<M: Manager>(mut held: Held<M>) {
    let Some(shared) = held.lease.shared().cloned() else {
        return;
    };
    if shared.is_closed() {
        return hand_on(shared, held, false).await;
    }
    let Some(live) = &mut held.live else {
        return;
    };
    let (connection, begun) = (live.id(), shared.now());
    let limit = shared.setting(|config| config.recycle_timeout);
    let recycled = bounded(&*shared.runtime, limit, async {
        shared.manager.recycle(&mut live.connection).await
    });
    let passed = succeeded(recycled.await);
    let recycled = Recycled {
        connection,
        took: shared.now().elapsed_since(begun),
        passed,
    };
    shared.tell(|observer| observer.recycled(&recycled));
    pass(shared, held, passed, CloseReason::RecycleFailed).await;
}

/// Gives a connection back to the pool, or closes it if it failed.
async fn pass<M: Manager>(
    shared: Arc<Shared<M>>,
    mut held: Held<M>,
    fit: bool,
    reason: CloseReason,
) {
    if !fit {
        held.lease.condemn(reason);
        return close(held).await;
    }
    hand_on(shared, held, true).await;
}

/// Gives a connection to the pool, which closes it if it can be kept no more. `verified`: it is known to be
/// fit.
async fn hand_on<M: Manager>(shared: Arc<Shared<M>>, mut held: Held<M>, verified: bool) {
    let stage = held.lease.stage();
    let Some(live) = held.live.take() else {
        return;
    };
    held.lease.surrender();
    drop(held);
    let rejected = shared.transition(|state, now, fx| state.passed(live, stage, verified, now, fx));
    close_rejected(shared, rejected).await;
}

/// True if the manager found nothing. Errors have destructors.
fn succeeded<E>(outcome: Result<Result<(), E>, Stopped>) -> bool {
    let succeeded = matches!(outcome, Ok(Ok(())));
    contain(|| drop(outcome));
    succeeded
}

async fn close_rejected<M: Manager>(
    shared: Arc<Shared<M>>,
    rejected: Option<(Box<Live<M::Connection>>, CloseReason)>,
) {
    if let Some((live, reason)) = rejected {
        close(Held::new(shared, live, Stage::Closing, reason)).await;
    }
}

/// Says goodbye to a connection, then gives its place back.
pub(crate) async fn close<M: Manager>(mut held: Held<M>) {
    let Some(shared) = held.lease.shared().cloned() else {
        return;
    };
    // A destructor may block, and he who waits may have been served by another.
    leave_the_caller().await;
    if let Some(live) = held.live.take() {
        let limit = shared.setting(|config| config.close_timeout);
        // However it ends, the connection is gone with the future that owned it.
        let _ = bounded(&*shared.runtime, limit, async {
            shared.manager.close(live.connection).await;
        })
        .await;
    }
    held.closed();
}

/// Why foreign work did not come to its end.
pub(crate) enum Stopped {
    TimedOut,
    Panicked,
}

/// Runs foreign work for at most `limit`, and survives its panic. The work is gone when this is
/// over, its destructors have run.
pub(crate) async fn bounded<T>(
    runtime: &(impl Timer + ?Sized),
    limit: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, Stopped> {
    let mut work = Foreign(Some(Box::pin(work)));
    let mut timer: Foreign<dyn Future<Output = ()> + Send> = Foreign(None);
    let mut deadline = None;
    let result = std::future::poll_fn(|cx| {
        let Some(future) = &mut work.0 else {
            return Poll::Ready(Err(Stopped::Panicked));
        };
        match contain(|| future.as_mut().poll(cx)) {
            Some(Poll::Ready(value)) => return Poll::Ready(Ok(value)),
            Some(Poll::Pending) => {}
            None => return Poll::Ready(Err(Stopped::Panicked)),
        }
        // Only now is there something to wait for, so only now is the clock read.
        let Some(limit) = limit else {
            return Poll::Pending;
        };
        let at = match deadline {
            Some(at) => at,
            None => match runtime.now().checked_add(limit) {
                Some(at) => *deadline.insert(at),
                None => return Poll::Pending,
            },
        };
        let sleep = timer.0.get_or_insert_with(|| runtime.sleep_until(at));
        let rings = sleep.as_mut().poll(cx).is_ready();
        // Whatever the timer says: one of tokio's may never ring in a task that does too much in each turn.
        if runtime.now() >= at {
            return Poll::Ready(Err(Stopped::TimedOut));
        }
        if rings {
            // Too early. Come back, rather than insist: who knows what clock that is.
            contain(|| drop(timer.0.take()));
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    drop((work, timer));
    result
}

/// A future of the manager's or the runtime's, whose destructor may panic.
struct Foreign<F: ?Sized>(Option<Pin<Box<F>>>);

impl<F: ?Sized> Drop for Foreign<F> {
    fn drop(&mut self) {
        if let Some(future) = self.0.take() {
            contain(|| drop(future));
        }
    }
}
