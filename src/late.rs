//! Blocking connects, some of which outlive their time-out.
//!
//! A blocking call cannot be interrupted: one that was given up on goes on, on its thread. So
//! whoever awaits a connect takes the outcome of *any* call, the first that comes; a new call is
//! begun for each, unless too many are under way that nobody awaits any more; and what is made
//! for nobody is closed as soon as it is made. A slow server costs no connections then, and a
//! hung call or two do not keep the pool from the server. The failure of a call that was given up on
//! is news of yesterday: it is for those who have no call of their own.

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
    /// The number of the last call.
    last: u64,
    /// The calls that were begun for those who await one, until their outcomes are taken, in their order.
    /// Never more than are awaited: if one takes the outcome of another call, the oldest is nobody's.
    own: VecDeque<u64>,
    /// Of which call, and what it came to. Never more than are awaited. Under the same lock as the counts:
    /// an outcome that is one too many must be gone before somebody else can take it.
    outcomes: VecDeque<(u64, T)>,
}

impl<T> Books<T> {
    /// One less awaits an outcome, and nobody does that of this call.
    fn leaves(&mut self, call: Option<u64>) {
        self.awaiting -= 1;
        self.own.retain(|own| Some(*own) != call);
        while self.own.len() > self.awaiting {
            self.own.pop_front();
        }
    }
}

impl<T> Calls<T> {
    pub(crate) fn new() -> Self {
        Calls {
            books: Mutex::new(Books {
                awaiting: 0,
                under_way: 0,
                last: 0,
                own: VecDeque::new(),
                outcomes: VecDeque::new(),
            }),
            delivered: Bell::default(),
        }
    }

    /// Somebody wants an outcome. If a call is to be begun for that, its number.
    pub(crate) fn want(&self) -> Option<u64> {
        let mut books = self.books.lock();
        books.awaiting += 1;
        let fresh = books.under_way < books.awaiting + MOST_ABANDONED;
        fresh.then(|| {
            books.under_way += 1;
            books.last += 1;
            let call = books.last;
            books.own.push_back(call);
            call
        })
    }

    /// A call is over. Its outcome comes back if nobody awaits it, or if it is a failure and nobody has
    /// to make do with that.
    pub(crate) fn deliver(&self, call: u64, outcome: T, has_failed: bool) -> Option<T> {
        {
            let mut books = self.books.lock();
            books.under_way -= 1;
            let all_have_own = books.own.len() == books.awaiting && !books.own.contains(&call);
            if books.outcomes.len() >= books.awaiting || (has_failed && all_have_own) {
                books.own.retain(|own| *own != call);
                return Some(outcome);
            }
            books.outcomes.push_back((call, outcome));
        }
        self.delivered.ring();
        None
    }

    pub(crate) async fn next(&self) -> T {
        let take = || {
            let mut books = self.books.lock();
            let (call, outcome) = books.outcomes.pop_front()?;
            books.leaves(Some(call));
            Some(outcome)
        };
        self.delivered.until(take).await
    }

