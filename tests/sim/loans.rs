//! Whether a connection that is lent may be lent.

use std::time::Duration;

use watertight::CheckPolicy;

use crate::coverage::saw;
use crate::model::{Model, Served};
use crate::plan::ms;
use crate::support::Lent;

impl Model {
    /// One was lent to somebody who was served like this. Who would not wait takes one unchecked.
    pub(crate) fn lent(&self, conn: &Lent, served: Served, unchecked_will_do: bool) {
        let metrics = conn.metrics();
        let since = self.now() - served.at;
        let age = metrics.age().saturating_sub(since);
        self.assert_not_of_before(conn, served);
        if let Some(most) = self.settings().max_uses {
            assert!(metrics.uses() <= most, "lent too often");
        }
        let lifetimes = self.lifetimes(self.now() - metrics.age());
        let longest = lifetimes
            .into_iter()
            .try_fold(0, |most, one| Some(most.max(one?)));
        if let Some(lifetime) = longest {
            let most = ms(lifetime) + self.lateness;
            assert!(age < most, "lent at the age of {age:?}");
        }
        if unchecked_will_do {
            return;
        }
        let credentials = conn.credentials();
        saw(match credentials.checked {
            true => "loan: checked",
            false => "loan: unchecked",
        });
        match self.settings().check_policy {
            CheckPolicy::Always => {
                // One that has just been made needs no check.
                let is_new = metrics.uses() == 1 && age == Duration::ZERO;
                assert!(credentials.checked || is_new, "lent unchecked: {metrics:?}");
            }
            CheckPolicy::IdleFor(most) => {
                let fit_at = credentials.fit_at.expect("there is a clock");
                let unproven = served.at.saturating_duration_since(fit_at);
                // A check may be late by one tick, which is a tenth of the age at most.
                let most = most + most / 10 + self.lateness;
                assert!(unproven <= most, "lent unchecked after {unproven:?}");
            }
            _ => {}
        }
    }
}
