//! The way back of a connection that is not plainly clean.

use crate::channel::{Refused, Sender};
use crate::lease::Held;
use crate::manager::Manager;
use crate::primitives::Arc;
use crate::shared::Shared;
use crate::state::{Live, Returned, Stage, Verdict};
use crate::status::CloseReason;
use crate::work;

/// A returned connection that needs work, on its way to the keeper.
pub(crate) struct Return<M: Manager> {
    pub(crate) held: Held<M>,
    /// Dropped when the work is over, which is how [`release`](crate::PooledConnection::release)
    /// learns of it.
    pub(crate) over: Option<Sender<()>>,
}

impl<M: Manager> Shared<M> {
    /// Takes a connection back that is not plainly clean.
    #[cold]
    pub(crate) fn take_back(
        self: &Arc<Self>,
        live: Box<Live<M::Connection>>,
        verdict: Verdict,
        over: Option<Sender<()>>,
    ) {
        #[cfg(mutant = "wakes-too-early")]
        self.transition(|state, now, fx| state.wake_first(now, fx));
        if matches!(verdict, Verdict::Clean | Verdict::Dirty) {
            self.claim_place();
        }
        let (returned, crowded) = self.transition(|state, now, fx| {
            let returned = state.returned(live, verdict, now, fx);
            (returned, state.has_waiters())
        });
        if !crowded {
            self.set_crowded(false);
        }
        let held = match returned {
            Returned::Kept => return,
            Returned::Recycle(live) => {
                let reason = CloseReason::RecycleFailed;
                Held::new(Arc::clone(self), live, Stage::Recycling, reason)
            }
            Returned::Close(live, reason) => {
                Held::new(Arc::clone(self), live, Stage::Closing, reason)
            }
        };
        self.send_back(Return { held, over });
    }

    /// Hands a connection that needs work to the keeper. If the queue is full, or its reader
    /// gone, the connection is taken out of the error and closed; its place travels with it.
    fn send_back(&self, returned: Return<M>) {
        match self.returns.send(returned) {
            Ok(()) => {}
            // A keeper that was revived has no queue, but it shows that tasks are run again.
            Err(Refused::Closed(returned)) if self.state.lock().is_kept() => {
                self.spawn(Box::pin(work::take_care(returned)));
            }
            Err(refused) if cfg!(mutant = "refused-is-dropped") => drop(refused),
            Err(refused) => self.abandon(refused.into_inner()),
        }
    }

    /// Closes a connection that needed work and will not get it.
    pub(crate) fn abandon(&self, mut returned: Return<M>) {
        if returned.held.lease.stage() == Stage::Recycling {
            returned.held.lease.condemn(match self.is_closed() {
                true => CloseReason::Shutdown,
                false => CloseReason::ReturnQueueFull,
            });
        }
        self.spawn(Box::pin(work::take_care(returned)));
    }
}