    /// Somebody gives up, for whom this call was begun. If there is now an outcome too many, it comes back.
    pub(crate) fn give_up(&self, call: Option<u64>) -> Option<T> {
        let mut books = self.books.lock();
        let excess = books.outcomes.len() >= books.awaiting;
        let excess = excess && !cfg!(mutant = "late-outcome-is-kept");
        let excess = excess.then(|| books.outcomes.pop_back()).flatten();
        // What is disposed of, nobody waits for: the leaver's own may be there for another.
        books.leaves(excess.as_ref().map(|(of, _)| *of).or(call));
        excess.map(|(_, outcome)| outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins a call for somebody.
    fn want<T>(calls: &Calls<T>) -> u64 {
        calls.want().expect("not too many are under way")
    }

    fn next<T>(calls: &Calls<T>) -> T {
        futures_lite::future::block_on(calls.next())
    }

    #[test]
    fn outcome_goes_to_whoever_awaits_one() {
        let calls = Calls::new();
        let first = want(&calls);
        assert_eq!(
            calls.give_up(Some(first)),
            None,
            "the first call was abandoned"
        );
        let second = want(&calls);
        assert_eq!(calls.deliver(first, 1, false), None);
        assert_eq!(next(&calls), 1);
        let unwanted = calls.deliver(second, 2, false);
        assert_eq!(unwanted, Some(2), "nobody awaits the other");
    }

    #[test]
    fn outcome_that_came_too_late_is_handed_out_to_be_disposed_of() {
        let calls = Calls::new();
        let first = want(&calls);
        assert_eq!(calls.deliver(first, 1, false), None);
        assert_eq!(calls.give_up(Some(first)), Some(1), "one too many");
        let second = want(&calls);
        assert_eq!(
            calls.deliver(second, 2, true),
            None,
            "the books are straight"
        );
        assert_eq!(next(&calls), 2, "nobody takes what is to be disposed of");
    }

    #[test]
    fn outcome_stays_for_the_one_who_still_awaits_it() {
        let calls = Calls::new();
        let (first, _) = (want(&calls), want(&calls));
        assert_eq!(calls.deliver(first, 1, false), None);
        assert_eq!(calls.give_up(Some(first)), None);
        assert_eq!(next(&calls), 1);
    }

    #[test]
    fn failure_of_a_call_that_was_given_up_on_is_for_nobody_with_one_of_his_own() {
        let calls = Calls::new();
        let (first, second) = (want(&calls), want(&calls));
        assert_eq!(calls.give_up(Some(first)), None);
        assert_eq!(calls.give_up(Some(second)), None);
        let third = want(&calls);
        assert_eq!(calls.deliver(first, 1, true), Some(1), "news of yesterday");
        assert_eq!(calls.deliver(second, 2, false), None, "as good as any");
        let fourth = want(&calls);
        assert_eq!(next(&calls), 2);
        // Of the two that were begun the older one is nobody's, whoever took the other outcome.
        assert_eq!(calls.deliver(third, 3, true), Some(3));
        assert_eq!(calls.deliver(fourth, 4, true), None);
        assert_eq!(next(&calls), 4);
    }

    #[test]
    fn failure_of_any_call_is_for_one_who_has_none() {
        let calls = Calls::new();
        let hung: Vec<_> = (0..=MOST_ABANDONED)
            .map(|_| {
                let call = want(&calls);
                assert_eq!(calls.give_up(Some(call)), None);
                call
            })
            .collect();
        assert_eq!(calls.want(), None, "too many are under way");
        assert_eq!(calls.deliver(hung[2], 2, true), None);
        assert_eq!(next(&calls), 2);
        assert_eq!(calls.deliver(hung[1], 1, true), Some(1));
    }

    #[test]
    fn failure_is_for_whoever_is_left_if_it_was_the_other_who_gave_up() {
        let calls = Calls::new();
        let (first, second) = (want(&calls), want(&calls));
        assert_eq!(calls.give_up(Some(second)), None);
        assert_eq!(calls.deliver(first, 1, true), None);
        assert_eq!(next(&calls), 1);
    }

    /// However calls end, and whoever has none, the last to end is heard of.
    #[test]
    fn nobody_is_left_with_no_call_and_no_outcome() {
        let calls = Calls::new();
        let begun: Vec<_> = (0..8).map(|_| want(&calls)).collect();
        for call in &begun[..7] {
            assert_eq!(calls.give_up(Some(*call)), None);
        }
        assert_eq!(calls.deliver(begun[0], 0, false), None);
        assert_eq!(calls.deliver(begun[7], 7, true), Some(7), "one is enough");
        assert_eq!(calls.want(), None, "too many are under way");
        assert_eq!(next(&calls), 0);
        assert_eq!(calls.deliver(begun[1], 1, true), None);
        assert_eq!(next(&calls), 1);
    }

    #[test]
    fn whoever_gives_up_leaves_his_outcome_to_another() {
        let calls = Calls::new();
        let old = want(&calls);
        assert_eq!(calls.give_up(Some(old)), None);
        let [first, second] = [want(&calls), want(&calls)];
        assert_eq!(calls.deliver(first, 1, false), None);
        assert_eq!(calls.deliver(second, 2, false), None);
        assert_eq!(calls.give_up(Some(first)), Some(2));
        let third = want(&calls);
        assert_eq!(calls.deliver(old, 0, true), Some(0));
        assert_eq!(next(&calls), 1);
        assert_eq!(calls.deliver(third, 3, true), None);
        assert_eq!(next(&calls), 3);
    }

    /// The same for everything that may happen, in all orders, to a few who want an outcome.
    #[test]
    fn whoever_awaits_has_a_call_under_way_or_an_outcome() {
        for seed in 0..3000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let calls = Calls::new();
            let (mut waiting, mut under_way) = (Vec::new(), Vec::new());
            for _ in 0..60 {
                match rng.u8(0..4) {
                    0 if waiting.len() < 4 => {
                        let call = calls.want();
                        under_way.extend(call);
                        waiting.push(call);
                    }
                    1 if !waiting.is_empty() => {
                        let _ = calls.give_up(waiting.swap_remove(rng.usize(..waiting.len())));
                    }
                    2 if !under_way.is_empty() => {
                        let call = under_way.swap_remove(rng.usize(..under_way.len()));
                        let _ = calls.deliver(call, call, rng.bool());
                    }
                    _ if !calls.books.lock().outcomes.is_empty() => {
                        let _ = next(&calls);
                        waiting.swap_remove(rng.usize(..waiting.len()));
                    }
                    _ => {}
                }
                let books = calls.books.lock();
                assert_eq!(
                    (books.awaiting, books.under_way),
                    (waiting.len(), under_way.len())
                );
                assert!(books.outcomes.len() <= books.awaiting, "seed {seed}");
                assert!(books.own.len() <= books.awaiting, "seed {seed}");
                let is_left = |own: &u64| {
                    under_way.contains(own) || books.outcomes.iter().any(|(call, _)| call == own)
                };
                assert!(books.own.iter().all(is_left), "seed {seed}: {books:?}");
                let left = books.outcomes.len() + books.under_way;
                assert!(books.awaiting <= left, "seed {seed}: {books:?}");
            }
        }
    }

    #[test]
    fn outcomes_of_each_other_are_as_good_as_ones_own() {
        let calls = Calls::new();
        let (first, second) = (want(&calls), want(&calls));
        assert_eq!(calls.deliver(second, 2, true), None);
        assert_eq!(next(&calls), 2);
        assert_eq!(calls.deliver(first, 1, true), None);
        assert_eq!(next(&calls), 1);
    }

    #[test]
    fn calls_that_are_over_are_under_way_no_more() {
        let calls = Calls::new();
        for n in 0..20 {
            let call = want(&calls);
            assert_eq!(calls.deliver(call, n, false), None);
            assert_eq!(next(&calls), n);
        }
    }

    #[test]
    fn hung_calls_do_not_pile_up() {
        let calls = Calls::<()>::new();
        let begun = (0..20).filter(|_| {
            let call = calls.want();
            let _ = calls.give_up(call);
            call.is_some()
        });
        assert_eq!(begun.count(), MOST_ABANDONED + 1);
    }
}
