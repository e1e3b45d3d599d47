//! The right to one place in the pool, as a value.

use std::sync::Arc;

use crate::event::Closed;
use crate::manager::Manager;
use crate::primitives::contain;
use crate::shared::Shared;
use crate::state::{Effects, Live, Stage, Tag};
use crate::status::CloseReason;

/// Whoever owns a lease holds one of the `max_size` places.
///
/// Everything that happens to a connection outside the lock carries one: a connect, a check, a
/// recycling, a close, a loan. Dropping it gives the place back, so a cancelled future, a panic
/// and a runtime that drops its tasks are one case, not three.
pub(crate) struct Lease<M: Manager> {
    /// `None` once the place has been given back in a more particular way.
    shared: Option<Arc<Shared<M>>>,
    stage: Stage,
    /// Its connection, if it has one.
    tag: Tag,
    /// Why its connection leaves the pool, should the lease be dropped now.
    reason: CloseReason,
}

impl<M: Manager> Lease<M> {
    /// The value of a place that the state has just moved to `stage`.
    #[inline]
    pub(crate) fn new(shared: Arc<Shared<M>>, stage: Stage, tag: Tag, reason: CloseReason) -> Self {
        Lease {
            shared: Some(shared),
            stage,
            tag,
            reason,
        }
    }

    pub(crate) fn shared(&self) -> Option<&Arc<Shared<M>>> {
        self.shared.as_ref()
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// The state takes the place back itself, in the very next transition.
    #[inline]
    pub(crate) fn surrender(&mut self) -> Option<Arc<Shared<M>>> {
        self.shared.take()
    }

    /// Moves on to [`Stage::Closing`].
    pub(crate) fn condemn(&mut self, reason: CloseReason) {
        self.reason = reason;
        let from = std::mem::replace(&mut self.stage, Stage::Closing);
        if let Some(shared) = self.shared.as_ref().filter(|_| from != Stage::Closing) {
            shared.transition(|state, now, fx| state.condemned(from, self.tag.epoch, now, fx));
        }
    }
}

impl<M: Manager> Drop for Lease<M> {
    #[inline]
    fn drop(&mut self) {
        let shared = self.shared.take();
        if let Some(shared) = shared.filter(|_| !cfg!(mutant = "lost-place")) {
            shared.give_back(self.stage, self.tag, self.reason, true);
        }
    }
}

/// A connection together with its place.
pub(crate) struct Held<M: Manager> {
    /// `None` once it has moved on. Before the lease: the connection goes first.
    pub(crate) live: Option<Box<Live<M::Connection>>>,
    pub(crate) lease: Lease<M>,
}

impl<M: Manager> Held<M> {
    #[inline]
    pub(crate) fn new(
        shared: Arc<Shared<M>>,
        live: Box<Live<M::Connection>>,
        stage: Stage,
        reason: CloseReason,
    ) -> Self {
        let lease = Lease::new(shared, stage, live.tag(), reason);
        Held {
            live: Some(live),
            lease,
        }
    }

    /// Gives the place back, now that the connection has been closed.
    pub(crate) fn closed(mut self) {
        if let Some(shared) = self.lease.surrender() {
            let Lease {
                stage, tag, reason, ..
            } = self.lease;
            shared.give_back(stage, tag, reason, false);
        }
    }
}

impl<M: Manager> Drop for Held<M> {
    #[inline]
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            // A destructor that panics must not take the place, or this thread, with it.
            contain(|| drop(live));
        }
    }
}

impl<M: Manager> Shared<M> {
    #[cold]
    fn give_back(self: Arc<Self>, stage: Stage, tag: Tag, reason: CloseReason, lost: bool) {
        // Before anybody learns that the last one is gone.
        match stage {
            Stage::Connecting(_) => self.claim_place(),
            _ => {
                let connection = tag.id;
                self.tell(|observer| observer.closed(&Closed { connection, reason }));
            }
        }
        self.transition(|state, now, fx: &mut Effects<_, _>| {
            state.given_back(stage, tag.epoch, reason, lost, now, fx);
        });
    }
}

impl<M: Manager> Held<M> {
    /// Gives a connection that was taken aside back to the pool, as it was.
    pub(crate) fn put_aside_back(mut self) {
        let stage = self.lease.stage();
        let (Some(live), Some(shared)) = (self.live.take(), self.lease.surrender()) else {
            return;
        };
        let rejected =
            shared.transition(|state, now, fx| state.passed(live, stage, false, now, fx));
        if let Some((live, reason)) = rejected {
            Held::new(shared, live, Stage::Closing, reason).close_in_background(reason);
        }
    }

    /// Closes the connection in a task of its own.
    pub(crate) fn close_in_background(mut self, reason: CloseReason) {
        self.lease.condemn(reason);
        if let Some(shared) = self.lease.shared().cloned() {
            shared.spawn(Box::pin(crate::work::close(self)));
        }
    }
}
