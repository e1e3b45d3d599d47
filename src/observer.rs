//! Events, for whoever wants to watch a pool.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::error::ConnectError;
use crate::status::{CloseReason, Rejection};

/// Is told what happens in a pool. Every method has an empty default.
///
/// The pool calls it on whichever thread something happens, without any lock held. It should be
/// quick: a slow observer slows down the one who is being observed. One that panics changes
/// nothing; the panic is reported by the panic hook and goes no further.
pub trait Observer: Send + Sync + 'static {
    /// A connection was made.
    fn connected(&self, event: &Connected) {
        let _ = event;
    }

    /// An attempt to connect failed.
    fn connect_failed(&self, event: &ConnectFailed<'_>) {
        let _ = event;
    }

    /// A connection was lent.
    fn acquired(&self, event: &Acquired) {
        let _ = event;
    }

    /// A connection was given back by its holder, in whatever condition.
    fn returned(&self) {}

    /// A caller's deadline passed.
    fn timed_out(&self, event: &TimedOut) {
        let _ = event;
    }

    /// A caller was turned away although he had time.
    fn rejected(&self, event: &Rejected) {
        let _ = event;
    }

    /// A connection left the pool and its place is free.
    fn closed(&self, event: &Closed) {
        let _ = event;
    }
}

/// A connection was made.
#[derive(Clone, Debug)]
pub struct Connected {
    took: Duration,
}

impl Connected {
    pub(crate) fn new(took: Duration) -> Self {
        Connected { took }
    }

    /// How long the manager took to make it.
    pub fn took(&self) -> Duration {
        self.took
    }
}

/// An attempt to connect failed.
pub struct ConnectFailed<'a> {
    error: &'a (dyn Any + Send + Sync),
    kind: &'static str,
}

impl<'a> ConnectFailed<'a> {
    pub(crate) fn new<E: Send + Sync + 'static>(error: &'a ConnectError<E>) -> Self {
        let kind = match error {
            ConnectError::Failed(_) => "failed",
            ConnectError::TimedOut => "timed out",
            ConnectError::Panicked => "panicked",
        };
        ConnectFailed { error, kind }
    }

    /// How it failed, in a word or two.
    pub fn kind(&self) -> &'static str {
        self.kind
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
            .finish_non_exhaustive()
    }
}

/// A connection was lent.
#[derive(Clone, Debug)]
pub struct Acquired {
    waited: Option<Duration>,
}

impl Acquired {
    pub(crate) fn new(waited: Option<Duration>) -> Self {
        Acquired { waited }
    }

    /// How long its caller waited; `None` if it did not have to.
    pub fn waited(&self) -> Option<Duration> {
        self.waited
    }
}

/// A caller's deadline passed.
#[derive(Clone, Debug)]
pub struct TimedOut {
    phase: crate::Phase,
    waited: Duration,
}

impl TimedOut {
    pub(crate) fn new(phase: crate::Phase, waited: Duration) -> Self {
        TimedOut { phase, waited }
    }

    /// What it was waiting for at that moment.
    pub fn phase(&self) -> crate::Phase {
        self.phase
    }

    /// How long it waited.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// A caller was turned away although he had time.
#[derive(Clone, Debug)]
pub struct Rejected {
    why: Rejection,
    waited: Duration,
}

impl Rejected {
    pub(crate) fn new(why: Rejection, waited: Duration) -> Self {
        Rejected { why, waited }
    }

    /// Why.
    pub fn why(&self) -> Rejection {
        self.why
    }

    /// How long the caller had waited: not at all, unless it was shed.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// A connection left the pool.
#[derive(Clone, Debug)]
pub struct Closed {
    reason: CloseReason,
}

impl Closed {
    pub(crate) fn new(reason: CloseReason) -> Self {
        Closed { reason }
    }

    /// Why it left.
    pub fn reason(&self) -> CloseReason {
        self.reason
    }
}
