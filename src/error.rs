//! What can go wrong, for the one who acquires and for the one who builds.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::primitives::Arc;
use crate::status::Status;

/// Why [`acquire`](crate::Pool::acquire) did not lend a connection. `E` is the manager's error.
#[non_exhaustive]
pub enum AcquireError<E> {
    /// The deadline passed.
    TimedOut {
        /// What the caller was waiting for at that moment.
        phase: Phase,
        /// How long it waited.
        waited: Duration,
        /// The last failed attempt to connect, if none has succeeded since, nor the pool been reset.
        cause: Option<ConnectError<E>>,
        /// The pool at that moment.
        status: Box<Status>,
    },
    /// No connection could be made: the manager calls the error permanent, or the pool is set to
    /// [fail fast](crate::ConnectPolicy::FailFast), or to
    /// [break the circuit](crate::ConnectPolicy::CircuitBreaker) while the server is down. Of
    /// [`fill`](crate::Pool::fill): the first attempt to fail after the call, whatever the policy.
    Connect(ConnectError<E>),
    /// The pool is paused, and [set](crate::PausePolicy::FailFast) to say so at once.
    Paused,
    /// As many callers waited already as [`max_waiters`](crate::Builder::max_waiters) allows.
    QueueFull,
    /// The pool is overloaded and turned the caller away, by the rule of
    /// [`controlled_delay`](crate::Builder::controlled_delay).
    Shed {
        /// How long it waited.
        waited: Duration,
    },
    /// The pool is closed, or began to close while the caller waited.
    Closed,
}

/// What a caller whose deadline passed was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// For somebody to give a connection back, since all were lent; for the end of a pause; or for
    /// nothing, since the caller had no time at all.
    Wait,
    /// For an idle connection to be checked.
    Check,
    /// For a new connection, or for the next attempt at one.
    Connect,
}

/// Why one attempt to connect failed. It is shared, so that everybody who waited learns the cause.
#[non_exhaustive]
pub enum ConnectError<E> {
    /// The manager returned an error.
    Failed(Arc<E>),
    /// The attempt took longer than [`connect_timeout`](crate::Builder::connect_timeout).
    TimedOut,
    /// The manager panicked.
    Panicked,
}

impl<E> AcquireError<E> {
    /// True if the deadline passed.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, AcquireError::TimedOut { .. })
    }

    /// True if the pool is paused.
    pub fn is_paused(&self) -> bool {
        matches!(self, AcquireError::Paused)
    }

    /// True if too many waited already.
    pub fn is_queue_full(&self) -> bool {
        matches!(self, AcquireError::QueueFull)
    }

    /// True if the pool is overloaded and turned the caller away.
    pub fn is_shed(&self) -> bool {
        matches!(self, AcquireError::Shed { .. })
    }

    /// True if the pool is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, AcquireError::Closed)
    }

    /// The failed attempt to connect that is behind this error, if there is one.
    pub fn connect_error(&self) -> Option<&ConnectError<E>> {
        match self {
            AcquireError::TimedOut { cause, .. } => cause.as_ref(),
            AcquireError::Connect(error) => Some(error),
            AcquireError::Paused
            | AcquireError::QueueFull
            | AcquireError::Shed { .. }
            | AcquireError::Closed => None,
        }
    }
}

impl<E> ConnectError<E> {
    /// The manager's own error, if it returned one.
    pub fn manager_error(&self) -> Option<&E> {
        match self {
            ConnectError::Failed(error) => Some(error),
            ConnectError::TimedOut | ConnectError::Panicked => None,
        }
    }
}

