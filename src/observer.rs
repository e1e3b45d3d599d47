//! Whoever wants to watch a pool.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::{
    Acquired, Adopted, Checked, Closed, Configured, ConnectFailed, Connected, Recycled, Rejected,
    Returned, TimedOut, WaitEnded,
};
use crate::loan::Loan;
use crate::primitives::{Arc, contain};
use crate::trace::Tracer;

macro_rules! observer {
    ($($(#[$doc:meta])* $event:ident($($what:ident: $type:ty)?),)*) => {
        /// Is told what happens in a pool. Every method has an empty default.
        ///
        /// The pool calls it on whichever thread something happens, without any lock held. It should be
        /// quick: a slow observer slows down the one who is being observed. One that panics changes
        /// nothing; the panic is reported by the panic hook and goes no further.
        ///
        /// What happens to one connection is told in this order: connected or adopted, then acquired and
        /// returned for every loan, with checked and recycled in between, and closed in the end. One that
        /// is adopted may be lent before that is told; and where two threads meet, `leak_returned` may be
        /// told before `leaked`, and the older of two sizes after the newer. An attempt to connect whose
        /// task the runtime drops has no end that is told.
        ///
        /// A pool that is observed reads the clock twice for each loan (and for each wait once more),
        /// which one that is not does only when it has to wait.
        pub trait Observer: Send + Sync + 'static {
            $(
                $(#[$doc])*
                fn $event(&self $(, $what: $type)?) {
                    $(let _ = $what;)?
                }
            )*
        }

        impl<O: Observer + ?Sized> Observer for Arc<O> {
            $(
                fn $event(&self $(, $what: $type)?) {
                    (**self).$event($($what)?);
                }
            )*
        }
    };
}

observer! {
    /// The pool was built, or a setting was changed.
    configured(event: &Configured),
    /// An attempt to connect begins.
    connecting(),
    /// A connection was made.
    connected(event: &Connected),
    /// An attempt to connect failed.
    connect_failed(event: &ConnectFailed<'_>),
    /// A connection was [adopted](crate::Pool::adopt).
    adopted(event: &Adopted),
    /// A check of an idle connection has come to its end.
    checked(event: &Checked),
    /// The recycling of a connection has come to its end.
    recycled(event: &Recycled),
    /// A caller begins to wait.
    wait_began(),
    /// A caller that waited does so no more: told once for every [`wait_began`](Self::wait_began).
    wait_ended(event: &WaitEnded),
    /// A connection was lent.
    acquired(event: &Acquired),
    /// A loan has ended: the connection was given back by its holder, in whatever condition, or
    /// detached.
    returned(event: &Returned),
    /// A connection has been lent for longer than the
    /// [`leak_threshold`](crate::Builder::leak_threshold). Told once for each loan.
    leaked(loan: &Loan),
    /// A connection came back after all, or was detached, after it was reported as
    /// [leaked](Self::leaked).
    leak_returned(loan: &Loan),
    /// A caller's deadline passed.
    timed_out(event: &TimedOut),
    /// A caller was turned away although he had time.
    rejected(event: &Rejected),
    /// A connection has left the pool; its place is free next.
    closed(event: &Closed),
    /// The pool was [paused](crate::Pool::pause).
    paused(),
    /// The pool was [resumed](crate::Pool::resume).
    resumed(),
    /// The pool was [reset](crate::Pool::reset).
    reset(),
    /// The pool begins to close: by [`close`](crate::Pool::close), or with its last handle.
    closing(),
}

/// All who are told, and what the pool is called.
#[derive(Clone, Default)]
pub(crate) struct Audience {
    /// The log, which is told of all but loans that need no wait.
    pub(crate) tracer: Tracer,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
}

impl Audience {
    pub(crate) fn name(&self) -> Option<&str> {
        self.tracer.pool.as_deref()
    }

    /// Tells everybody, and the log. A panic goes no further than to whom it belongs.
    pub(crate) fn tell(&self, tell: impl Fn(&dyn Observer)) {
        if Tracer::IS_TOLD {
            contain(|| tell(&self.tracer));
        }
        for observer in &self.observers {
            contain(|| tell(&**observer));
        }
    }

    /// True if anybody might be told of a wait.
    pub(crate) fn listens(&self) -> bool {
        !self.observers.is_empty() || self.tracer.listens()
    }
}

impl Drop for Audience {
    /// Each has a destructor of its own.
    fn drop(&mut self) {
        for observer in self.observers.drain(..) {
            contain(|| drop(observer));
        }
    }
}

/// Whether anybody cares: all that the hot path asks.
///
/// Not a checked atomic: nothing is ordered by it. A loan that began before it was on is told by
/// nothing but its return.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Somebody wants to know of every loan.
    on: AtomicBool,
    /// Loans are noted down, to report those that are overdue.
    loans: AtomicBool,
}

impl Watch {
    pub(crate) fn new(audience: &Audience) -> Self {
        Watch {
            on: AtomicBool::new(!audience.observers.is_empty()),
            loans: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// From now on loans are noted down.
    pub(crate) fn note_loans(&self) {
        self.loans.store(true, Ordering::Relaxed);
        self.on.store(true, Ordering::Relaxed);
    }

    pub(crate) fn notes_loans(&self) -> bool {
        self.loans.load(Ordering::Relaxed)
    }
}
