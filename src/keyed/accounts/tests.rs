use std::time::Duration;

use super::*;

/// How a tenant stands that takes up so many places, holds so many, and would use so many more.
fn standing(size: usize, places: usize, hunger: usize) -> Standing {
    Standing {
        size,
        places,
        hunger,
        spare: 0,
        idle_since: None,
        waiting_since: None,
        remembers: false,
    }
}

/// Accounts of tenants that may hold ten places each.
struct Ledger {
    accounts: Accounts,
    start: Instant,
    tenants: Vec<Account>,
}

impl Ledger {
    fn new(places: usize, tenants: usize) -> Self {
        Ledger {
            accounts: Accounts::new(places),
            start: Instant::now(),
            tenants: vec![Account::default(); tenants],
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn note(&mut self, tenant: usize, standing: Standing, ms: u64) {
        let since = self.at(ms);
        let account = &mut self.tenants[tenant];
        let id = TenantId(tenant as u64);
        self.accounts.note(id, account, standing, 10, since);
    }

    fn grant(&mut self, tenant: usize, ms: u64) {
        let at = self.at(ms);
        let account = &mut self.tenants[tenant];
        self.accounts.granted(TenantId(tenant as u64), account, at);
    }

    fn next(&self) -> Option<u64> {
        self.accounts.next_to_serve().map(|id| id.0)
    }

    /// Free, owed, wanted and pending.
    fn numbers(&self) -> [usize; 4] {
        let accounts = &self.accounts;
        [
            accounts.free,
            accounts.owed,
            accounts.wanted,
            accounts.pending(),
        ]
    }
}

#[test]
fn places_are_free_held_or_owed() {
    let mut ledger = Ledger::new(9, 2);
    assert_eq!(ledger.numbers(), [9, 0, 0, 0]);
    ledger.note(0, standing(3, 3, 0), 0);
    ledger.note(1, standing(1, 2, 0), 0);
    assert_eq!(ledger.numbers(), [4, 0, 0, 0]);
    ledger.note(0, standing(3, 1, 0), 1);
    assert_eq!(ledger.numbers(), [4, 2, 0, 2]);
    assert_eq!((ledger.tenants[0].owed, ledger.tenants[1].owed), (2, 0));
    ledger.note(1, standing(2, 1, 0), 1);
    assert_eq!(ledger.numbers(), [4, 3, 0, 3]);
    ledger.note(0, standing(1, 1, 0), 2);
    assert_eq!(ledger.numbers(), [6, 1, 0, 1]);
    ledger.note(0, standing(0, 0, 0), 3);
    ledger.note(1, standing(0, 0, 0), 3);
    assert_eq!(ledger.numbers(), [9, 0, 0, 0]);
}

#[test]
fn hunger_is_counted_up_to_what_a_tenant_may_hold() {
    let mut ledger = Ledger::new(20, 3);
    ledger.note(0, standing(0, 0, 3), 0);
    ledger.note(1, standing(8, 8, 5), 0);
    assert_eq!(ledger.numbers(), [12, 0, 5, 2]);
    ledger.note(0, standing(1, 1, 2), 0);
    assert_eq!(ledger.numbers(), [11, 0, 4, 2]);
    ledger.note(2, standing(10, 10, 4), 0);
    assert_eq!(ledger.numbers(), [1, 0, 4, 2], "it has all it may have");
}

#[test]
fn more_is_given_up_only_while_less_is_owed_than_wanted() {
    let mut ledger = Ledger::new(4, 2);
    ledger.note(0, standing(4, 4, 0), 0);
    assert!(!ledger.accounts.are_short());
    ledger.note(1, standing(0, 0, 2), 0);
    assert!(ledger.accounts.are_short());
    ledger.note(0, standing(4, 3, 0), 1);
    assert!(ledger.accounts.are_short());
    ledger.note(0, standing(4, 2, 0), 2);
    assert!(!ledger.accounts.are_short());
    ledger.note(0, standing(4, 1, 0), 3);
    assert!(!ledger.accounts.are_short());
}

/// The books may be brought up to date by one who grants nothing.
#[test]
fn nothing_is_given_up_for_those_for_whom_a_place_is_free_already() {
    let mut ledger = Ledger::new(3, 2);
    ledger.note(0, standing(3, 2, 0), 0);
    ledger.note(1, standing(0, 0, 1), 1);
    assert!(!ledger.accounts.are_short() && ledger.accounts.outranks(ledger.at(2)).is_none());
    ledger.note(0, standing(2, 2, 0), 2);
    assert_eq!(ledger.numbers(), [1, 0, 1, 1]);
    assert!(!ledger.accounts.are_short() && ledger.accounts.outranks(ledger.at(2)).is_none());
    ledger.note(1, standing(0, 0, 2), 1);
    assert!(ledger.accounts.are_short());
}

#[test]
fn the_one_that_has_been_hungry_longest_is_next_if_a_place_is_free() {
    let mut ledger = Ledger::new(1, 3);
    assert_eq!(ledger.next(), None);
    ledger.note(1, standing(0, 0, 1), 5);
    ledger.note(0, standing(0, 0, 1), 3);
    ledger.note(2, standing(0, 0, 1), 3);
    assert_eq!(ledger.next(), Some(0), "before the one that came then, too");
    ledger.note(0, standing(0, 1, 0), 4);
    assert_eq!(ledger.next(), None, "there is no place");
    ledger.note(0, standing(0, 0, 0), 5);
    assert_eq!(ledger.next(), Some(2));
}

#[test]
fn one_that_was_granted_a_place_goes_to_the_end() {
    let mut ledger = Ledger::new(9, 2);
    ledger.note(0, standing(0, 0, 2), 1);
    ledger.note(1, standing(0, 0, 2), 2);
    ledger.note(0, standing(1, 1, 1), 1);
    ledger.grant(0, 2);
    assert_eq!(ledger.next(), Some(1));
    ledger.note(0, standing(1, 1, 1), 1);
    assert_eq!(ledger.next(), Some(1), "though its first waiter came first");
    ledger.note(1, standing(1, 1, 1), 2);
    ledger.grant(1, 3);
    assert_eq!(ledger.next(), Some(0));
    ledger.note(0, standing(1, 1, 1), 1);
    assert_eq!(ledger.next(), Some(0), "it keeps its position");
    ledger.note(0, standing(1, 1, 1), 4);
    assert_eq!(ledger.next(), Some(1), "its waiters are younger now");
}

#[test]
fn one_that_has_no_use_for_a_place_is_out_of_the_queue() {
    let mut ledger = Ledger::new(9, 2);
    ledger.note(0, standing(0, 0, 2), 1);
    ledger.note(1, standing(0, 0, 3), 2);
    assert_eq!(ledger.numbers(), [9, 0, 5, 2]);
    let account = &mut ledger.tenants[0];
    ledger.accounts.wants_nothing(account);
    assert_eq!(ledger.numbers(), [9, 0, 3, 1]);
    assert_eq!((ledger.tenants[0].wanted, ledger.next()), (0, Some(1)));
    ledger.note(1, standing(0, 0, 0), 2);
    assert_eq!((ledger.numbers(), ledger.next()), ([9, 0, 0, 0], None));
}

#[test]
fn only_those_that_hold_nothing_outrank_and_only_if_they_came_before() {
    let mut ledger = Ledger::new(9, 3);
    ledger.note(2, standing(9, 9, 0), 0);
    ledger.note(0, standing(0, 0, 1), 5);
    let outranks = |ledger: &Ledger, ms| ledger.accounts.outranks(ledger.at(ms)).is_some();
    assert!(outranks(&ledger, 6));
    assert!(!outranks(&ledger, 5) && !outranks(&ledger, 4));
    ledger.note(2, standing(8, 8, 0), 5);
    ledger.note(0, standing(1, 1, 1), 5);
    assert!(!outranks(&ledger, 6), "it has one");
    ledger.note(1, standing(0, 0, 1), 7);
    assert!(outranks(&ledger, 8) && !outranks(&ledger, 7));
    let account = &mut ledger.tenants[1];
    ledger.accounts.wants_nothing(account);
    assert!(!outranks(&ledger, 8));
}

#[test]
fn nobody_is_outranked_for_more_places_than_are_missing() {
    let mut ledger = Ledger::new(7, 5);
    ledger.note(0, standing(5, 5, 0), 0);
    ledger.note(1, standing(1, 1, 3), 1);
    ledger.note(2, standing(0, 0, 2), 2);
    ledger.note(3, standing(1, 1, 3), 3);
    // The first has a place, but is in the queue before the one that has none. Each gets one before any
    // of them gets another. What is wanted by the one that gives them up, by who has one and comes
    // after the last that has none, and by those who came later, does not count.
    ledger.note(4, standing(0, 0, 4), 9);
    for places in [4, 3] {
        assert!(ledger.accounts.outranks(ledger.at(9)).is_some());
        ledger.note(0, standing(5, places, 1), 9);
    }
    assert!(ledger.accounts.outranks(ledger.at(9)).is_none());
    assert!(ledger.accounts.outranks(ledger.at(10)).is_some());
}

#[test]
fn what_is_within_reach_of_one_is_what_others_leave() {
    let mut ledger = Ledger::new(9, 3);
    ledger.note(0, standing(3, 1, 0), 0);
    ledger.note(1, standing(2, 2, 3), 0);
    ledger.note(2, standing(0, 0, 2), 0);
    let accounts = &ledger.accounts;
    assert_eq!(
        accounts.coming(),
        4 + 2,
        "free ones, and those that are owed"
    );
    let [first, second, third] = &ledger.tenants[..] else {
        panic!("there are three");
    };
    let others = [first, second, third].map(|one| accounts.wanted_by_others(one));
    assert_eq!(others, [5, 2, 3]);
    assert_eq!([first, second, third].map(|one| one.room(3)), [0, 1, 3]);
}

#[test]
fn an_account_is_blank_when_nothing_is_held_or_wanted() {
    let mut ledger = Ledger::new(9, 1);
    assert!(ledger.tenants[0].is_blank());
    for (taken, places, hunger) in [(0, 0, 1), (1, 1, 0), (1, 0, 0), (1, 1, 1)] {
        ledger.note(0, standing(taken, places, hunger), 0);
        assert!(!ledger.tenants[0].is_blank(), "{taken} {places} {hunger}");
        ledger.note(0, standing(0, 0, 0), 0);
        assert!(ledger.tenants[0].is_blank());
    }
}
