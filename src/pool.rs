//! The handles: what a user of the pool sees.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::acquire::{Acquire, Patience};
use crate::builder::Builder;
use crate::connection::PooledConnection;
use crate::error::AcquireError;
use crate::event::Adopted;
use crate::filling;
use crate::lease::Held;
use crate::lending;
use crate::loan::Loan;
use crate::manager::{FromFn, Manager, Metrics};
use crate::primitives::{Arc, Weak};
use crate::runtime::Runtime;
use crate::shared::{Handle, Shared};
use crate::state::Stage;
use crate::status::{CloseReason, Statistics, Status};
use crate::sync_pool::SyncPool;

/// A pool of connections. Cloning it makes another handle to the same pool.
///
/// When the last handle is dropped the pool shuts down, as by [`close`](Pool::close) with nobody
/// waiting for it. Connections on loan stay usable and are closed when they come back.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// # struct Session;
/// # impl Session { fn query(&mut self) -> u32 { 42 } }
/// # async fn dial() -> std::io::Result<Session> { Ok(Session) }
/// use watertight::Pool;
///
/// let pool = Pool::from_fn(|| async { dial().await })
///     .max_size(4)
/// #   .runtime(Threads)
///     .build()?;
///
/// let mut session = pool.acquire().await?;
/// assert_eq!(session.query(), 42);
/// drop(session); // back in the pool
///
/// pool.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Pool<M: Manager> {
    handle: Arc<Handle<M>>,
}

impl<M: Manager> Pool<M> {
    /// Starts to configure a pool of the connections that `manager` makes.
    pub fn builder(manager: M) -> Builder<M> {
        Builder::new(manager)
    }

    pub(crate) fn from_handle(handle: Arc<Handle<M>>) -> Self {
        Pool { handle }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared<M>> {
        &self.handle.shared
    }

    /// Lends a connection, waiting for one up to the pool's
    /// [`acquire_timeout`](Builder::acquire_timeout).
    ///
    /// An idle connection that wants no [check](crate::CheckPolicy) is lent at once, unless others wait
    /// already or the pool is [paused](Pool::pause). Otherwise the caller joins the queue, and is served in its turn by whatever comes first: a return, a check that
    /// passes, or a new connection.
    ///
    /// # Errors
    ///
    /// - [`TimedOut`](AcquireError::TimedOut) when the deadline passes.
    /// - [`Connect`](AcquireError::Connect) when connecting failed and waiting for a better
    ///   outcome is pointless or not wanted; see [`ConnectPolicy`](crate::ConnectPolicy).
    /// - [`QueueFull`](AcquireError::QueueFull) and [`Paused`](AcquireError::Paused) at once, if the
    ///   pool is set to turn callers away; see [`max_waiters`](Builder::max_waiters) and
    ///   [`PausePolicy`](crate::PausePolicy). [`Shed`](AcquireError::Shed) after some time, if it is
    ///   overloaded; see [`controlled_delay`](Builder::controlled_delay).
    /// - [`Closed`](AcquireError::Closed) when the pool is closed, or begins to close.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe. Cancelling a call to `acquire` makes you lose your place in
    /// the queue and nothing else: a connection that is just being made or checked for you goes
    /// to the next in the queue, or becomes idle. (Once the runtime is gone callers connect themselves;
    /// such an attempt is dropped with its caller, and its place goes to the next.)
    #[doc(alias = "get")]
    #[doc(alias = "checkout")]
    #[track_caller]
    pub fn acquire(
        &self,
    ) -> impl Future<Output = Result<PooledConnection<M>, AcquireError<M::Error>>> + Send {
        let site = Location::caller();
        async move {
            let shared = self.shared();
            match lending::lend(shared, site) {
                Some(conn) => Ok(conn),
                None => Acquire::new(shared, Patience::OfThePool, site).await,
            }
        }
    }

    /// Lends a connection, waiting for one up to `timeout` instead of the pool's default.
    ///
    /// Zero means not to wait: the answer comes at the first poll, and is that of
    /// [`try_acquire`](Pool::try_acquire). A time-out too long for the clock means to wait without
    /// limit.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Pool::acquire).
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe, in the same way as [`acquire`](Pool::acquire).
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<PooledConnection<M>, AcquireError<M::Error>>> + Send {
        let site = Location::caller();
        async move {
            let shared = self.shared();
            match lending::lend(shared, site) {
                Some(conn) => Ok(conn),
                None => Acquire::new(shared, Patience::Of(Some(timeout)), site).await,
            }
        }
    }

    /// Lends an idle connection now, or nothing.
    ///
    /// It is lent without a check. This never waits, connects or queues, and does not overtake
    /// those who wait. A closed pool lends nothing.
    #[must_use = "dropping it gives the connection back at once"]
    #[track_caller]
    pub fn try_acquire(&self) -> Option<PooledConnection<M>> {
        let shared = self.shared();
        let site = Location::caller();
        lending::lend(shared, site).or_else(|| {
            lending::lend_by_the_clock(shared, false, site)
                .ok()
                .flatten()
        })
    }

    /// Warms the pool up: resolves when `min_idle` connections are there that nobody has, those that are
    /// being checked or recycled among them; or when no place is left for more.
    ///
    /// A pool does that by itself; call this to know that it has, and whether the server can be
    /// reached at all. With a `min_idle` of 0 it resolves at once.
    ///
    /// # Errors
    ///
    /// - [`Connect`](AcquireError::Connect) with the first failure after the call. The pool goes
    ///   on trying.
    /// - [`Closed`](AcquireError::Closed) when the pool is closed, or begins to close.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: the pool fills whether or not anybody waits for it, as long as its
    /// runtime runs tasks. Once that is gone this call connects itself, and what it has not finished goes
    /// with it.
    pub async fn fill(&self) -> Result<(), AcquireError<M::Error>> {
        filling::fill(self.shared()).await
    }

    /// Gives the pool a connection that was made elsewhere: to the first who waits, or to the
    /// idle ones. It counts as new.
    ///
    /// # Errors
    ///
    /// Returns the connection if there is no place for it, if nobody waits and as many are idle as
    /// [`max_idle`](Builder::max_idle) allows, or if the pool is closed.
    pub fn adopt(&self, connection: M::Connection) -> Result<(), M::Connection> {
        let shared = self.shared();
        let connection = shared.transition(|state, now, fx| state.adopt(connection, now, fx))?;
        shared.tell(|observer| observer.adopted(&Adopted { connection }));
        Ok(())
    }

    /// Keeps only those idle connections that `predicate` approves of, and returns how many were
    /// removed.
    ///
    /// The predicate sees one connection at a time, without any lock held; the others can be lent
    /// meanwhile.
    ///
    /// # Panics
    ///
    /// If the predicate does; the connection that it was looking at is closed.
    pub fn retain(&self, mut predicate: impl FnMut(&M::Connection, &Metrics) -> bool) -> usize {
        let shared = self.shared();
        let ids = shared.state.lock().idle_ids();
        let mut removed = 0;
        for id in ids {
            let borrowed = shared.state.lock().borrow_idle(id);
            let Some(live) = borrowed else {
                continue;
            };
            let metrics = live.metrics(shared.now(), shared.origin);
            let (stage, reason) = (Stage::Checking(None), CloseReason::Discarded);
            let held = Held::new(Arc::clone(shared), live, stage, reason);
            let Some(live) = &held.live else {
                continue;
            };
            let keep = AssertUnwindSafe(|| predicate(&live.connection, &metrics));
            match catch_unwind(keep) {
                Ok(true) => held.put_aside_back(),
                Ok(false) => {
                    held.close_in_background(reason);
                    removed += 1;
                }
                Err(panic) => {
                    held.close_in_background(reason);
                    resume_unwind(panic);
                }
            }
        }
        removed
    }

    /// The pool at this instant.
    pub fn status(&self) -> Status {
        self.shared().status()
    }

    /// What is lent at the moment and to whom, for the longest time first. Empty unless the pool has
    /// a [`leak_threshold`](Builder::leak_threshold), which says what is missing here.
    pub fn loans(&self) -> Vec<Loan> {
        self.shared().loans()
    }

    /// What the pool has done since it was built.
    pub fn statistics(&self) -> Statistics {
        self.shared().state.lock().statistics()
    }

    /// The runtime that the pool uses.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.shared().runtime
    }

