//! The pool in numbers: what is, and what has been.

use std::fmt;
use std::time::Duration;

/// A pool at one instant: all the numbers are from the same moment and add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The most connections that the pool may have.
    pub max_size: usize,
    /// Places that are taken: the sum of the next six.
    pub size: usize,
    /// Connections that are ready to be lent.
    pub idle: usize,
    /// Connections that are lent.
    pub in_use: usize,
    /// Connections that are being made.
    pub connecting: usize,
    /// Connections that are being checked.
    pub checking: usize,
    /// Connections that are being recycled, or wait for it.
    pub recycling: usize,
    /// Connections that are being closed.
    pub closing: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// For how long the first of them has been waiting.
    pub oldest_waiter: Option<Duration>,
    /// True while the pool is [paused](crate::Pool::pause).
    pub paused: bool,
    /// True once the pool has begun to close.
    pub closed: bool,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} in use, {} idle, {} connecting, {} waiting",
            self.in_use, self.max_size, self.idle, self.connecting, self.waiting
        )?;
        for (number, what) in [
            (self.checking, "checking"),
            (self.recycling, "recycling"),
            (self.closing, "closing"),
        ] {
            if number > 0 {
                write!(f, ", {number} {what}")?;
            }
        }
        if self.paused {
            f.write_str(", paused")?;
        }
        Ok(())
    }
}

/// What a pool has done since it was built. No number ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections lent.
    pub acquires: u64,
    /// Calls that had to wait, however it ended for them.
    pub waits: u64,
    /// Calls whose deadline passed, by what they were waiting for.
    pub timeouts: Timeouts,
    /// Calls that waited and were dropped by their caller before there was an answer, or before they saw
    /// the connection that was theirs. One that was never polled has not begun to wait.
    pub cancellations: u64,
    /// Calls that were turned away before their time was over, by reason.
    pub rejections: Rejections,
    /// Connections made.
    pub connects: u64,
    /// Attempts to connect that failed, timed out or panicked.
    pub failed_connects: u64,
    /// Connections that were made elsewhere and [adopted](crate::Pool::adopt).
    pub adopted: u64,
    /// Connections that were held for longer than the
    /// [`leak_threshold`](crate::Builder::leak_threshold), whether or not they came back.
    pub leaks: u64,
    /// Connections that left the pool, by reason.
    pub closes: Closes,
}

/// Calls whose deadline passed, by [`Phase`](crate::Phase).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// While all connections were lent, or the pool was paused; or of a caller who had no time at all.
    pub wait: u64,
    /// While an idle one was being checked.
    pub check: u64,
    /// While one was being made.
    pub connect: u64,
}

impl Timeouts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.wait + self.check + self.connect
    }
}

/// Why a caller was turned away although he had time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The pool was paused, and [set](crate::PausePolicy::FailFast) to say so at once. A
    /// [`try_acquire`](crate::Pool::try_acquire) that meets that counts as well.
    Paused,
    /// As many waited already as [`max_waiters`](crate::Builder::max_waiters) allows.
    QueueFull,
    /// The pool was overloaded, by the rule of
    /// [`controlled_delay`](crate::Builder::controlled_delay).
    Shed,
    /// The server was down, and the pool [set](crate::ConnectPolicy::CircuitBreaker) to say so at
    /// once.
    CircuitBroken,
}

impl Rejection {
    /// Every reason there is.
    pub const ALL: &'static [Rejection] = &[
        Rejection::Paused,
        Rejection::QueueFull,
        Rejection::Shed,
        Rejection::CircuitBroken,
    ];
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::Paused => "paused",
            Rejection::QueueFull => "queue full",
            Rejection::Shed => "shed",
            Rejection::CircuitBroken => "circuit broken",
        })
    }
}

/// Calls that were turned away, by [`Rejection`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejections {
    /// [`Rejection::Paused`].
    pub paused: u64,
    /// [`Rejection::QueueFull`].
    pub queue_full: u64,
    /// [`Rejection::Shed`].
    pub shed: u64,
    /// [`Rejection::CircuitBroken`].
    pub circuit_broken: u64,
}

impl Rejections {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.paused + self.queue_full + self.shed + self.circuit_broken
    }

    pub(crate) fn count(&mut self, why: Rejection) {
        match why {
            Rejection::Paused => self.paused += 1,
            Rejection::QueueFull => self.queue_full += 1,
            Rejection::Shed => self.shed += 1,
            Rejection::CircuitBroken => self.circuit_broken += 1,
        }
    }
}

macro_rules! close_reasons {
    ($($(#[$doc:meta])* $variant:ident $field:ident $text:literal,)*) => {
        /// Why a connection left the pool.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CloseReason {
            $($(#[$doc])* $variant,)*
        }

        impl CloseReason {
            /// Every reason there is.
            pub const ALL: &'static [CloseReason] = &[$(CloseReason::$variant),*];
        }

        impl fmt::Display for CloseReason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(CloseReason::$variant => $text,)*
                })
            }
        }

        /// Connections that left the pool, by [`CloseReason`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Closes {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Closes {
            /// Those that left for this reason.
            pub fn get(&self, reason: CloseReason) -> u64 {
                match reason {
                    $(CloseReason::$variant => self.$field,)*
                }
            }

            pub(crate) fn count(&mut self, reason: CloseReason) {
                match reason {
                    $(CloseReason::$variant => self.$field += 1,)*
                }
            }
        }
    };
}

close_reasons! {
    /// Idle for too long, or one more than `max_idle`.
    Idle idle "idle",
    /// At the end of its lifetime.
    Lifetime lifetime "lifetime",
    /// Used as often as `max_uses` allows.
    Uses uses "uses",
    /// Found broken when it was given back.
    Broken broken "broken",
    /// Its check failed, timed out, panicked or was lost with its task.
    CheckFailed check_failed "check failed",
    /// Recycling it failed, timed out, panicked or was lost with its task.
    RecycleFailed recycle_failed "recycle failed",
    /// It needed recycling, and the return queue was full or its reader gone.
    ReturnQueueFull return_queue_full "return queue full",
    /// Made before a [reset](crate::Pool::reset), or before a failed check that
    /// [condemns all](crate::Builder::reset_on_failed_check).
    Reset reset "reset",
    /// The pool was made smaller, or another key of a [`KeyedPool`](crate::KeyedPool) needed the place.
    Resize resize "resize",
    /// The pool was closing.
    Shutdown shutdown "shutdown",
    /// Discarded or [retired](crate::PooledConnection::retire) by its holder,
    /// by `retain` or [`clear`](crate::KeyedPool::clear), or by a panic that unwound through its guard.
    Discarded discarded "discarded",
    /// Taken out for good; it lives on, outside the pool.
    Detached detached "detached",
}

impl Closes {
    /// All of them.
    pub fn total(&self) -> u64 {
        CloseReason::ALL
            .iter()
            .map(|&reason| self.get(reason))
            .sum()
    }
}

#[cfg(test)]
mod tests;