impl<E> Clone for ConnectError<E> {
    fn clone(&self) -> Self {
        match self {
            ConnectError::Failed(error) => ConnectError::Failed(Arc::clone(error)),
            ConnectError::TimedOut => ConnectError::TimedOut,
            ConnectError::Panicked => ConnectError::Panicked,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for AcquireError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcquireError::TimedOut {
                phase,
                waited,
                cause,
                status,
            } => f
                .debug_struct("TimedOut")
                .field("phase", phase)
                .field("waited", waited)
                .field("cause", cause)
                .field("status", status)
                .finish(),
            AcquireError::Connect(error) => f.debug_tuple("Connect").field(error).finish(),
            AcquireError::Paused => f.write_str("Paused"),
            AcquireError::QueueFull => f.write_str("QueueFull"),
            AcquireError::Shed { waited } => {
                f.debug_struct("Shed").field("waited", waited).finish()
            }
            AcquireError::Closed => f.write_str("Closed"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for ConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            ConnectError::TimedOut => f.write_str("TimedOut"),
            ConnectError::Panicked => f.write_str("Panicked"),
        }
    }
}

impl<E> fmt::Display for AcquireError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcquireError::TimedOut {
                phase,
                waited,
                cause: _,
                status,
            } => {
                let stage = match phase {
                    Phase::Wait => "waiting for a connection to be given back",
                    Phase::Check => "checking an idle connection",
                    Phase::Connect => "connecting",
                };
                write!(f, "timed out after {waited:.1?}, {stage} ({status})")?;
                if *phase == Phase::Wait && status.in_use > 0 {
                    f.write_str(
                        "; raise max_size, or look for connections that are held too long",
                    )?;
                }
                Ok(())
            }
            AcquireError::Connect(_) => f.write_str("could not connect"),
            AcquireError::Paused => f.write_str("the pool is paused; try again when it is resumed"),
            AcquireError::QueueFull => f.write_str(
                "too many wait for a connection already; send less, or raise max_waiters or max_size",
            ),
            AcquireError::Shed { waited } => write!(
                f,
                "turned away after {waited:.1?}, the pool is overloaded; send less, or raise max_size"
            ),
            AcquireError::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl<E> fmt::Display for ConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectError::Failed(_) => "the attempt to connect failed",
            ConnectError::TimedOut => {
                "the attempt to connect timed out; raise connect_timeout if the server is that slow"
            }
            ConnectError::Panicked => "the manager panicked while it connected",
        })
    }
}

impl<E: Error + 'static> Error for AcquireError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.connect_error().map(|error| error as _)
    }
}

impl<E: Error + 'static> Error for ConnectError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.manager_error().map(|error| error as _)
    }
}

/// Why a pool could not be built. Nothing is repaired silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// `max_size` is 0: such a pool could never lend anything.
    ZeroMaxSize,
    /// `min_idle` is larger than `max_size`.
    MinIdleAboveMaxSize {
        /// The `min_idle` that was asked for.
        min_idle: usize,
        /// The `max_size` that was asked for.
        max_size: usize,
    },
    /// `min_idle` is larger than `max_idle`: the pool would open and close connections for ever.
    MinIdleAboveMaxIdle {
        /// The `min_idle` that was asked for.
        min_idle: usize,
        /// The `max_idle` that was asked for.
        max_idle: usize,
    },
    /// This option was set to zero, which would make the pool useless. Where an option takes `None`,
    /// that turns it off.
    Zero {
        /// The name of the option.
        option: &'static str,
    },
    /// `lifetime_jitter` is not a fraction from 0 up to, but not including, 1.
    LifetimeJitter,
    /// The first delay of a [`Backoff`](crate::Backoff) is zero or larger than its cap.
    Backoff,
    /// `min_idle` is set for the keys of a [`KeyedPool`](crate::KeyedPool): a key that nobody uses
    /// keeps nothing.
    MinIdleOfKeys,
    /// No runtime was given, and none was found.
    NoRuntime,
    /// The runtime has no timer: on tokio, it was built without `enable_time`.
    NoTimer,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::ZeroMaxSize => f.write_str("max_size must be at least 1"),
            BuildError::MinIdleAboveMaxSize { min_idle, max_size } => {
                write!(f, "min_idle ({min_idle}) must not exceed max_size ({max_size})")
            }
            BuildError::MinIdleAboveMaxIdle { min_idle, max_idle } => {
                write!(f, "min_idle ({min_idle}) must not exceed max_idle ({max_idle})")
            }
            BuildError::Zero { option } => {
                write!(f, "{option} must not be zero")
            }
            BuildError::LifetimeJitter => {
                f.write_str("lifetime_jitter must be at least 0 and less than 1")
            }
            BuildError::Backoff => {
                f.write_str("the first delay of the back-off must be above zero and at most its cap")
            }
            BuildError::MinIdleOfKeys => {
                f.write_str("min_idle must be 0 in a keyed pool, whose keys come and go")
            }
            BuildError::NoRuntime => f.write_str(
                "no runtime found; with the feature `tokio` build the pool inside a tokio runtime, turn \
                 on the feature `smol`, or pass one with `runtime(..)`",
            ),
            BuildError::NoTimer => f.write_str(
                "the runtime has no timer; build the tokio runtime with `enable_time` or `enable_all`",
            ),
        }
    }
}

impl Error for BuildError {}
