//! The guard: a connection on loan.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::thread;
use std::time::Duration;

use crate::channel::{Sender, channel};
use crate::clock::Moment;
use crate::event::{Acquired, Closed, Returned};
use crate::lending::Wait;
use crate::loan::{Borrower, Site};
use crate::manager::{Condition, Manager, Metrics};
use crate::pool::Pool;
use crate::primitives::{Arc, contain};
use crate::shared::{self, Shared};
use crate::state::{Live, Tag, Verdict};
use crate::status::CloseReason;

/// A connection on loan from a pool. Dropping it gives it back.
///
/// It can be dropped anywhere: in a task, on a plain thread, while a panic unwinds (the
/// connection is then [discarded](PooledConnection::discard), for nobody knows how far its holder
/// got), after the pool was closed, after its runtime has shut down. Dropping waits for
/// nobody, never panics and needs no runtime. It runs [`Manager::inspect`]; what takes time (recycling,
/// closing) happens elsewhere. (Once the runtime is gone there is no elsewhere: the connection's destructor
/// may run here then, and the manager's after the last guard.)
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
        let Tag { id, epoch } = live.tag();
        if shared.watch.is_on() {
            note_return(&shared, &live);
        }
        let closed = Closed {
            connection: id,
            reason: CloseReason::Detached,
        };
        shared.tell(|observer| observer.closed(&closed));
        if let Some(landlord) = &shared.landlord {
            // What comes free here may be another's turn.
            landlord.claim();
        }
        shared.transition(|state, now, fx| state.detached(epoch, now, fx));
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

    /// Gives the connection back and resolves when it is idle again, with somebody else, being
    /// [checked](Manager::check) for somebody else, or closed: in particular when its
    /// [recycling](Manager::recycle) is over.
    ///
    /// # Cancel safety
    ///
    /// Cancelling it only means not to know: from its first poll on the connection is on its way.
    pub async fn release(mut conn: Self) {
        let (over, end) = channel::<()>(0);
        conn.hand_in(None, Some(over));
        drop(conn);
        // Nothing is ever sent: the sender is dropped when it is over.
        end.next().await;
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
    fn hand_in(&mut self, verdict: Option<Verdict>, over: Option<Sender<()>>) {
        let Some(Loan { mut live, shared }) = self.loan.take() else {
            return;
        };
        let verdict = verdict.unwrap_or_else(|| inspect(&shared, &mut live));
        if shared.watch.is_on() {
            note_return(&shared, &live);
        }
        if verdict == Verdict::Clean && !shared.is_crowded() {
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

/// Somebody wants to know that a loan has begun.
#[cold]
pub(crate) fn note_loan<M: Manager>(
    shared: &Arc<Shared<M>>,
    conn: &mut PooledConnection<M>,
    wait: Option<Wait>,
    site: Site,
) {
    let Some(loan) = &mut conn.loan else {
        return;
    };
    // Not as moments, unless there is need: only the time between the two readings is wanted.
    let until = wait.and_then(|wait| wait.until.to_instant(shared.origin));
    let now = until.unwrap_or_else(|| shared::now(&*shared.runtime));
    loan.live.lent_at = Some(now);
    let connection = loan.live.id();
    if shared.watch.notes_loans() {
        let task = contain(|| shared.runtime.current_task()).flatten();
        let borrower = Arc::new(Borrower::here(site, task));
        let now = Moment::since(shared.origin, now);
        shared.change(|state, fx| state.note_loan(connection, borrower, now, fx));
    }
    let waited = wait.map(Wait::waited);
    shared.tell(|observer| observer.acquired(&Acquired { connection, waited }));
}

/// Somebody wants to know that a loan has ended.
#[cold]
fn note_return<M: Manager>(shared: &Arc<Shared<M>>, live: &Live<M::Connection>) {
    let now = shared::now(&*shared.runtime);
    let held = live
        .lent_at
        .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
    let connection = live.id();
    if shared.watch.notes_loans() {
        let now = Moment::since(shared.origin, now);
        let late = shared.state.lock().end_loan(connection, now);
        if let Some(loan) = late {
            shared.tell(|observer| observer.leak_returned(&loan));
        }
    }
    shared.tell(|observer| observer.returned(&Returned { connection, held }));
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
