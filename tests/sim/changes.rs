//! What must hold from one look at the pool to the next.

use crate::coverage::saw;
use crate::model::{Model, Sight};

impl Model {
    /// To be called whenever a look has been taken.
    pub(super) fn compare_looks(&self, before: &Sight, after: &Sight) {
        let (was, is) = (&before.status, &after.status);
        if is.closed {
            return;
        }
        if was.paused && is.paused {
            self.assert_at_rest(before, after);
        }
        let nobody_waits = was.waiting == 0 && after.waits == before.waits;
        if nobody_waits && is.checking > was.checking {
            saw("check: of one that nobody asked for");
            let most = self.settings().keepalive_concurrency;
            assert!(
                self.settings().keepalive.is_some(),
                "a check for nobody: {was:?}, {is:?}"
            );
            assert!(is.checking <= most, "too many checks in the background");
        }
        let mut books = self.books.borrow_mut();
        if self.holds_checks_up(before) || self.holds_checks_up(after) {
            books.checks_held_up = Some(after.now);
        }
        if self.has_few_idle(before) || self.has_few_idle(after) {
            books.few_idle = Some(after.now);
        }
        if let Some(load) = &mut books.load {
            if was.paused && !is.paused {
                load.is_resumed(after.now);
            } else if nobody_waits && is.idle > was.idle {
                load.is_relieved(after.now);
            }
        }
    }

    /// A paused pool lends nothing, checks nothing, and connects only to keep some idle.
    fn assert_at_rest(&self, before: &Sight, after: &Sight) {
        let (was, is) = (&before.status, &after.status);
        assert!(is.in_use <= was.in_use, "lent while paused: {is:?}");
        assert!(is.checking <= was.checking, "checked while paused: {is:?}");
        let begun = is.connecting > was.connecting;
        assert!(
            !begun || self.settings().min_idle > 0,
            "begun to connect while paused: {is:?}"
        );
    }

    /// None of them is too old.
    fn has_few_idle(&self, sight: &Sight) -> bool {
        let status = &sight.status;
        status.idle <= self.settings().min_idle.min(status.max_size)
    }

    /// Nothing is checked in the background meanwhile.
    fn holds_checks_up(&self, sight: &Sight) -> bool {
        let status = &sight.status;
        let full = status.checking >= self.settings().keepalive_concurrency;
        full || status.waiting > 0 || status.paused
    }
}
