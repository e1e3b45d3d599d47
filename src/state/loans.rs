//! Who has what, for pools that look for leaks.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Effects, State};
use crate::clock::Moment;
use crate::loan::{Borrower, Loan};
use crate::primitives::Arc;

/// The loans under way, by the numbers of their connections. Empty unless somebody looks for leaks;
/// one whose guard was forgotten stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Loans(BTreeMap<u64, Lent>);

#[derive(Clone, Debug)]
struct Lent {
    borrower: Arc<Borrower>,
    since: Moment,
    /// When it is to be reported; never, once it has been.
    overdue_at: Moment,
    reported: bool,
}

impl Lent {
    fn loan(&self, connection: u64, now: Moment) -> Loan {
        Loan {
            connection,
            held: now.elapsed_since(self.since),
            borrower: Arc::clone(&self.borrower),
        }
    }
}

impl<C, E> State<C, E> {
    /// A connection has been lent.
    pub(crate) fn note_loan(
        &mut self,
        connection: u64,
        borrower: Arc<Borrower>,
        now: Moment,
        fx: &mut Effects<C, E>,
    ) {
        let Some(threshold) = self.config.leak_threshold else {
            return;
        };
        let lent = Lent {
            borrower,
            since: now,
            overdue_at: now.after(threshold),
            reported: false,
        };
        self.note_due(lent.overdue_at, fx);
        if !self.clock.is_kept() {
            // The first waiter stands in for the keeper, or who waits for the end of a reset.
            self.wake_first(now, fx);
            fx.progress = true;
        }
        self.loans.0.insert(connection, lent);
    }

    /// A loan has ended. Returns it if it had been reported.
    pub(crate) fn end_loan(&mut self, connection: u64, now: Moment) -> Option<Loan> {
        let lent = self.loans.0.remove(&connection)?;
        lent.reported.then(|| lent.loan(connection, now))
    }

    /// When the next loan is to be reported, should it not have ended by then.
    pub(super) fn leak_due(&self) -> Moment {
        let due = self.loans.0.values().map(|lent| lent.overdue_at).min();
        due.unwrap_or(Moment::NEVER)
    }

    pub(super) fn report_leaks(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        for (&connection, lent) in &mut self.loans.0 {
            if lent.overdue_at <= now {
                lent.overdue_at = Moment::NEVER;
                lent.reported = true;
                self.statistics.leaks += 1;
                fx.leaked.push(lent.loan(connection, now));
            }
        }
    }

    /// What is lent now, for the longest time first.
    pub(crate) fn loans(&self, now: Moment) -> Vec<Loan> {
        let loans = self.loans.0.iter();
        let mut loans: Vec<_> = loans.map(|(&id, lent)| lent.loan(id, now)).collect();
        loans.sort_by_key(|loan| Reverse(loan.held));
        loans
    }
}
