//! The keeper: the one background task of a pool.
//!
//! It owns the receiving end of the return queue, does what is due when it is due, and keeps the
//! coarse time (see [`clock`](crate::clock)) while there is traffic. Each round it first does all
//! that is due and then takes at most one connection off the queue, so neither can starve the
//! other; the first round has nothing due before the first deadline.
//!
//! It holds the pool weakly, and upgrades anew in every round: it ends with the pool. Nothing
//! depends on its being polled. If the runtime drops it, those who wait look after what is due.

use std::future::Future;

use async_channel::{Receiver, Sender};
use futures_lite::future;

use crate::manager::Manager;
use crate::primitives::{Arc, Weak};
use crate::runtime::BoxFuture;
use crate::shared::{Return, Shared};
use crate::state::Effects;
use crate::work;

/// The keeper of `shared`, to be spawned.
pub(crate) fn keep<M: Manager>(
    shared: &Arc<Shared<M>>,
    incoming: Option<Receiver<Return<M>>>,
) -> impl Future<Output = ()> + Send + use<M> {
    let keeper = Keeper {
        shared: Arc::downgrade(shared),
        incoming,
        jobs: async_channel::bounded(shared.config.return_capacity()),
    };
    let signals = Arc::clone(&shared.signals);
    async move {
        loop {
            let nudge = signals.nudge.listen();
            let Some(timer) = keeper.do_what_is_due() else {
                return;
            };
            let alarm = async {
                match timer {
                    Some(timer) => future::or(timer, nudge).await,
                    None => nudge.await,
                }
                None
            };
            if let Some((slot, returned)) = future::or(keeper.next_return(), alarm).await {
                keeper.set_to_work(slot, returned);
            }
        }
    }
}

struct Keeper<M: Manager> {
    shared: Weak<Shared<M>>,
    incoming: Option<Receiver<Return<M>>>,
    /// One message for each job under way: what is full here is left in the queue.
    jobs: (Sender<()>, Receiver<()>),
}

/// The right to one job. Dropping it makes room for the next.
struct Slot(Receiver<()>);

impl Drop for Slot {
    fn drop(&mut self) {
        let _ = self.0.try_recv();
    }
}

impl<M: Manager> Keeper<M> {
    /// Does what is due. Returns the timer of what will be next, if anything will; `None` if
    /// the pool is closed or gone.
    fn do_what_is_due(&self) -> Option<Option<BoxFuture<()>>> {
        let shared = self.shared.upgrade()?;
        let now = shared.now();
        let mut fx = Effects::new();
        let (closed, due) = {
            let mut state = shared.state.lock();
            let due = state.keep(now, &mut fx);
            (state.is_closed(), due)
        };
        shared.carry_out(fx);
        (!closed).then(|| shared.timer(due))
    }

    /// The next connection from the return queue, as soon as there is room for another job.
    ///
    /// Cancel safe: between taking a connection and returning it there is no await.
    async fn next_return(&self) -> Option<(Slot, Return<M>)> {
        let (room, jobs) = &self.jobs;
        let Some(incoming) = &self.incoming else {
            return std::future::pending().await;
        };
        let _ = room.send(()).await;
        let slot = Slot(jobs.clone());
        match incoming.recv().await {
            Ok(returned) => Some((slot, returned)),
            Err(_) => std::future::pending().await,
        }
    }

    fn set_to_work(&self, slot: Slot, returned: Return<M>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.spawn(Box::pin(async move {
                work::take_care(returned).await;
                drop(slot);
            }));
        }
    }
}

impl<M: Manager> Drop for Keeper<M> {
    /// The end of the pool, or of the runtime. What is still in the queue holds places, and the
    /// queue would keep it: get it out.
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.transition(|state, _, fx| state.keeper_gone(fx));
        }
        let Some(incoming) = self.incoming.take() else {
            return;
        };
        incoming.close();
        while let Ok(returned) = incoming.try_recv() {
            // Closed politely where the runtime still runs tasks, dropped where it does not.
            match self.shared.upgrade() {
                Some(shared) => shared.abandon(returned),
                None => drop(returned),
            }
        }
    }
}
