//! The managers of bb8.

use std::fmt;
use std::future::Future;

use ::bb8::ManageConnection;

use crate::manager::{Condition, Manager, Metrics};

/// Makes a [`bb8::ManageConnection`](::bb8::ManageConnection) a [`Manager`], so that every manager
/// that was written for bb8 serves here.
///
/// | bb8 calls | this pool calls |
/// |---|---|
/// | `connect` | the same, in a task of its own on the pool's runtime |
/// | `is_valid` before a loan, if `test_on_check_out` is set | the same, as often as the [`CheckPolicy`] says: [`Always`] is what bb8 does unless told otherwise, [`Never`] is `test_on_check_out(false)`; unless set, it is for connections that were idle for a second |
/// | `has_broken` on the way back | the same, on the thread that drops the guard: true closes the connection |
/// | `has_broken` in `Pool::add` | nothing: [`adopt`](crate::Pool::adopt) takes every connection |
///
/// The rest of bb8 belongs to its pool and not to its managers: for `CustomizeConnection`,
/// `ErrorSink` and the settings see the page [`migration`](crate::migration).
///
/// The manager's errors must be [`Sync`], which bb8 does not ask for, since everybody who waited
/// gets the same one. No error is [permanent](Manager::is_permanent), as bb8 cannot tell.
///
/// The adapter runs on any runtime, but most managers for bb8 want tokio: they use its sockets and
/// timers, or spawn. Give those a pool on tokio, which a [`SyncPool`](crate::SyncPool) finds by
/// itself.
///
/// [`CheckPolicy`]: crate::CheckPolicy
/// [`Always`]: crate::CheckPolicy::Always
/// [`Never`]: crate::CheckPolicy::Never
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use watertight::{Bb8Manager, CheckPolicy, Pool};
///
/// struct Server; // somebody else's
///
/// impl bb8::ManageConnection for Server {
///     type Connection = String;
///     type Error = std::io::Error;
///
///     async fn connect(&self) -> std::io::Result<String> {
///         Ok("session".to_owned())
///     }
///
///     async fn is_valid(&self, _: &mut String) -> std::io::Result<()> {
///         Ok(())
///     }
///
///     fn has_broken(&self, session: &mut String) -> bool {
///         session.is_empty()
///     }
/// }
///
/// let pool = Pool::builder(Bb8Manager::new(Server))
///     .max_size(4)
///     .check_policy(CheckPolicy::Always)
/// #   .runtime(Threads)
///     .build()?;
/// assert_eq!(*pool.acquire().await?, "session");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Bb8Manager<M> {
    manager: M,
}

impl<M> Bb8Manager<M> {
    /// Wraps `manager` for a pool.
    pub fn new(manager: M) -> Self {
        Bb8Manager { manager }
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

impl<M> Manager for Bb8Manager<M>
where
    M: ManageConnection,
    M::Error: Sync,
{
    type Connection = M::Connection;
    type Error = M::Error;

    fn connect(&self) -> impl Future<Output = Result<M::Connection, M::Error>> + Send {
        self.manager.connect()
    }

    fn check(
        &self,
        connection: &mut M::Connection,
        _: &Metrics,
    ) -> impl Future<Output = Result<(), M::Error>> + Send {
        self.manager.is_valid(connection)
    }

    fn inspect(&self, connection: &mut M::Connection) -> Condition {
        match self.manager.has_broken(connection) {
            true => Condition::Broken,
            false => Condition::Clean,
        }
    }
}

impl<M> fmt::Debug for Bb8Manager<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bb8Manager").finish_non_exhaustive()
    }
}
