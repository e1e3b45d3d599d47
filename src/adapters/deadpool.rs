//! The managers of deadpool.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use ::deadpool::managed::{self, RecycleError};

use crate::manager::{Manager, Metrics};

/// Makes a [`deadpool::managed::Manager`](::deadpool::managed::Manager) a [`Manager`], so that every
/// manager that was written for deadpool serves here.
///
/// | deadpool calls | this pool calls |
/// |---|---|
/// | `create` | the same, in a task of its own on the pool's runtime |
/// | `recycle` before each loan but the first | the same, as often as the [`CheckPolicy`] says: [`Always`] is what deadpool does; unless set, it is for connections that were idle for a second |
/// | `detach` when an object is taken out, or fails to be recycled | the same, for every connection that is closed; not for one that you [detach](crate::PooledConnection::detach) |
///
/// `recycle` is a *check* here: it runs on the way out. A manager that cleans its connections in it
/// (rolls back, unsubscribes, discards session state) wants [`Always`], or the next holder may find
/// what the last one left. So does, whatever is set, a caller without patience
/// ([`try_acquire`](crate::Pool::try_acquire), or an `acquire_timeout` of zero): nothing is checked
/// for him, where deadpool recycles. [`keepalive`](crate::Builder::keepalive) calls it as well. What it
/// is told of the connection is what deadpool would say if every loan but the first had begun with it:
/// `recycle_count` is the number of those, and `recycled`, once there were any, the moment of the last
/// return (in deadpool that of the last loan). Moments are those of the pool's runtime, so on a
/// [virtual clock](crate::runtime) `age()` and `last_used()` are off.
///
/// A connection that you detach is yours, and the manager is not told. If it keeps books of what it
/// made, as deadpool-postgres does of its statement caches, tell it:
/// `pool.manager().get_ref().detach(&mut connection)`.
///
/// Hooks, time-outs and the rest belong to deadpool's pool and not to its managers: see the page
/// [`migration`](crate::migration).
///
/// The manager's errors must be [`Sync`], which deadpool does not ask for, since everybody who
/// waited gets the same one; they and the objects must be `'static`. No error is
/// [permanent](Manager::is_permanent), as deadpool cannot tell. It gives every error to the caller at
/// once, which here is [`ConnectPolicy::FailFast`](crate::ConnectPolicy::FailFast).
///
/// Only deadpool's feature `managed` is used, and no runtime of its own.
///
/// [`CheckPolicy`]: crate::CheckPolicy
/// [`Always`]: crate::CheckPolicy::Always
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use deadpool::managed::{self, RecycleResult};
/// use watertight::{CheckPolicy, DeadpoolManager, Pool};
///
/// struct Server; // somebody else's
///
/// impl managed::Manager for Server {
///     type Type = String;
///     type Error = std::io::Error;
///
///     async fn create(&self) -> std::io::Result<String> {
///         Ok("session".to_owned())
///     }
///
///     async fn recycle(
///         &self,
///         _: &mut String,
///         _: &managed::Metrics,
///     ) -> RecycleResult<std::io::Error> {
///         Ok(())
///     }
/// }
///
/// let pool = Pool::builder(DeadpoolManager::new(Server))
///     .max_size(4)
///     .check_policy(CheckPolicy::Always)
/// #   .runtime(Threads)
///     .build()?;
/// assert_eq!(*pool.acquire().await?, "session");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct DeadpoolManager<M> {
    manager: M,
}

impl<M> DeadpoolManager<M> {
    /// Wraps `manager` for a pool.
    pub fn new(manager: M) -> Self {
        DeadpoolManager { manager }
    }

    /// The manager inside.
    pub fn get_ref(&self) -> &M {
        &self.manager
    }

    /// The manager inside, for one that no pool has taken.
    pub fn into_inner(self) -> M {
        self.manager
    }
}

impl<M> Manager for DeadpoolManager<M>
where
    M: managed::Manager + 'static,
    M::Type: 'static,
    M::Error: Sync + 'static,
{
    type Connection = M::Type;
    type Error = DeadpoolError<M::Error>;

    async fn connect(&self) -> Result<M::Type, Self::Error> {
        self.manager.create().await.map_err(DeadpoolError::Backend)
    }

    async fn check(&self, connection: &mut M::Type, metrics: &Metrics) -> Result<(), Self::Error> {
        let metrics = translate(metrics);
        Ok(self.manager.recycle(connection, &metrics).await?)
    }

    async fn close(&self, mut connection: M::Type) {
        self.manager.detach(&mut connection);
    }
}

/// What deadpool would know of a connection with this history.
fn translate(metrics: &Metrics) -> managed::Metrics {
    let reuses = metrics.uses.saturating_sub(1);
    let since_first = metrics.age.saturating_sub(metrics.idle);
    managed::Metrics {
        created: metrics.created_at,
        recycled: (reuses > 0).then(|| metrics.created_at + since_first),
        recycle_count: usize::try_from(reuses).unwrap_or(usize::MAX),
    }
}

impl<M> fmt::Debug for DeadpoolManager<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadpoolManager").finish_non_exhaustive()
    }
}

/// An error of a [`DeadpoolManager`]: that of the manager inside, or what it said of a connection
/// that it does not want to use again. Those who acquire only ever get the former.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadpoolError<E> {
    /// The manager's own error.
    Backend(E),
    /// Why a connection could not be recycled.
    Message(Cow<'static, str>),
}

impl<E> From<RecycleError<E>> for DeadpoolError<E> {
    fn from(error: RecycleError<E>) -> Self {
        match error {
            RecycleError::Backend(error) => DeadpoolError::Backend(error),
            RecycleError::Message(message) => DeadpoolError::Message(message),
        }
    }
}

impl<E: fmt::Display> fmt::Display for DeadpoolError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeadpoolError::Backend(error) => error.fmt(f),
            DeadpoolError::Message(message) => f.write_str(message),
        }
    }
}

/// It stands for the manager's error, so it has that one's source.
impl<E: Error + 'static> Error for DeadpoolError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            DeadpoolError::Backend(error) => error.source(),
            DeadpoolError::Message(_) => None,
        }
    }
}
