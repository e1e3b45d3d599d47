//! What callers and guards are told by the transitions that they call for.

use std::task::Waker;
use std::time::Duration;

use super::{Live, Outcome};
use crate::clock::Moment;
use crate::error::{ConnectError, Phase};
use crate::status::CloseReason;

/// What a caller gets without waiting.
#[derive(Debug)]
pub(crate) enum Lend<C> {
    Connection(Box<Live<C>>),
    /// Nothing that could be lent without overtaking somebody or checking first.
    Unavailable,
    /// It is paused, and says so.
    Paused,
    Closed,
}

/// How a call to `acquire` begins.
#[derive(Debug)]
pub(crate) enum Join<C, E> {
    Served(Box<Live<C>>),
    Queued {
        key: usize,
        /// Something is under way, or about to be, that may serve it, or that it may have to see to.
        busy: bool,
    },
    Rejected(Refusal<E>),
    Closed,
}

/// Why a caller may not join the queue.
#[derive(Debug)]
pub(crate) enum Refusal<E> {
    Paused,
    QueueFull,
    /// The server counts as down.
    CircuitBroken(ConnectError<E>),
}

/// What becomes of a connection that was given back.
#[derive(Debug)]
pub(crate) enum Returned<C> {
    Kept,
    /// Its place is in [`Stage::Recycling`].
    Recycle(Box<Live<C>>),
    /// Its place is in [`Stage::Closing`].
    Close(Box<Live<C>>, CloseReason),
}

impl<C> From<Option<(Box<Live<C>>, CloseReason)>> for Returned<C> {
    fn from(rejected: Option<(Box<Live<C>>, CloseReason)>) -> Self {
        match rejected {
            Some((live, reason)) => Returned::Close(live, reason),
            None => Returned::Kept,
        }
    }
}

/// How a connection comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    Dirty,
    Condemned(CloseReason),
}

/// How things stand for a waiter.
#[derive(Debug)]
pub(crate) enum Turn<C, E> {
    /// It has been served, and is out of the queue.
    Over(Outcome<C, E>),
    /// It waits on, with another waker: [`leave`](State::leave_waker) it, and look again.
    LeaveWaker,
    /// A task that should have connected was dropped: [`drive`](State::drive) an attempt yourself.
    Drive,
    /// Nobody else goes on: call [`State::advance`], and look again.
    Advance,
    /// Wait on; but call [`State::advance`] at this time, for the keeper is gone and will not.
    Wait(Moment),
}

/// Why a deadline that passed was missed.
#[derive(Debug)]
pub(crate) struct Missed<E> {
    pub(crate) phase: Phase,
    pub(crate) since: Moment,
    pub(crate) cause: Option<ConnectError<E>>,
}

/// What [`State::time_out`] finds.
#[derive(Debug)]
pub(crate) enum TimeOut<C, E> {
    Missed(Missed<E>, Option<Waker>),
    /// It was served at the last moment.
    Served(Outcome<C, E>),
}

/// How it had ended for a waiter that went away without having seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// Not at all, or with a connection.
    Cancelled,
    Failed,
    Late(Phase),
    Shed {
        waited: Duration,
    },
    Closed,
}
