//! The same pool, for threads that block. No second implementation: a thread waits in the same
//! queue as a task does.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::acquire::{Acquire, Patience};
use crate::builder::Builder;
use crate::clock::Moment;
use crate::connection::PooledConnection;
use crate::error::AcquireError;
use crate::lending;
use crate::loan::{Loan, Site};
use crate::manager::{FromFn, Manager, Metrics};
use crate::pool::Pool;
use crate::primitives::Arc;
use crate::runtime::{Runtime, about_to_block};
use crate::shared::Shared;
use crate::status::{Statistics, Status};

/// A pool of connections for synchronous code. Cloning it makes another handle to the same pool.
///
/// It is a [`Pool`] whose verbs block the calling thread; both kinds of handle can be used on one
/// pool at the same time ([`Pool::sync`], [`as_async`](SyncPool::as_async)), and threads and
/// tasks are served in the order in which they came. Lending an idle connection and giving it
/// back do not touch the runtime; what is asynchronous (connecting, checking, recycling, closing)
/// runs on it, so a manager may use its I/O and its timers.
///
/// # Blocking
///
/// Every verb that waits blocks its thread: call them where that is allowed. In an async task,
/// use the async handle, or `spawn_blocking`. A thread of a multi-threaded runtime that blocks
/// here holds up its tasks, but is served nevertheless, as long as another is free. If all threads of
/// the pool's own runtime block here, or its only one does, nothing else can run: a call to acquire
/// ends at its deadline, and one that has none (`fill`, `release`, `pause`, `wait_reset`, `close`) does
/// not end. Nor does any while the runtime's clock is paused, as for a test, by whoever blocks here.
///
/// # Examples
///
/// ```
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use watertight::SyncPool;
///
/// let pool = SyncPool::from_fn(|| async { Ok::<_, std::io::Error>(Vec::new()) })
///     .max_size(2)
/// #   .runtime(Threads)
///     .build()?;
///
/// std::thread::scope(|scope| {
///     for n in 0..4 {
///         let pool = &pool;
///         scope.spawn(move || pool.acquire().unwrap().push(n));
///     }
/// });
/// assert!(pool.status().size <= 2);
/// pool.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SyncPool<M: Manager> {
    pool: Pool<M>,
}

impl<M: Manager> SyncPool<M> {
    /// Starts to configure a pool of the connections that `manager` makes.
    pub fn builder(manager: M) -> Builder<M, SyncPool<M>> {
        Builder::new(manager)
    }

    pub(crate) fn over(pool: Pool<M>) -> Self {
        SyncPool { pool }
    }

    /// Lends a connection, waiting for one up to the pool's
    /// [`acquire_timeout`](Builder::acquire_timeout).
    ///
    /// # Errors
    ///
    /// Those of [`Pool::acquire`].
    ///
    /// # Blocking
    ///
    /// Blocks this thread while it waits.
    #[doc(alias = "get")]
    #[doc(alias = "checkout")]
    #[track_caller]
    pub fn acquire(&self) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        let timeout = |shared: &Shared<M>| shared.setting(|config| config.acquire_timeout);
        self.wait(timeout, Location::caller())
    }

    /// Lends a connection, waiting for one up to `timeout`. Zero means not to wait.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::acquire`].
    ///
    /// # Blocking
    ///
    /// Blocks this thread while it waits.
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        self.wait(|_| Some(timeout), Location::caller())
    }

    /// Lends an idle connection now, or nothing; see [`Pool::try_acquire`].
    #[must_use = "dropping it gives the connection back at once"]
    #[track_caller]
    pub fn try_acquire(&self) -> Option<PooledConnection<M>> {
        self.pool.try_acquire()
    }

    /// Gives a connection back and waits until it is idle again, with somebody else, or closed.
    ///
    /// # Blocking
    ///
    /// Blocks this thread while the connection is recycled or closed.
    pub fn release(&self, conn: PooledConnection<M>) {
        block_on(self.pool.runtime(), PooledConnection::release(conn));
    }

    /// Warms the pool up: returns when `min_idle` connections are there; see [`Pool::fill`].
    ///
    /// # Errors
    ///
    /// Those of [`Pool::fill`].
    ///
    /// # Blocking
    ///
    /// Blocks this thread while it waits.
    pub fn fill(&self) -> Result<(), AcquireError<M::Error>> {
        block_on(self.pool.runtime(), self.pool.fill())
    }

    /// Gives the pool a connection that was made elsewhere; see [`Pool::adopt`].
    ///
    /// # Errors
    ///
    /// Those of [`Pool::adopt`].
    pub fn adopt(&self, connection: M::Connection) -> Result<(), M::Connection> {
        self.pool.adopt(connection)
    }

    /// Changes how many connections there may be; see [`Pool::resize`].
    pub fn resize(&self, max_size: usize) {
        self.pool.resize(max_size);
    }

    /// Keeps only those idle connections that `predicate` approves of; see [`Pool::retain`].
    ///
    /// # Panics
    ///
    /// If the predicate does; the connection that it was looking at is closed.
    pub fn retain(&self, predicate: impl FnMut(&M::Connection, &Metrics) -> bool) -> usize {
        self.pool.retain(predicate)
    }

    /// Closes every connection that is there or in the making; as [`Pool::reset`].
    ///
    /// # Panics
    ///
    /// If [`Manager::renew`] does; the pool is reset all the same.
    pub fn reset(&self) {
        self.pool.reset();
    }

    /// Resets the pool little by little; as [`Pool::reset_over`].
    ///
    /// # Panics
    ///
    /// If [`Manager::renew`] does; the pool is reset all the same.
    pub fn reset_over(&self, duration: Duration) {
        self.pool.reset_over(duration);
    }

    /// Waits until no connection is left of before the last reset; as [`Pool::wait_reset`].
    ///
    /// # Blocking
    ///
    /// Blocks this thread until then, without limit.
    pub fn wait_reset(&self) {
        block_on(self.pool.runtime(), self.pool.wait_reset());
    }

    /// Lends nothing more until [`resume`](SyncPool::resume), and waits until all that is lent has
    /// come back; as [`Pool::pause`]. Not to be called by a holder, who would wait for himself:
    /// `drop(pool.as_async().pause())` pauses without waiting.
    ///
    /// # Blocking
    ///
    /// Blocks this thread until then, without limit, or until the pool is resumed or closed.
    pub fn pause(&self) {
        block_on(self.pool.runtime(), self.pool.pause());
    }

    /// Ends a pause; as [`Pool::resume`].
    pub fn resume(&self) {
        self.pool.resume();
    }

    /// The pool at this instant.
    pub fn status(&self) -> Status {
        self.pool.status()
    }

    /// What is lent at the moment and to whom; see [`Pool::loans`].
    pub fn loans(&self) -> Vec<Loan> {
        self.pool.loans()
    }

    /// What the pool has done since it was built.
    pub fn statistics(&self) -> Statistics {
        self.pool.statistics()
    }

    /// Closes the pool and waits until every connection has been closed; see [`Pool::close`].
    ///
    /// # Blocking
    ///
    /// Blocks this thread until the last lent connection has come back, without limit.
    pub fn close(&self) {
        block_on(self.pool.runtime(), self.pool.close());
    }

    /// Closes the pool and waits until every connection has been closed or `grace` has passed.
    /// Returns how many places were still taken; see [`Pool::close_within`].
    ///
    /// # Blocking
    ///
    /// Blocks this thread for at most `grace`, wherever it is called: on the runtime's clock, which may have
    /// been paused for a test, and besides what destructors of connections take once the runtime is gone.
    pub fn close_within(&self, grace: Duration) -> usize {
        let end = self.pool.shared().now().after(grace);
        let closing = pin!(self.pool.close_within(grace));
        let closed = park_until(self.pool.runtime(), closing, || {
            Some(end.elapsed_since(self.pool.shared().now()))
        });
        closed.unwrap_or_else(|| self.status().size)
    }

    /// What it is [called](Builder::name).
    pub fn name(&self) -> Option<&str> {
        self.pool.name()
    }

    /// True once the pool has begun to close.
    pub fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// The same pool, for tasks.
    pub fn as_async(&self) -> &Pool<M> {
        &self.pool
    }

    #[inline]
    fn wait(
        &self,
        timeout: impl FnOnce(&Shared<M>) -> Option<Duration>,
        site: Site,
    ) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        let shared = self.pool.shared();
        match lending::lend(shared, site) {
            Some(conn) => Ok(conn),
            None => park_until_served(shared, timeout(shared), site),
        }
    }
}

