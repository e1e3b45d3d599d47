//! What an [`Observer`](crate::Observer) is told.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::error::{ConnectError, Phase};
use crate::status::{CloseReason, Rejection};

macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug)]
            pub struct $name {
                $(pub(crate) $field: $type,)*
            }

            impl $name {
                $(
                    $(#[$of_field])*
                    pub fn $field(&self) -> $type {
                        self.$field
                    }
                )*
            }
        )*
    };
}

events! {
    /// The pool was built, or a setting was changed. A [`KeyedPool`](crate::KeyedPool) tells it once, with
    /// its `max_total` as `max_size`.
    Configured {
        /// The most connections there may be.
        max_size: usize,
        /// How many are kept idle.
        min_idle: usize,
        /// The most that are kept idle.
        max_idle: Option<usize>,
    }

    /// A connection was made.
    Connected {
        /// Its number, as in [`Metrics::id`](crate::Metrics::id).
        connection: u64,
        /// How long the manager took to make it.
        took: Duration,
    }

    /// A connection that was made elsewhere was taken in.
    Adopted {
        /// Its number.
        connection: u64,
    }

    /// A check of an idle connection has come to its end.
    Checked {
        /// The number of the connection.
        connection: u64,
        /// How long it took.
        took: Duration,
        /// True if the connection is fit. If not it is closed next.
        passed: bool,
    }

    /// The recycling of a connection has come to its end.
    Recycled {
        /// The number of the connection.
        connection: u64,
        /// How long it took.
        took: Duration,
        /// True if the connection is clean now. If not it is closed next.
        passed: bool,
    }

    /// A connection was lent.
    Acquired {
        /// Its number.
        connection: u64,
        /// How long its caller waited; `None` if it did not have to.
        waited: Option<Duration>,
    }

    /// A loan has ended: the connection was given back by its holder, in whatever condition, or
    /// detached.
    Returned {
        /// Its number.
        connection: u64,
        /// How long it was lent. Zero if nobody was watching when it was.
        held: Duration,
    }

    /// A caller that waited does so no more.
    WaitEnded {
        /// How long it waited.
        waited: Duration,
        /// How it ended for it.
        ending: WaitEnding,
    }

    /// A caller's deadline passed.
    TimedOut {
        /// What it was waiting for at that moment.
        phase: Phase,
        /// How long it waited.
        waited: Duration,
    }

    /// A caller was turned away although he had time.
    Rejected {
        /// Why.
        why: Rejection,
        /// How long the caller had waited: not at all, unless it was shed.
        waited: Duration,
    }

    /// A connection left the pool.
    Closed {
        /// Its number.
        connection: u64,
        /// Why it left.
        reason: CloseReason,
    }
}

/// How it ended for a caller that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitEnding {
    /// With a connection.
    Served,
    /// Its deadline passed.
    TimedOut,
    /// It was turned away, for the pool was overloaded.
    Shed,
    /// With the error of an attempt to connect.
    ConnectFailed,
    /// The pool began to close.
    Closed,
    /// It went away.
    Cancelled,
}

impl fmt::Display for WaitEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaitEnding::Served => "served",
            WaitEnding::TimedOut => "timed out",
            WaitEnding::Shed => "shed",
            WaitEnding::ConnectFailed => "connect failed",
            WaitEnding::Closed => "closed",
            WaitEnding::Cancelled => "cancelled",
        })
    }
}

/// An attempt to connect failed.
pub struct ConnectFailed<'a> {
    error: &'a (dyn Any + Send + Sync),
    kind: &'static str,
    took: Duration,
}

impl<'a> ConnectFailed<'a> {
    pub(crate) fn new<E: Send + Sync + 'static>(
        error: &'a ConnectError<E>,
        took: Duration,
    ) -> Self {
        let kind = match error {
            ConnectError::Failed(_) => "failed",
            ConnectError::TimedOut => "timed out",
            ConnectError::Panicked => "panicked",
        };
        ConnectFailed { error, kind, took }
    }

    /// How it failed, in a word or two.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// How long it took to fail.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// The error, if `E` is the error type of the manager that is being observed.
    pub fn error<E: 'static>(&self) -> Option<&ConnectError<E>> {
        self.error.downcast_ref()
    }
}

impl fmt::Debug for ConnectFailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectFailed")
            .field("kind", &self.kind)
            .field("took", &self.took)
            .finish_non_exhaustive()
    }
}
