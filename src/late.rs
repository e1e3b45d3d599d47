//! Blocking connects, some of which outlive their time-out.
//!
//! A blocking call cannot be interrupted: one that was given up on goes on, on its thread. So
//! whoever awaits a connect takes the outcome of *any* call, the first that comes; a new call is
//! begun for each, unless too many are under way that nobody awaits any more; and what is made
//! for nobody is closed as soon as it is made. A slow server costs no connections then, and a
//! hung call or two do not keep the pool from the server.

use std::collections::VecDeque;

use crate::bell::Bell;
use crate::primitives::Mutex;

/// So many calls that nobody awaits may be under way before no more are begun.
const MOST_ABANDONED: usize = 4;

#[derive(Debug)]
pub(crate) struct Calls<T> {
    books: Mutex<Books<T>>,
    delivered: Bell,
}

#[derive(Debug)]
struct Books<T> {
    /// Those who await an outcome.
    awaiting: usize,
    under_way: usize,
    /// Never more than are awaited. Under the same lock as the counts: an outcome that is one too
    /// many must be gone before somebody else can take it.
    outcomes: VecDeque<T>,
}

impl<T> Calls<T> {
    pub(crate) fn new() -> Self {
        Calls {
            books: Mutex::new(Books {
                awaiting: 0,
                under_way: 0,
                outcomes: VecDeque::new(),
            }),
            delivered: Bell::default(),
        }
    }

    /// Somebody wants an outcome. True if a call is to be begun for that.
    pub(crate) fn want(&self) -> bool {
        let mut books = self.books.lock();
        books.awaiting += 1;
        let fresh = books.under_way < books.awaiting + MOST_ABANDONED;
        books.under_way += usize::from(fresh);
        fresh
    }

    /// A call is over. Its outcome comes back if nobody awaits it.
    pub(crate) fn deliver(&self, outcome: T) -> Option<T> {
        {
            let mut books = self.books.lock();
            books.under_way -= 1;
            if books.outcomes.len() >= books.awaiting {
                return Some(outcome);
            }
            books.outcomes.push_back(outcome);
        }
        self.delivered.ring();
        None
    }

    pub(crate) async fn next(&self) -> T {
        let take = || {
            let mut books = self.books.lock();
            let outcome = books.outcomes.pop_front()?;
            books.awaiting -= 1;
            Some(outcome)
        };
        self.delivered.until(take).await
    }

    /// Somebody gives up. If there is now an outcome too many, it comes back.
    pub(crate) fn give_up(&self) -> Option<T> {
        let mut books = self.books.lock();
        books.awaiting -= 1;
        let excess = books.outcomes.len() > books.awaiting;
        let excess = excess && !cfg!(mutant = "late-outcome-is-kept");
        excess.then(|| books.outcomes.pop_back()).flatten()
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
        assert_eq!(futures_lite::future::block_on(calls.next()), 1);
        assert_eq!(calls.deliver(2), Some(2), "nobody awaits the other");
    }

    #[test]
    fn outcome_that_came_too_late_is_handed_out_to_be_disposed_of() {
        let calls = Calls::new();
        assert!(calls.want());
        assert_eq!(calls.deliver(1), None);
        assert_eq!(calls.give_up(), Some(1), "one too many");
        assert!(calls.want());
        assert_eq!(calls.deliver(2), None, "the books are straight");
        let next = futures_lite::future::block_on(calls.next());
        assert_eq!(next, 2, "nobody takes what is to be disposed of");
    }

    #[test]
    fn outcome_stays_for_the_one_who_still_awaits_it() {
        let calls = Calls::new();
        assert!(calls.want() && calls.want());
        assert_eq!(calls.deliver(1), None);
        assert_eq!(calls.give_up(), None);
        assert_eq!(futures_lite::future::block_on(calls.next()), 1);
    }

    #[test]
    fn calls_that_are_over_are_under_way_no_more() {
        let calls = Calls::new();
        for n in 0..20 {
            assert!(calls.want(), "the {n}th begins one of its own");
            assert_eq!(calls.deliver(n), None);
            assert_eq!(futures_lite::future::block_on(calls.next()), n);
        }
    }

    #[test]
    fn hung_calls_do_not_pile_up() {
        let calls = Calls::<()>::new();
        let begun = (0..20).filter(|_| {
            let fresh = calls.want();
            let _ = calls.give_up();
            fresh
        });
        assert_eq!(begun.count(), MOST_ABANDONED + 1);
    }
}
