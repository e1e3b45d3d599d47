//! What a pool must know about the connections that it keeps.

use std::fmt;
use std::future::{Future, ready};
use std::time::{Duration, Instant};

use crate::primitives::Arc;
use crate::runtime::Runtime;

/// Makes connections, judges them, and says goodbye to them.
///
/// Only [`connect`](Manager::connect) is required. Every method is called without any lock of the
/// pool held, and may panic: that costs the connection in question, never its place in the pool.
/// So may its destructor, which runs wherever the last of the pool is dropped, and costs nothing.
/// The asynchronous ones run on the pool's runtime, in tasks of their own, so a caller that gives
/// up does not interrupt them; each is bounded by a time-out of its own. Only a check may be polled
/// once by the caller that waits for it (see
/// [`Spawner::is_current`](crate::Spawner::is_current)), and goes on in a task if that is not all.
/// Write them as plain `async fn`:
///
/// ```
/// use watertight::{Condition, Manager, Metrics};
///
/// struct Server {
///     address: &'static str,
/// }
///
/// struct Session {
///     open_transaction: bool,
/// }
///
/// impl Manager for Server {
///     type Connection = Session;
///     type Error = std::io::Error;
///
///     async fn connect(&self) -> Result<Session, std::io::Error> {
///         let _ = self.address; // dial it
///         Ok(Session { open_transaction: false })
///     }
///
///     fn inspect(&self, session: &mut Session) -> Condition {
///         if session.open_transaction { Condition::Dirty } else { Condition::Clean }
///     }
///
///     async fn recycle(&self, session: &mut Session) -> Result<(), std::io::Error> {
///         session.open_transaction = false; // roll it back
///         Ok(())
///     }
/// }
/// ```
///
/// The simple case needs no type at all: see [`Pool::from_fn`](crate::Pool::from_fn). For drivers
/// that block there is [`BlockingManager`](crate::BlockingManager).
pub trait Manager: Send + Sync + Sized + 'static {
    /// What the pool lends.
    type Connection: Send + 'static;
    /// Why one could not be made, or is no longer fit.
    ///
    /// [`AcquireError`](crate::AcquireError) is an error of the standard library's, so that `?` turns
    /// it into yours, only if this is one. A `Box<dyn Error + Send + Sync>` is not: name a type, or wrap
    /// the box in one.
    type Error: Send + Sync + 'static;

    /// Opens one connection.
    ///
    /// Runs when somebody waits and a place is free, or to refill the pool to `min_idle`; bounded
    /// by [`connect_timeout`](crate::Builder::connect_timeout). Several may run at a time, up to
    /// [`connect_concurrency`](crate::Builder::connect_concurrency).
    ///
    /// # Cancel safety
    ///
    /// The pool drops this future at its time-out and when its runtime shuts down, not because a
    /// caller lost interest (unless the runtime is gone: then those who wait run it themselves).
    /// Whatever it has half made must go with it: what cannot be undone by being dropped, a child
    /// process that wants to be reaped, say, belongs in a value whose `Drop` sees to it.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Asks an idle connection whether it is fit to be lent again; by default it is.
    ///
    /// Runs when one is about to be lent, as often as the [`CheckPolicy`](crate::CheckPolicy)
    /// says, and for [`keepalive`](crate::Builder::keepalive), whatever that says; bounded by [`check_timeout`](crate::Builder::check_timeout). An error, a panic or a
    /// time-out closes the connection, and the next one is tried within the caller's deadline. It must not
    /// block: it may be begun where the caller is polled.
    ///
    /// # Cancel safety
    ///
    /// The pool drops this future at its time-out and when its runtime shuts down. The connection is
    /// closed then, or merely dropped, and never lent again.
    fn check(
        &self,
        connection: &mut Self::Connection,
        metrics: &Metrics,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (connection, metrics);
        ready(Ok(()))
    }

    /// Takes a quick look at a connection that is being given back; by default it is
    /// [`Clean`](Condition::Clean).
    ///
    /// Runs once a return, on the thread that drops the guard, which may be any thread: it must
    /// not block and should take less than a microsecond.
    fn inspect(&self, connection: &mut Self::Connection) -> Condition {
        let _ = connection;
        Condition::Clean
    }

    /// Makes a [`Dirty`](Condition::Dirty) connection clean again: rolls back, resets the session.
    ///
    /// Runs after a return and before the next loan, off the path of the one who returned it,
    /// bounded by [`recycle_timeout`](crate::Builder::recycle_timeout). An error, a panic or a
    /// time-out closes the connection.
    ///
    /// # Cancel safety
    ///
    /// As of [`check`](Manager::check).
    fn recycle(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = connection;
        ready(Ok(()))
    }

    /// Says goodbye politely; by default the connection is just dropped.
    ///
    /// Runs once for every connection that leaves the pool, except those that are detached and
    /// those whose runtime is gone, which are dropped (as is one for which a [`Blocking`](crate::Blocking)
    /// manager gets no thread). Bounded by
    /// [`close_timeout`](crate::Builder::close_timeout), after which the connection is dropped.
    /// The place in the pool is free only when this is over.
    ///
    /// # Cancel safety
    ///
    /// The pool drops this future, and with it the connection, at its time-out and when its runtime shuts
    /// down.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send {
        drop(connection);
        ready(())
    }

    /// Says that trying to connect again is of no use: a wrong password, say. By default every
    /// error is worth a retry.
    ///
    /// Called once for each error that `connect` returns, without a lock; it should be quick. An error at
    /// which it panics is worth a retry.
    fn is_permanent(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }

    /// Tells the manager that its pool is [reset](crate::Pool::reset): nothing that it remembers of
    /// before, an address or a password, say, should go into a connection from now on. By default it
    /// remembers nothing. A manager that wraps another passes this on.
    ///
    /// Called at the beginning of every reset. A panic in it goes on to whoever resets, when the pool has
    /// been reset all the same.
    fn renew(&self) {}

    /// Tells the manager which runtime its pool runs on; by default it does not care.
    ///
    /// Called once, by `build()`, before anything else; for the manager of a key, when that is first
    /// asked for. A panic in it goes on to that caller.
    fn attach(&self, runtime: &Arc<dyn Runtime>) {
        let _ = runtime;
    }
}

