//! The managers of r2d2.

use std::fmt;

use ::r2d2::ManageConnection;

use crate::blocking::BlockingManager;
use crate::manager::{Condition, Metrics};

/// Makes an [`r2d2::ManageConnection`](::r2d2::ManageConnection) a [`BlockingManager`], so that every
/// manager that was written for r2d2 serves here: in a [`SyncPool`](crate::SyncPool) or an async
/// [`Pool`](crate::Pool), through [`Blocking`](crate::Blocking).
///
/// | r2d2 calls | this pool calls |
/// |---|---|
/// | `connect`, on one of three threads of its own | the same, on a thread of the runtime's where blocking is allowed |
/// | `is_valid` before a loan, if `test_on_check_out` is set, on the caller's thread | the same, on such a thread, as often as the [`CheckPolicy`] says: [`Always`] is what r2d2 does unless told otherwise, [`Never`] is `test_on_check_out(false)`; unless set, it is for connections that were idle for a second |
/// | `has_broken` on the way back | the same, on the thread that drops the guard: true closes the connection |
///
/// So `is_valid` costs the change to another thread and back, and is given up on after
/// [`check_timeout`](crate::Builder::check_timeout); it then goes on by itself, and its connection is
/// closed when it ends. Connections of r2d2's need not be [`Sync`] nor are they ever used by two
/// threads at a time, but they do move.
///
/// `CustomizeConnection`, `HandleError`, `HandleEvent` and the settings belong to r2d2's pool and not
/// to its managers: see the page [`migration`](crate::migration).
///
/// The manager's errors must be [`Send`] and [`Sync`], which r2d2 does not ask for, since it keeps no
/// more than their text; here everybody who waited gets the error itself. No error is
/// [permanent](BlockingManager::is_permanent), as r2d2 cannot tell.
///
/// [`CheckPolicy`]: crate::CheckPolicy
/// [`Always`]: crate::CheckPolicy::Always
/// [`Never`]: crate::CheckPolicy::Never
///
/// # Examples
///
/// ```
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use watertight::{Blocking, CheckPolicy, R2d2Manager, SyncPool};
///
/// struct Server; // somebody else's
///
/// impl r2d2::ManageConnection for Server {
///     type Connection = String;
///     type Error = std::io::Error;
///
///     fn connect(&self) -> std::io::Result<String> {
///         Ok("session".to_owned())
///     }
///
///     fn is_valid(&self, _: &mut String) -> std::io::Result<()> {
///         Ok(())
///     }
///
///     fn has_broken(&self, session: &mut String) -> bool {
///         session.is_empty()
///     }
/// }
///
/// let pool = SyncPool::builder(Blocking::new(R2d2Manager::new(Server)))
///     .max_size(4)
///     .check_policy(CheckPolicy::Always)
/// #   .runtime(Threads)
///     .build()?;
/// assert_eq!(pool.acquire()?.as_str(), "session");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct R2d2Manager<M> {
    manager: M,
}

impl<M> R2d2Manager<M> {
    /// Wraps `manager` for [`Blocking`](crate::Blocking).
    pub fn new(manager: M) -> Self {
        R2d2Manager { manager }
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

impl<M> BlockingManager for R2d2Manager<M>
where
    M: ManageConnection,
    M::Error: Send + Sync,
{
    type Connection = M::Connection;
    type Error = M::Error;

    fn connect(&self) -> Result<M::Connection, M::Error> {
        self.manager.connect()
    }

    fn check(&self, connection: &mut M::Connection, _: &Metrics) -> Result<(), M::Error> {
        self.manager.is_valid(connection)
    }

    fn inspect(&self, connection: &mut M::Connection) -> Condition {
        match self.manager.has_broken(connection) {
            true => Condition::Broken,
            false => Condition::Clean,
        }
    }
}

impl<M> fmt::Debug for R2d2Manager<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("R2d2Manager").finish_non_exhaustive()
    }
}
