//! Checks that a caller begins himself, where he is on the pool's runtime.
//!
//! To spawn one costs far more than a check that has nothing to wait for.

use std::cell::Cell;
use std::future::poll_fn;
use std::mem::replace;
use std::task::{Context, Poll, Waker};

use crate::manager::Manager;
use crate::primitives::{Arc, contain};
use crate::shared::Shared;
use crate::state::Effects;

thread_local! {
    /// A check is being begun on this thread.
    static BEGINNING: Cell<bool> = const { Cell::new(false) };
}

/// Leave to begin a check on this thread. One that acquires a connection itself must not begin
/// another inside: there may be as many as connections are idle, and a stack is not endless.
struct Leave;

impl Leave {
    fn take() -> Option<Leave> {
        (!BEGINNING.replace(true)).then(|| Leave)
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        BEGINNING.set(false);
    }
}

/// Ends the part of a check that runs on its caller's task: what comes after goes on in a task.
pub(crate) async fn leave_the_caller() {
    let mut has_left = !BEGINNING.get();
    poll_fn(|cx| {
        if replace(&mut has_left, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<M: Manager> Shared<M> {
    /// As [`carry_out`](Shared::carry_out), for somebody who has just begun to wait and may be served
    /// on the spot: if a check is to be made, and the runtime is that of the caller, it is begun
    /// here. One that is over at once needs no task then; any other goes on in one.
    pub(crate) fn carry_out_here(self: &Arc<Self>, mut fx: Effects<M::Connection, M::Error>) {
        let leave = match fx.check.len() {
            1 if self.is_at_home() => Leave::take(),
            _ => None,
        };
        let check = leave.as_ref().and_then(|_| fx.check.pop());
        self.carry_out(fx);
        let Some((live, id)) = check else {
            return;
        };
        let mut task = self.check_task(live, id);
        let mut nobody = Context::from_waker(Waker::noop());
        let poll = contain(|| task.as_mut().poll(&mut nobody));
        drop(leave);
        match poll {
            Some(Poll::Pending) if cfg!(mutant = "check-stays-here") => drop(task),
            // It is polled there at once, and then leaves its own waker.
            Some(Poll::Pending) => self.spawn(task),
            Some(Poll::Ready(())) | None => drop(contain(|| drop(task))),
        }
    }

    /// Is the caller on the pool's own runtime?
    fn is_at_home(&self) -> bool {
        contain(|| self.runtime.is_current()).unwrap_or(false)
    }
}