    /// The manager that makes its connections.
    pub fn manager(&self) -> &M {
        &self.shared().manager
    }

    /// What it is [called](Builder::name).
    pub fn name(&self) -> Option<&str> {
        self.shared().audience.name()
    }

    /// True once the pool has begun to close.
    pub fn is_closed(&self) -> bool {
        self.shared().is_closed()
    }

    /// A handle that does not keep the pool open.
    pub fn downgrade(&self) -> WeakPool<M> {
        WeakPool {
            handle: Arc::downgrade(&self.handle),
        }
    }

    /// The same pool, for threads that block.
    pub fn sync(&self) -> SyncPool<M> {
        SyncPool::over(self.clone())
    }
}

impl<F, Fut, C, E> Pool<FromFn<F>>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C, E>> + Send,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    /// Starts to configure a pool of what `connect` makes: the manager for the simple case.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
    /// # use threads::Threads;
    /// let pool = watertight::Pool::from_fn(|| async { Ok::<_, std::io::Error>(String::new()) })
    ///     .max_size(4)
    /// #   .runtime(Threads)
    ///     .build()?;
    /// # Ok::<(), watertight::BuildError>(())
    /// ```
    pub fn from_fn(connect: F) -> Builder<FromFn<F>> {
        Pool::builder(FromFn::new(connect))
    }
}

impl<M: Manager> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Pool::from_handle(Arc::clone(&self.handle))
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// A handle that does not keep its pool open.
pub struct WeakPool<M: Manager> {
    handle: Weak<Handle<M>>,
}

impl<M: Manager> WeakPool<M> {
    /// A full handle; `None` if the last one has been dropped.
    pub fn upgrade(&self) -> Option<Pool<M>> {
        self.handle.upgrade().map(Pool::from_handle)
    }
}

impl<M: Manager> Clone for WeakPool<M> {
    fn clone(&self) -> Self {
        WeakPool {
            handle: Weak::clone(&self.handle),
        }
    }
}

impl<M: Manager> fmt::Debug for WeakPool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakPool").finish_non_exhaustive()
    }
}
