//! What a transition asks for.

use std::task::Waker;
use std::time::Duration;

use super::Live;
use crate::attempts::AttemptId;
use crate::clock::Moment;
use crate::error::{ConnectError, Phase};
use crate::loan::Loan;
use crate::status::CloseReason;

/// How it ended for a waiter.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) enum Outcome<C, E> {
    Connection(Box<Live<C>>),
    Failed(ConnectError<E>),
    /// It was its turn, but its deadline had passed.
    Late {
        phase: Phase,
        since: Moment,
    },
    /// The pool is overloaded.
    Shed {
        waited: Duration,
    },
    Closed,
}

/// What is to be done once the lock is released.
#[derive(Debug)]
#[must_use = "the state has changed already: what follows from it must be done"]
pub(crate) struct Effects<C, E> {
    /// The first waker, apart so that a hand-off allocates nothing.
    pub(crate) wake: Option<Waker>,
    pub(crate) wake_more: Vec<Waker>,
    /// Connections to close. Their places are in [`Stage::Closing`](super::Stage).
    pub(crate) close: Vec<(Box<Live<C>>, CloseReason)>,
    /// Connections to check. Their places are in [`Stage::Checking`](super::Stage).
    pub(crate) check: Vec<(Box<Live<C>>, AttemptId)>,
    /// Attempts to connect to begin. Their places are in [`Stage::Connecting`](super::Stage).
    pub(crate) connect: Vec<AttemptId>,
    /// Loans to report.
    pub(crate) leaked: Vec<Loan>,
    /// Something is due before the keeper wakes.
    pub(crate) nudge: bool,
    /// Somebody waits, and the keeper is gone.
    pub(crate) revive: bool,
    /// Something has happened that `fill` may be waiting for.
    pub(crate) progress: bool,
    /// The pool is closed, and the last place has been given back.
    pub(crate) drained: bool,
    /// Errors that were replaced: the user's destructor must not run under the lock.
    pub(crate) garbage: Option<ConnectError<E>>,
}

impl<C, E> Effects<C, E> {
    pub(crate) fn new() -> Self {
        Effects {
            wake: None,
            wake_more: Vec::new(),
            close: Vec::new(),
            check: Vec::new(),
            connect: Vec::new(),
            leaked: Vec::new(),
            nudge: false,
            revive: false,
            progress: false,
            drained: false,
            garbage: None,
        }
    }

    /// True if nothing is to be done, but perhaps to wake the first.
    #[inline]
    pub(crate) fn is_no_more(&self) -> bool {
        let Effects {
            wake: _,
            wake_more,
            close,
            check,
            connect,
            leaked,
            nudge,
            revive,
            progress,
            drained,
            garbage,
        } = self;
        let flags = *nudge || *revive || *progress || *drained;
        let tasks = !(close.is_empty() && check.is_empty() && connect.is_empty());
        !(flags || tasks) && wake_more.is_empty() && leaked.is_empty() && garbage.is_none()
    }

    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        match waker {
            Some(waker) if self.wake.is_none() => self.wake = Some(waker),
            Some(waker) => self.wake_more.push(waker),
            None => {}
        }
    }
}