/// What a returned connection looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Fit to be lent again as it is.
    Clean,
    /// To be [recycled](Manager::recycle) first.
    Dirty,
    /// To be closed.
    Broken,
}

/// A connection's history, as it was when this was taken.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metrics {
    pub(crate) id: u64,
    pub(crate) created_at: Instant,
    pub(crate) age: Duration,
    pub(crate) idle: Duration,
    pub(crate) uses: u64,
}

impl Metrics {
    /// A number that no other connection of the same pool ever has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// When it was opened, on the clock of the pool's runtime.
    pub fn created_at(&self) -> Instant {
        self.created_at
    }

    /// How long ago it was opened.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// How long ago it was last given back, or opened if it never was: for an idle connection,
    /// how long it has been idle. Coarse by up to one tick, see
    /// [`idle_timeout`](crate::Builder::idle_timeout).
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// How often it has been lent, the present loan included.
    pub fn uses(&self) -> u64 {
        self.uses
    }
}

/// A manager made of one closure that connects; see [`Pool::from_fn`](crate::Pool::from_fn).
pub struct FromFn<F> {
    connect: F,
}

impl<F> FromFn<F> {
    /// Makes a manager that connects by calling `connect`.
    pub fn new<C, E, Fut>(connect: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C, E>> + Send,
        C: Send + 'static,
        E: Send + Sync + 'static,
    {
        FromFn { connect }
    }
}

impl<F, Fut, C, E> Manager for FromFn<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C, E>> + Send,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    type Connection = C;
    type Error = E;

    fn connect(&self) -> impl Future<Output = Result<C, E>> + Send {
        (self.connect)()
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}
