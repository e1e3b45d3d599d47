//! One pool for each key, under a common limit.

mod accounts;
mod books;
mod builder;
mod core;
mod sync;

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::panic::Location;
use std::pin::pin;
use std::time::Duration;

use self::core::{Core, Entered};
use crate::acquire::{Acquire, Patience};
use crate::connection::PooledConnection;
use crate::contained::Contained;
use crate::error::AcquireError;
use crate::lending::lend_by_the_clock;
use crate::loan::{Loan, Site};
use crate::manager::Manager;
use crate::pool::Pool;
use crate::primitives::Arc;
use crate::race::race;
use crate::runtime::Runtime;
use crate::shared::{Shared, now, reach};
use crate::status::{Statistics, Status};

pub use self::builder::{EachKey, KeyedBuilder};
pub use self::sync::SyncKeyedPool;

/// Pools of connections to many places, one for each key (a host, a tenant, a database), under a
/// common limit. Cloning it makes another handle to the same pools.
///
/// Each key's pool is made when it is first asked for, by a factory that makes its [`Manager`], and
/// serves its callers as a [`Pool`] does: the same queue, checks, schedules and time-outs. What they have
/// in common is the number of places, which are granted to them one by one:
///
/// - There are never more than `max_total` connections at any instant, over all keys and in
///   whatever state, nor more than `max_per_key` of one key.
/// - As long as the common limit is not reached, keys do not notice each other.
/// - At the limit, somebody who waits for one key takes the place of another's idle connection:
///   the least recently used of all is closed to make room, and its place counts until it has
///   been. So is a connection that comes back to a key for which nobody waits.
/// - Keys that want places get them in turn, one at a time. A busy key lives on what comes back to
///   it, and is not disturbed; except that a key which has nothing at all is granted the next place
///   that comes free anywhere, once it has been waiting for longer than those who wait there. So no
///   key starves.
/// - A key whose server is down takes part in the competition only when its schedule says that an
///   attempt is due, and holds no place in between. (With [`FailFast`](crate::ConnectPolicy::FailFast) those
///   who wait heed no schedule.) See
///   [`max_per_key`](KeyedBuilder::max_per_key) for one that hangs.
/// - A key that nobody uses and that has no connection any more, because its idle ones timed out,
///   say, costs no memory. If its last attempt to connect failed, that is so when twice the delay of its
///   schedule has passed, which the next caller would have heeded.
///
/// What it does not have: anything that changes settings or holds all up while it runs (`resize`, the
/// `set_..`, `pause`), `min_idle` with its `fill`, and `reset`. A key's connections are renewed by
/// [`remove`](KeyedPool::remove), after which a new pool is made for it; whoever waited for the former one
/// gets `Closed`, and may ask again. Observers are told of events without the key.
///
/// When the last handle is dropped all is shut down, as by [`close`](KeyedPool::close) with nobody
/// waiting for it. Connections on loan stay usable and are closed when they come back.
///
/// `K`'s `Hash` and `Eq` are called with a lock held: they must not use the pool, nor panic. Such a panic
/// comes out of whatever call it happens in, be it the drop of an `acquire` or of a guard.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use std::io;
/// use watertight::{KeyedPool, Manager};
///
/// struct Tenant(String);
///
/// impl Manager for Tenant {
///     type Connection = String;
///     type Error = io::Error;
///
///     async fn connect(&self) -> io::Result<String> {
///         Ok(format!("session of {}", self.0)) // dial it
///     }
/// }
///
/// let pool = KeyedPool::builder(|name: &String| Tenant(name.clone()))
///     .max_total(100)
///     .max_per_key(8)
/// #   .each(|pool| pool.runtime(Threads))
///     .build()?;
///
/// let session = pool.acquire(&"alice".to_owned()).await?;
/// assert_eq!(*session, "session of alice");
/// drop(session); // back in the pool; works anywhere
///
/// assert_eq!(pool.total_status().idle, 1);
/// pool.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct KeyedPool<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    handle: Arc<Handle<K, M>>,
}

/// What the users' handles share. When the last of them goes, all is shut down.
struct Handle<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    core: Arc<Core<K, M>>,
}

impl<K, M> Drop for Handle<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    fn drop(&mut self) {
        self.core.begin_close();
    }
}

