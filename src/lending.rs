//! The short way to a connection, and what a caller and whoever watches are told, whichever way it
//! went.

use std::time::Duration;

use crate::clock::Moment;
use crate::connection::{self, PooledConnection};
use crate::error::{AcquireError, Phase};
use crate::event::{Rejected, TimedOut};
use crate::loan::Site;
use crate::manager::Manager;
use crate::primitives::Arc;
use crate::shared::Shared;
use crate::state::{Lend, Live, Missed, Refusal};
use crate::status::{Rejection, Status};

/// Lends an idle connection if nothing stands in the way: the hot path, one lock and no clock.
/// `None` says nothing; go on with [`lend_by_the_clock`] or [`Acquire`](crate::acquire::Acquire).
#[inline]
pub(crate) fn lend<M: Manager>(shared: &Arc<Shared<M>>, site: Site) -> Option<PooledConnection<M>> {
    if shared.is_crowded() {
        return None;
    }
    let live = shared.state.lock().lend()?;
    Some(lent(shared, live, None, site))
}

/// How long a caller had to wait, if anybody wants to know.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) since: Moment,
    pub(crate) until: Moment,
}

impl Wait {
    pub(crate) fn waited(self) -> Duration {
        self.until.elapsed_since(self.since)
    }
}

/// The guard, and the news of it.
#[inline]
pub(crate) fn lent<M: Manager>(
    shared: &Arc<Shared<M>>,
    live: Box<Live<M::Connection>>,
    wait: Option<Wait>,
    site: Site,
) -> PooledConnection<M> {
    let conn = PooledConnection::new(Arc::clone(shared), live);
    told(shared, conn, wait, site)
}

/// The guard, once whoever wants to know has been told.
#[inline]
pub(crate) fn told<M: Manager>(
    shared: &Arc<Shared<M>>,
    mut conn: PooledConnection<M>,
    wait: Option<Wait>,
    site: Site,
) -> PooledConnection<M> {
    if shared.watch.is_on() {
        connection::note_loan(shared, &mut conn, wait, site);
    }
    conn
}

/// Lends an idle connection, if that is possible at once and without overtaking anybody.
#[cold]
pub(crate) fn lend_by_the_clock<M: Manager>(
    shared: &Arc<Shared<M>>,
    checked: bool,
    site: Site,
) -> Result<Option<PooledConnection<M>>, AcquireError<M::Error>> {
    match shared.transition(|state, now, fx| state.lend_at(now, checked, fx)) {
        Lend::Connection(live) => Ok(Some(lent(shared, live, None, site))),
        Lend::Paused => Err(rejected(shared, Refusal::Paused)),
        Lend::Closed => Err(AcquireError::Closed),
        Lend::Unavailable => Ok(None),
    }
}

pub(crate) fn rejected<M: Manager>(
    shared: &Shared<M>,
    why: Refusal<M::Error>,
) -> AcquireError<M::Error> {
    let (why, error) = match why {
        Refusal::Paused => (Rejection::Paused, AcquireError::Paused),
        Refusal::QueueFull => (Rejection::QueueFull, AcquireError::QueueFull),
        Refusal::CircuitBroken(error) => (Rejection::CircuitBroken, AcquireError::Connect(error)),
    };
    let waited = Duration::ZERO;
    shared.tell(|observer| observer.rejected(&Rejected { why, waited }));
    error
}

pub(crate) fn shed<M: Manager>(shared: &Shared<M>, waited: Duration) -> AcquireError<M::Error> {
    tell_shed(shared, waited);
    AcquireError::Shed { waited }
}

pub(crate) fn tell_shed<M: Manager>(shared: &Shared<M>, waited: Duration) {
    let why = Rejection::Shed;
    shared.tell(|observer| observer.rejected(&Rejected { why, waited }));
}

pub(crate) fn tell_timed_out<M: Manager>(shared: &Shared<M>, phase: Phase, waited: Duration) {
    shared.tell(|observer| observer.timed_out(&TimedOut { phase, waited }));
}

/// The answer to a caller who would not wait.
#[cold]
pub(crate) fn no_time<M: Manager>(shared: &Arc<Shared<M>>) -> AcquireError<M::Error> {
    let now = shared.now();
    let (missed, status) = {
        let mut state = shared.state.lock();
        (state.refused(now), state.status(now))
    };
    timed_out(shared, missed, now, status)
}

pub(crate) fn timed_out<M: Manager>(
    shared: &Shared<M>,
    missed: Missed<M::Error>,
    now: Moment,
    status: Status,
) -> AcquireError<M::Error> {
    let Missed {
        phase,
        since,
        cause,
    } = missed;
    let waited = now.elapsed_since(since);
    tell_timed_out(shared, phase, waited);
    AcquireError::TimedOut {
        phase,
        waited,
        cause,
        status: Box::new(status),
    }
}
