//! Blocking connects, some of which outlive their time-out.
//!
//! A blocking call cannot be interrupted: one that was given up on goes on, on its thread. So
//! whoever awaits a connect takes the outcome of *any* call, the first that comes; a new call is
//! begun for each, unless too many are under way that nobody awaits any more; and what is made
//! for nobody is closed as soon as it is made. A slow server costs no connections then, and a
//! hung call or two do not keep the pool from the server.

use async_channel::{Receiver, Sender};

use crate::primitives::Mutex;

/// So many calls that nobody awaits may be under way before no more are begun.
const MOST_ABANDONED: isize = 4;

#[derive(Debug)]
pub(crate) struct Calls<T> {
    counts: Mutex<Counts>,
    /// Never holds more than what somebody awaits.
    outcomes: (Sender<T>, Receiver<T>),
}

#[derive(Debug, Default)]
struct Counts {
    /// Those who await an outcome.
    awaiting: isize,
    under_way: isize,
    /// Outcomes in the channel, or about to be, less those that are to be disposed of. All are
    /// alike: whoever comes first may take what was meant to be disposed of. Then this is below
    /// zero, and a later one is disposed of in its stead.
    delivered: isize,
}

impl<T> Calls<T> {
    pub(crate) fn new() -> Self {
        Calls {
            counts: Mutex::default(),
            outcomes: async_channel::unbounded(),
        }
    }

    /// Somebody wants an outcome. True if a call is to be begun for that.
    pub(crate) fn want(&self) -> bool {
        let mut counts = self.counts.lock();
        counts.awaiting += 1;
        let wanted = counts.awaiting - counts.delivered.min(0);
        let fresh = counts.under_way < wanted + MOST_ABANDONED;
        counts.under_way += isize::from(fresh);
        fresh
    }

    /// A call is over. Its outcome comes back if nobody awaits it.
    pub(crate) fn deliver(&self, outcome: T) -> Option<T> {
        let wanted = {
            let mut counts = self.counts.lock();
            counts.under_way -= 1;
            let wanted = counts.delivered < counts.awaiting;
            counts.delivered += isize::from(wanted);
            wanted
        };
        match wanted {
            // It has room without end, and is never closed.
            true => self
                .outcomes
                .0
                .try_send(outcome)
                .err()
                .map(|refused| refused.into_inner()),
            false => Some(outcome),
        }
    }

    pub(crate) async fn next(&self) -> Option<T> {
        let outcome = self.outcomes.1.recv().await.ok();
        let mut counts = self.counts.lock();
        counts.awaiting -= 1;
        counts.delivered -= 1;
        outcome
    }

    /// Somebody gives up. If there is now an outcome too many, its receiver comes back, for one
    /// outcome to be taken from it and disposed of.
    pub(crate) fn give_up(&self) -> Option<Receiver<T>> {
        let mut counts = self.counts.lock();
        counts.awaiting -= 1;
        let excess = counts.delivered > counts.awaiting;
        counts.delivered -= isize::from(excess);
        let excess = excess && !cfg!(mutant = "late-outcome-is-kept");
        excess.then(|| self.outcomes.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_goes_to_whoever_awaits_one() {
        let calls = Calls::new();
        assert!(calls.want());
        assert!(calls.give_up().is_none(), "the first call was abandoned");
        assert!(calls.want(), "and another begun");
        assert_eq!(calls.deliver(1), None);
        assert_eq!(futures_lite::future::block_on(calls.next()), Some(1));
        assert_eq!(calls.deliver(2), Some(2), "nobody awaits the other");
    }

    #[test]
    fn outcome_that_came_too_late_is_handed_out_to_be_disposed_of() {
        let calls = Calls::new();
        assert!(calls.want());
        assert_eq!(calls.deliver(1), None);
        let left = calls.give_up().expect("one too many");
        assert_eq!(left.try_recv(), Ok(1));
        assert!(calls.want());
        assert_eq!(calls.deliver(2), None, "the books are straight");
    }

    #[test]
    fn outcome_that_somebody_took_from_its_disposal_is_replaced_by_a_later_one() {
        let calls = Calls::new();
        assert!(calls.want());
        assert_eq!(calls.deliver(1), None);
        let left = calls.give_up().expect("one too many");
        assert!(calls.want());
        assert_eq!(futures_lite::future::block_on(calls.next()), Some(1));
        assert_eq!(
            calls.deliver(2),
            None,
            "it is waited for, to be disposed of"
        );
        assert_eq!(left.try_recv(), Ok(2));
        assert!(calls.want());
        assert_eq!(calls.deliver(3), None, "the books are straight");
    }

    #[test]
    fn hung_calls_do_not_pile_up() {
        let calls = Calls::<()>::new();
        let begun = (0..20).filter(|_| {
            let fresh = calls.want();
            let _ = calls.give_up();
            fresh
        });
        assert_eq!(begun.count() as isize, MOST_ABANDONED + 1);
    }
}
