//! The same pools, for threads that block.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::pin::pin;
use std::time::Duration;

use super::core::Entered;
use super::{KeyedBuilder, KeyedPool};
use crate::clock::Moment;
use crate::connection::PooledConnection;
use crate::error::AcquireError;
use crate::loan::{Loan, Site};
use crate::manager::Manager;
use crate::shared::now;
use crate::status::{Statistics, Status};
use crate::sync_pool::{block_on, park_until, park_until_served};

/// A [`KeyedPool`] for synchronous code. Cloning it makes another handle to the same pools.
///
/// It is to a `KeyedPool` what a [`SyncPool`](crate::SyncPool) is to a [`Pool`](crate::Pool): both
/// kinds of handle can be used at the same time, and threads and tasks are served in the order in
/// which they came.
///
/// # Blocking
///
/// Every verb that waits blocks its thread, as those of [`SyncPool`](crate::SyncPool) do.
///
/// # Examples
///
/// ```
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use watertight::{FromFn, SyncKeyedPool};
///
/// let dial = |port: &u16| {
///     let port = *port;
///     FromFn::new(move || async move { Ok::<_, std::io::Error>(port) })
/// };
/// let pool = SyncKeyedPool::builder(dial)
///     .max_total(4)
/// #   .each(|pool| pool.runtime(Threads))
///     .build_sync()?;
/// assert_eq!(*pool.acquire(&5432)?, 5432);
/// pool.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SyncKeyedPool<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    pool: KeyedPool<K, M>,
}

impl<K, M> SyncKeyedPool<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    /// Starts to configure a pool; end with [`build_sync`](KeyedBuilder::build_sync).
    pub fn builder(factory: impl Fn(&K) -> M + Send + Sync + 'static) -> KeyedBuilder<K, M> {
        KeyedPool::builder(factory)
    }

    pub(super) fn over(pool: KeyedPool<K, M>) -> Self {
        SyncKeyedPool { pool }
    }

    /// Lends a connection of this key's, waiting for one up to the
    /// [`acquire_timeout`](crate::Builder::acquire_timeout) of each key's pool.
    ///
    /// # Errors
    ///
    /// Those of [`KeyedPool::acquire`].
    ///
    /// # Panics
    ///
    /// Panics if the factory or [`Manager::attach`] does; nothing is left of that.
    ///
    /// # Blocking
    ///
    /// Blocks this thread while it waits.
    #[doc(alias = "get")]
    #[doc(alias = "checkout")]
    #[track_caller]
    pub fn acquire(&self, key: &K) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        let timeout = self.pool.core().config.acquire_timeout;
        self.wait(key, timeout, Location::caller())
    }

    /// Lends a connection of this key's, waiting for one up to `timeout`. Zero means not to wait.
    ///
    /// # Errors
    ///
    /// Those of [`KeyedPool::acquire`].
    ///
    /// # Panics
    ///
    /// Panics if the factory or [`Manager::attach`] does; nothing is left of that.
    ///
    /// # Blocking
    ///
    /// Blocks this thread while it waits.
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        key: &K,
        timeout: Duration,
    ) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        self.wait(key, Some(timeout), Location::caller())
    }

    fn wait(
        &self,
        key: &K,
        timeout: Option<Duration>,
        site: Site,
    ) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        match self.pool.core().enter(key, site) {
            Entered::Served(conn) => Ok(conn),
            Entered::Closed => Err(AcquireError::Closed),
            Entered::Queue(user) => park_until_served(user.shared(), timeout, site)
                .map_err(|error| self.pool.with_limit_of_key(error)),
        }
    }

    /// Lends an idle connection of this key's now, or nothing; see [`KeyedPool::try_acquire`].
    #[must_use = "dropping it gives the connection back at once"]
    #[track_caller]
    pub fn try_acquire(&self, key: &K) -> Option<PooledConnection<M>> {
        self.pool.try_acquire(key)
    }

    /// What is lent of a key at the moment and to whom; see [`KeyedPool::loans`].
    pub fn loans(&self, key: &K) -> Vec<Loan> {
        self.pool.loans(key)
    }

    /// What it is [called](crate::Builder::name).
    pub fn name(&self) -> Option<&str> {
        self.pool.name()
    }

    /// Closes the idle connections of a key; see [`KeyedPool::clear`].
    pub fn clear(&self, key: &K) -> usize {
        self.pool.clear(key)
    }

    /// Forgets a key; see [`KeyedPool::remove`].
    pub fn remove(&self, key: &K) -> bool {
        self.pool.remove(key)
    }

    /// The keys that have a pool, in the order in which the making of it began.
    pub fn keys(&self) -> Vec<K> {
        self.pool.keys()
    }

    /// The pool of a key at this instant; see [`KeyedPool::status`].
    pub fn status(&self, key: &K) -> Option<Status> {
        self.pool.status(key)
    }

    /// What the pool of a key has done since it was made; see [`KeyedPool::statistics`].
    pub fn statistics(&self, key: &K) -> Option<Statistics> {
        self.pool.statistics(key)
    }

    /// All keys together; see [`KeyedPool::total_status`].
    pub fn total_status(&self) -> Status {
        self.pool.total_status()
    }

    /// Closes the pools of all keys and waits until every connection has been closed.
    ///
    /// # Blocking
    ///
    /// Blocks this thread until the last lent connection has come back, without limit.
    pub fn close(&self) {
        block_on(self.pool.runtime(), self.pool.close());
    }

    /// Closes the pools of all keys and waits until every connection has been closed or `grace`
    /// has passed; see [`KeyedPool::close_within`].
    ///
    /// # Blocking
    ///
    /// Blocks this thread for at most `grace`, wherever it is called: on the runtime's clock, which may have
    /// been paused for a test, and besides what destructors of connections take once the runtime is gone.
    pub fn close_within(&self, grace: Duration) -> usize {
        let runtime = self.pool.runtime();
        let begun = now(&**runtime);
        let end = Moment::START.after(grace);
        let closing = pin!(self.pool.close_within(grace));
        let closed = park_until(self.pool.runtime(), closing, || {
            Some(end.elapsed_since(Moment::since(begun, now(&**runtime))))
        });
        closed.unwrap_or_else(|| self.total_status().size)
    }

    /// True once all has begun to close.
    pub fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// The same pools, for tasks.
    pub fn as_async(&self) -> &KeyedPool<K, M> {
        &self.pool
    }
}

impl<K, M> Clone for SyncKeyedPool<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    fn clone(&self) -> Self {
        SyncKeyedPool::over(self.pool.clone())
    }
}

impl<K, M> fmt::Debug for SyncKeyedPool<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncKeyedPool")
            .field("total_status", &self.total_status())
            .finish_non_exhaustive()
    }
}
