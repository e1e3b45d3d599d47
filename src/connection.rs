//! The guard: a connection on loan.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::thread;

use crate::manager::{Condition, Manager, Metrics};
use crate::pool::Pool;
use crate::primitives::{Arc, contain};
use crate::shared::Shared;
use crate::state::{Live, Verdict};
use crate::status::CloseReason;

/// A connection on loan from a pool. Dropping it gives it back.
///
/// It can be dropped anywhere: in a task, on a plain thread, while a panic unwinds (the
/// connection is then [discarded](PooledConnection::discard), for nobody knows how far its holder
/// got), after the pool was closed, after its runtime has shut down. Dropping never blocks,
/// never panics and needs no runtime; what takes time (recycling, closing) happens elsewhere.
///
/// It keeps the manager alive, but not the pool open. What can be done with it besides using the
/// connection are associated functions, so that they never hide a method of the connection's.
#[must_use = "dropping it gives the connection back at once"]
pub struct PooledConnection<M: Manager> {
    /// The connection and the right to its place, which is in `Stage::Lent`; `None` once they
    /// have moved on. A [`Lease`](crate::lease::Lease) of its own kind, small enough for registers.
    loan: Option<Loan<M>>,
}

struct Loan<M: Manager> {
    live: Box<Live<M::Connection>>,
    shared: Arc<Shared<M>>,
}

impl<M: Manager> PooledConnection<M> {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared<M>>, live: Box<Live<M::Connection>>) -> Self {
        PooledConnection {
            loan: Some(Loan { live, shared }),
        }
    }

    /// Takes the connection out of the pool for good. Its place is free at once, even before this
    /// returns.
    pub fn detach(mut conn: Self) -> M::Connection {
        let Some(Loan { live, shared }) = conn.loan.take() else {
            unreachable!("{EMPTY}")
        };
        shared.transition(|state, now, fx| state.detached(live.epoch(), now, fx));
        shared.observe(|observer| {
            observer.closed(&crate::observer::Closed::new(CloseReason::Detached));
        });
        live.connection
    }

    /// Closes the connection instead of giving it back, off this thread.
    pub fn discard(mut conn: Self) {
        conn.hand_in(Some(Verdict::Condemned(CloseReason::Discarded)), None);
    }

    /// Makes this the connection's last loan: it is closed instead of lent again, once it is given
    /// back. Until then it can be used as before.
    pub fn retire(conn: &mut Self) {
        if let Some(loan) = &mut conn.loan {
            loan.live.retire();
        }
    }

    /// Gives the connection back and resolves when it is idle again, with somebody else, or
    /// closed: in particular when its [recycling](Manager::recycle) is over.
    ///
    /// # Cancel safety
    ///
    /// Cancelling it only means not to know: from its first poll on the connection is on its way.
    pub async fn release(mut conn: Self) {
        let (over, end) = async_channel::bounded(1);
        conn.hand_in(None, Some(over));
        drop(conn);
        // Nothing is ever sent: the sender is dropped when it is over.
        let _ = end.recv().await;
    }

    /// How old the connection is and how often it has been lent.
    pub fn metrics(conn: &Self) -> Metrics {
        {
            let Loan { live, shared } = conn.loan();
            live.metrics(shared.now(), shared.origin)
        }
    }

    /// The pool it belongs to; `None` if every handle of that pool is gone, or if it is one of a
    /// [`KeyedPool`](crate::KeyedPool)'s.
    pub fn pool(conn: &Self) -> Option<Pool<M>> {
        conn.loan().shared.handle.upgrade().map(Pool::from_handle)
    }

    /// The one way back. Whatever happens here, the place travels with the connection.
    #[inline]
    fn hand_in(&mut self, verdict: Option<Verdict>, over: Option<async_channel::Sender<()>>) {
        let Some(Loan { mut live, shared }) = self.loan.take() else {
            return;
        };
        let verdict = verdict.unwrap_or_else(|| inspect(&shared, &mut live));
        if shared.is_observed() {
            shared.observe(|observer| observer.returned());
        }
        if verdict == Verdict::Clean {
            let kept = shared.state.lock().put_back(live);
            match kept {
                Ok(()) => return,
                Err(back) => live = back,
            }
        }
        shared.take_back(live, verdict, over);
    }

    #[inline]
    fn loan(&self) -> &Loan<M> {
        match &self.loan {
            Some(loan) => loan,
            None => unreachable!("{EMPTY}"),
        }
    }
}

/// Every method that takes the connection out takes the guard by value.
const EMPTY: &str = "a guard that can be named has its connection";

#[inline]
fn inspect<M: Manager>(shared: &Shared<M>, live: &mut Live<M::Connection>) -> Verdict {
    if thread::panicking() {
        return Verdict::Condemned(CloseReason::Discarded);
    }
    match contain(|| shared.manager.inspect(&mut live.connection)) {
        Some(Condition::Clean) => Verdict::Clean,
        Some(Condition::Dirty) => Verdict::Dirty,
        Some(Condition::Broken) | None => Verdict::Condemned(CloseReason::Broken),
    }
}

impl<M: Manager> Drop for PooledConnection<M> {
    #[inline]
    fn drop(&mut self) {
        self.hand_in(None, None);
    }
}

impl<M: Manager> Deref for PooledConnection<M> {
    type Target = M::Connection;

    #[inline]
    fn deref(&self) -> &M::Connection {
        &self.loan().live.connection
    }
}

impl<M: Manager> DerefMut for PooledConnection<M> {
    #[inline]
    fn deref_mut(&mut self) -> &mut M::Connection {
        match &mut self.loan {
            Some(loan) => &mut loan.live.connection,
            None => unreachable!("{EMPTY}"),
        }
    }
}

impl<M: Manager> fmt::Debug for PooledConnection<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConnection")
            .field("id", &self.loan.as_ref().map(|loan| loan.live.id()))
            .finish_non_exhaustive()
    }
}
