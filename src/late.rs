//! Blocking connects that outlive their time-out.
//!
//! A blocking call cannot be interrupted. A connect that was given up on goes on, on its thread:
//! the next attempt takes it over rather than beginning another beside it, so there are never
//! more of them than places; and if none does, what it makes is closed as soon as it is made.

use std::sync::atomic::{AtomicU8, Ordering};

use async_channel::Receiver;

use crate::primitives::{Arc, Mutex};

const AWAITED: u8 = 0;
const ABANDONED: u8 = 1;
/// Its outcome is in the channel, or about to be.
const DELIVERED: u8 = 2;
/// Its outcome has been disposed of.
const DISPOSED: u8 = 3;

/// Which of the two has the outcome: the one who waits, or the call itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate(Arc<AtomicU8>);

impl Fate {
    fn turn(&self, from: u8, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.compare_exchange(from, to, success, failure).is_ok()
    }

    /// The call is over: true if somebody awaits its outcome, false if it must dispose of it.
    pub(crate) fn deliver(&self) -> bool {
        loop {
            if self.turn(AWAITED, DELIVERED) {
                return true;
            }
            if self.turn(ABANDONED, DISPOSED) {
                return false;
            }
        }
    }

    /// Nobody awaits the outcome any more. False if it has been delivered already.
    fn abandon(&self) -> bool {
        self.turn(AWAITED, ABANDONED)
    }

    fn take_over(&self) -> bool {
        self.turn(ABANDONED, AWAITED)
    }
}

/// A call under way, and where its outcome will be.
#[derive(Debug)]
pub(crate) struct Call<T> {
    pub(crate) fate: Fate,
    pub(crate) outcome: Receiver<T>,
}

/// The calls that nobody awaits.
#[derive(Debug)]
pub(crate) struct Late<T> {
    calls: Mutex<Vec<Call<T>>>,
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Late {
            calls: Mutex::new(Vec::new()),
        }
    }
}

impl<T> Late<T> {
    /// Takes over a call that is still under way.
    pub(crate) fn take_over(&self) -> Option<Call<T>> {
        let mut calls = self.calls.lock();
        while let Some(call) = calls.pop() {
            if call.fate.take_over() {
                return Some(call);
            }
        }
        None
    }

    /// Gives up on a call. If its outcome has been delivered already it comes back, to be
    /// disposed of.
    pub(crate) fn abandon(&self, call: Call<T>) -> Option<Receiver<T>> {
        if !call.fate.abandon() {
            return Some(call.outcome);
        }
        let mut calls = self.calls.lock();
        calls.retain(|other| other.fate.0.load(Ordering::Acquire) == ABANDONED);
        calls.push(call);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call<u8> {
        Call {
            fate: Fate::default(),
            outcome: async_channel::bounded(1).1,
        }
    }

    #[test]
    fn abandoned_call_is_taken_over_once() {
        let late = Late::default();
        let call = call();
        let fate = call.fate.clone();
        assert!(late.abandon(call).is_none());
        let taken = late.take_over().expect("it is under way");
        assert!(late.take_over().is_none());
        assert!(fate.deliver(), "it is awaited again");
        assert!(
            late.abandon(taken).is_some(),
            "too late: it has been delivered"
        );
    }

    #[test]
    fn call_that_nobody_took_over_disposes_of_its_outcome() {
        let late = Late::default();
        let call = call();
        let fate = call.fate.clone();
        assert!(late.abandon(call).is_none());
        assert!(!fate.deliver());
        assert!(late.take_over().is_none(), "it is over");
    }
}