impl<F, Fut, C, E> SyncPool<FromFn<F>>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C, E>> + Send,
    C: Send + 'static,
    E: Send + Sync + 'static,
{
    /// Starts to configure a pool of what `connect` makes; see [`Pool::from_fn`].
    pub fn from_fn(connect: F) -> Builder<FromFn<F>, SyncPool<FromFn<F>>> {
        SyncPool::builder(FromFn::new(connect))
    }
}

impl<M: Manager> From<Pool<M>> for SyncPool<M> {
    fn from(pool: Pool<M>) -> Self {
        SyncPool::over(pool)
    }
}

impl<M: Manager> Clone for SyncPool<M> {
    fn clone(&self) -> Self {
        SyncPool::over(self.pool.clone())
    }
}

impl<M: Manager> fmt::Debug for SyncPool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncPool")
            .field("name", &self.pool.name())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// Parks this thread until the future is ready.
pub(crate) fn block_on<T>(runtime: &dyn Runtime, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Some(value) = park_until(runtime, future.as_mut(), || None) {
            return value;
        }
    }
}

/// Parks this thread until it has been served, or its deadline has passed.
#[inline(never)]
pub(crate) fn park_until_served<M: Manager>(
    shared: &Arc<Shared<M>>,
    timeout: Option<Duration>,
    site: Site,
) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
    let mut acquire = Acquire::new(shared, Patience::Of(timeout), site);
    let end = shared.now().after_any(timeout);
    let left = || (end != Moment::NEVER).then(|| end.elapsed_since(shared.now()));
    loop {
        let served = park_until(&*shared.runtime, Pin::new(&mut acquire), left);
        if let Some(result) = served.or_else(|| acquire.give_up_if_late()) {
            return result;
        }
    }
}

/// Parks this thread until the future is ready, or nothing is left of the time. It keeps that time
/// itself: this thread may be the one that the runtime's timers would run on.
pub(crate) fn park_until<F: Future>(
    runtime: &dyn Runtime,
    mut future: Pin<&mut F>,
    left: impl Fn() -> Option<Duration>,
) -> Option<F::Output> {
    // Most have their answer at once, and need no parker.
    if let Poll::Ready(value) = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        return Some(value);
    }
    let (parker, unparker) = parking::pair();
    let waker = Waker::from(unparker);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return Some(value),
            Poll::Pending => {}
        }
        // What is waited for may be a task that this thread has just spawned or woken.
        about_to_block(runtime);
        match left() {
            None => parker.park(),
            Some(Duration::ZERO) => return None,
            Some(left) => drop(parker.park_timeout(left)),
        }
    }
}