impl<K, M> KeyedPool<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    /// Starts to configure a pool. `factory` makes the manager of a key.
    ///
    /// It is called when a key is asked for that has no pool, on the task or thread that asks, and
    /// should be quick: what takes time is for [`connect`](Manager::connect) to do. If two ask at
    /// the same time it may be called for both, and one of the managers is dropped.
    pub fn builder(factory: impl Fn(&K) -> M + Send + Sync + 'static) -> KeyedBuilder<K, M> {
        KeyedBuilder::new(factory)
    }

    fn over(core: Arc<Core<K, M>>) -> Self {
        KeyedPool {
            handle: Arc::new(Handle { core }),
        }
    }

    fn core(&self) -> &Arc<Core<K, M>> {
        &self.handle.core
    }

    /// Lends a connection of this key's, waiting for one up to the
    /// [`acquire_timeout`](crate::Builder::acquire_timeout) of each key's pool.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::acquire`]. The status in a [time-out](AcquireError::TimedOut) is that of
    /// the key. `Closed` says that all is closed, or that the key was
    /// [removed](KeyedPool::remove) while the caller waited.
    ///
    /// # Panics
    ///
    /// Panics if the factory does, or [`Manager::attach`]; nothing is left of that.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe, in the same way as [`Pool::acquire`]: cancelling it makes you
    /// lose your place in the key's queue and nothing else.
    #[doc(alias = "get")]
    #[doc(alias = "checkout")]
    #[track_caller]
    pub fn acquire(
        &self,
        key: &K,
    ) -> impl Future<Output = Result<PooledConnection<M>, AcquireError<M::Error>>> {
        self.lend(key, self.core().config.acquire_timeout, Location::caller())
    }

    /// Lends a connection of this key's, waiting for one up to `timeout` instead of the default.
    /// Zero means not to wait.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](KeyedPool::acquire).
    ///
    /// # Panics
    ///
    /// Panics if the factory does, or [`Manager::attach`]; nothing is left of that.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe, in the same way as [`acquire`](KeyedPool::acquire).
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        key: &K,
        timeout: Duration,
    ) -> impl Future<Output = Result<PooledConnection<M>, AcquireError<M::Error>>> {
        self.lend(key, Some(timeout), Location::caller())
    }

    async fn lend(
        &self,
        key: &K,
        timeout: Option<Duration>,
        site: Site,
    ) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        let user = match self.core().enter(key, site) {
            Entered::Served(conn) => return Ok(conn),
            Entered::Closed => return Err(AcquireError::Closed),
            Entered::Queue(user) => user,
        };
        // Dropped before the user that it borrows: out of the queue first, then out of the door.
        let acquired = Acquire::new(user.shared(), Patience::Of(timeout), site).await;
        acquired.map_err(|error| self.with_limit_of_key(error))
    }

    /// Lends an idle connection of this key's now, or nothing. It is lent without a check, and
    /// this never waits, connects or overtakes those who wait.
    #[must_use = "dropping it gives the connection back at once"]
    #[track_caller]
    pub fn try_acquire(&self, key: &K) -> Option<PooledConnection<M>> {
        let shared = self.core().find(key)?;
        lend_by_the_clock(&shared, false, Location::caller())
            .ok()
            .flatten()
    }

    /// Closes the idle connections of a key and returns how many there were. Lent ones are left
    /// alone. The places serve whoever waits for one, of this key or another.
    pub fn clear(&self, key: &K) -> usize {
        match self.core().visit(key) {
            Some(user) => Pool::from_handle(Arc::clone(user.handle())).retain(|_, _| false),
            None => 0,
        }
    }

    /// Forgets a key: closes its pool, with its idle connections now and its lent ones when they
    /// come back, and tells those who wait for it that it is
    /// [closed](AcquireError::Closed). Whoever asks for the key from then on gets a new pool with a
    /// new manager; what is left of the old one still counts for `max_total`, but no longer for
    /// `max_per_key`. Returns false if the key had no pool.
    pub fn remove(&self, key: &K) -> bool {
        self.core().remove(key)
    }

    /// The keys that have a pool, in the order in which the making of it began.
    pub fn keys(&self) -> Vec<K> {
        let keys = self.core().keys();
        keys.iter().map(|key| K::clone(key)).collect()
    }

    /// The pool of a key at this instant; `None` if there is none. Its `max_size` is
    /// `max_per_key`.
    pub fn status(&self, key: &K) -> Option<Status> {
        let shared = self.core().find(key)?;
        Some(self.limited(shared.status()))
    }

    /// What the pool of a key has done since it was made; `None` if there is none.
    pub fn statistics(&self, key: &K) -> Option<Statistics> {
        let shared = self.core().find(key)?;
        let statistics = shared.state.lock().statistics();
        Some(statistics)
    }

    /// All keys together, removed ones included. Its `max_size` is `max_total`, which its `size`
    /// never exceeds. The keys are looked at one after the other, so the other numbers need not be
    /// from one instant.
    pub fn total_status(&self) -> Status {
        let core = self.core();
        let statuses = core.statuses();
        let sum = |number: fn(&Status) -> usize| statuses.iter().map(number).sum();
        Status {
            max_size: core.max_total,
            size: sum(|key| key.size),
            idle: sum(|key| key.idle),
            in_use: sum(|key| key.in_use),
            connecting: sum(|key| key.connecting),
            checking: sum(|key| key.checking),
            recycling: sum(|key| key.recycling),
            closing: sum(|key| key.closing),
            waiting: sum(|key| key.waiting),
            oldest_waiter: statuses.iter().filter_map(|key| key.oldest_waiter).max(),
            paused: statuses.iter().any(|key| key.paused),
            closed: core.is_closed(),
        }
    }

    /// What is lent of a key at the moment and to whom; empty if it has no pool, or no
    /// [`leak_threshold`](crate::Builder::leak_threshold) is set.
    pub fn loans(&self, key: &K) -> Vec<Loan> {
        let shared = self.core().find(key);
        shared.map_or_else(Vec::new, |shared| shared.loans())
    }

    /// What it is [called](crate::Builder::name).
    pub fn name(&self) -> Option<&str> {
        self.core().audience.name()
    }

    /// The runtime that all keys use.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.core().runtime
    }

    /// Closes the pools of all keys, and resolves when every connection has been closed.
    ///
    /// Closing begins with the call, as by [`Pool::close`].
    ///
    /// # Cancel safety
    ///
    /// Cancelling it only means not to know: all goes on closing.
    #[must_use = "the pools close all the same; await this to know that they have"]
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<K, M> {
        let pools = self.core().begin_close();
        async move { drained(&pools).await }
    }

    /// Closes the pools of all keys, and resolves when every connection has been closed or `grace`
    /// has passed. Returns how many places were still taken then; what holds them is *severed*, as
    /// by [`Pool::close_within`].
    ///
    /// # Cancel safety
    ///
    /// Cancelling it only means not to know: all goes on closing.
    #[must_use = "the pools close all the same; await this to know that they have"]
    pub fn close_within(&self, grace: Duration) -> impl Future<Output = usize> + Send + use<K, M> {
        let pools = self.core().begin_close();
        let runtime = Contained::new(Arc::clone(self.runtime()));
        let end = now(&**runtime).checked_add(grace);
        async move {
            race(pin!(drained(&pools)), pin!(reach(&**runtime, end))).await;
            pools.iter().map(|pool| pool.state.lock().size()).sum()
        }
    }

    /// True once all has begun to close.
    pub fn is_closed(&self) -> bool {
        self.core().is_closed()
    }

    /// The same pools, for threads that block.
    pub fn sync(&self) -> SyncKeyedPool<K, M> {
        SyncKeyedPool::over(self.clone())
    }

    /// A tenant's `max_size` is what it happens to hold; its user knows another limit.
    fn limited(&self, status: Status) -> Status {
        Status {
            max_size: self.core().config.max_size,
            ..status
        }
    }

    fn with_limit_of_key(&self, mut error: AcquireError<M::Error>) -> AcquireError<M::Error> {
        if let AcquireError::TimedOut { status, .. } = &mut error {
            **status = self.limited(**status);
        }
        error
    }
}

/// Resolves when the last place of all these has been given back.
async fn drained<M: Manager>(pools: &[Arc<Shared<M>>]) {
    for pool in pools {
        pool.drained().await;
    }
}

impl<K, M> Clone for KeyedPool<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    fn clone(&self) -> Self {
        KeyedPool {
            handle: Arc::clone(&self.handle),
        }
    }
}

impl<K, M> fmt::Debug for KeyedPool<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPool")
            .field("total_status", &self.total_status())
            .finish_non_exhaustive()
    }
}
