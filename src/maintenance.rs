//! The keeper: the one background task of a pool.
//!
//! It owns the receiving end of the return queue, does what is due when it is due, and keeps the
//! coarse time (see [`clock`](crate::clock)) while there is traffic. Each round it first does all
//! that is due and then takes at most one connection off the queue, so neither can starve the
//! other; the first round has nothing due before the first deadline.
//!
//! It holds the pool weakly, and upgrades anew in every round: it ends with the pool. Nothing
//! depends on its being polled. If the runtime drops it, those who wait look after what is due.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::bell::Bell;
use crate::channel::Receiver;
use crate::clock::Moment;
use crate::config::Config;
use crate::manager::Manager;
use crate::primitives::{Arc, Mutex, Weak};
use crate::race::race;
use crate::returns::Return;
use crate::runtime::BoxFuture;
use crate::shared::Shared;
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
        jobs: Arc::new(Jobs {
            most: shared.setting(Config::return_room),
            under_way: Mutex::new(0),
            over: Bell::default(),
        }),
    };
    let signals = Arc::clone(&shared.signals);
    async move {
        while let Some(Round { until, timer }) = keeper.do_what_is_due() {
            let alarm = async {
                let nudge = signals.nudge.until(|| keeper.is_wanted_before(until));
                match timer {
                    Some(timer) => race(pin!(unhurried(timer)), pin!(nudge)).await,
                    None => nudge.await,
                }
                None
            };
            let next = race(pin!(keeper.next_return()), pin!(alarm)).await;
            if let Some((slot, returned)) = next {
                keeper.set_to_work(slot, returned);
            }
        }
    }
}

/// A timer that never rings at its first poll: what rings too early, or has too little time between two
/// rings, would keep the keeper busy within one turn of its task, and nobody else would get one.
async fn unhurried(mut timer: BoxFuture<()>) {
    let mut rings = None;
    poll_fn(|cx| match rings {
        None => {
            let at_once = timer.as_mut().poll(cx).is_ready();
            rings = Some(at_once);
            if at_once {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }
        Some(true) => Poll::Ready(()),
        Some(false) => timer.as_mut().poll(cx),
    })
    .await;
}

/// What the keeper does between two looks at what is due.
struct Round {
    until: Moment,
    timer: Option<BoxFuture<()>>,
}

struct Keeper<M: Manager> {
    shared: Weak<Shared<M>>,
    incoming: Option<Receiver<Return<M>>>,
    jobs: Arc<Jobs>,
}

/// The jobs under way. While there are too many, what comes is left in the queue.
struct Jobs {
    most: usize,
    under_way: Mutex<usize>,
    over: Bell,
}

/// The right to one job. Dropping it makes room for the next.
struct Slot(Arc<Jobs>);

impl Jobs {
    async fn begin(self: &Arc<Self>) -> Slot {
        let look = || {
            let mut under_way = self.under_way.lock();
            let room = *under_way < self.most;
            *under_way += usize::from(room);
            drop(under_way);
            room.then(|| Slot(Arc::clone(self)))
        };
        self.over.until(look).await
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.under_way.lock() -= 1;
        self.0.over.ring();
    }
}

impl<M: Manager> Keeper<M> {
    /// Does what is due; `None` if the pool is closed or gone.
    fn do_what_is_due(&self) -> Option<Round> {
        let shared = self.shared.upgrade()?;
        let now = shared.now();
        let mut fx = Effects::new();
        let (closed, until) = {
            let mut state = shared.state.lock();
            let until = state.keep(now, &mut fx);
            (state.is_closed(), until)
        };
        shared.carry_out(fx);
        let timer = shared.timer(until);
        (!closed).then_some(Round { until, timer })
    }

    fn is_wanted_before(&self, until: Moment) -> Option<()> {
        let wanted = match self.shared.upgrade() {
            Some(shared) => shared.state.lock().wants_keeper_before(until),
            None => true,
        };
        wanted.then_some(())
    }

    /// The next connection from the return queue, as soon as there is room for another job.
    ///
    /// Cancel safe: between taking a connection and returning it there is no await.
    async fn next_return(&self) -> Option<(Slot, Return<M>)> {
        let Some(incoming) = &self.incoming else {
            return std::future::pending().await;
        };
        let slot = self.jobs.begin().await;
        match incoming.next().await {
            Some(returned) => Some((slot, returned)),
            None => std::future::pending().await,
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
        for returned in incoming.close() {
            // Closed politely where the runtime still runs tasks, dropped where it does not.
            match self.shared.upgrade() {
                Some(shared) => shared.abandon(returned),
                None => drop(returned),
            }
        }
    }
}
