//! What must hold when nothing can run without time passing, beside what somebody waits for.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Instant;

use crate::conditions::Conditions;
use crate::coverage::saw;
use crate::model::Sight;
use crate::plan::ms;
use crate::user::Stage;

impl Conditions {
    /// Idle ones of before a reset have gone, and those that have been silent for long are checked.
    /// Nobody sees to that for sure, where tasks are lost.
    pub(super) fn assert_old_and_silent_ones_are_seen_to(&self, sight: &Sight, stage: &Stage<'_>) {
        let status = &sight.status;
        if self.loses || status.closed {
            return;
        }
        let slack = self.slack;
        if let Some(by) = sight.now.checked_sub(slack) {
            stage.model.assert_old_ones_have_gone(status.idle, by);
        }
        let settings = stage.model.settings();
        let (held_up, few_idle, tick) = {
            let books = stage.model.books.borrow();
            (books.checks_held_up, books.few_idle, books.tick)
        };
        let is_over = |time: Option<Instant>| time.is_none_or(|at| at + slack < sight.now);
        if let Some(limit) = settings.idle_timeout.filter(|_| is_over(few_idle)) {
            let longest = ms(limit) + tick.max(ms(limit) / 10) + slack;
            let since = sight.now.checked_sub(longest);
            let (_, used) = stage.world.ledger().at_hand(|one| one.back_at >= since);
            assert!(
                status.idle <= used,
                "idle for more than {longest:?}: {status:?}, {used}"
            );
        }
        let Some(period) = settings.keepalive else {
            return;
        };
        let longest = ms(period) + tick.max(ms(period) / 10) + slack;
        if let Some(since) = sight.now.checked_sub(longest).filter(|_| is_over(held_up)) {
            let ledger = stage.world.ledger();
            let (_, heard_of) = ledger.at_hand(|one| one.fit_at >= Some(since));
            assert!(
                status.idle <= heard_of,
                "not checked for more than {longest:?}: {status:?}, {heard_of}"
            );
        }
    }

    /// Whoever waits in front of a pool that gives nothing back is turned away, if that is the rule.
    pub(super) fn assert_nobody_is_stalled(&self, sight: &Sight, stage: &Stage<'_>) {
        let status = &sight.status;
        let books = stage.model.books.borrow();
        let Some(load) = books.load.as_ref().filter(|_| !self.loses) else {
            return;
        };
        let first = books.queue.iter().find(|waiter| waiter.served.is_none());
        let Some(first) = first.filter(|_| !status.paused && !status.closed) else {
            return;
        };
        let since = books
            .last_moved
            .map_or(first.since, |at| at.max(first.since));
        let longest = load.longest_stall(self.slack.max(stage.model.lateness)) + self.slack;
        let stalled = sight.now - since;
        assert!(stalled <= longest, "somebody waits for {stalled:?} in vain");
    }

    /// Nobody waits for a pause to be complete that is, or for a reset to be over that is.
    pub(super) fn assert_told_when_quiet(&self, sight: &Sight, stage: &Stage<'_>) {
        let status = &sight.status;
        let used = status.in_use + status.checking + status.recycling;
        let complete = !status.paused || status.closed || used == 0;
        if stage.model.pausing.get() > 0 {
            saw("pause: incomplete");
            assert!(!complete, "a pause is complete, and somebody waits for it");
        }
        let Some(pool) = stage.model.pool() else {
            return;
        };
        let mut again = pin!(pool.wait_reset());
        let mut cx = Context::from_waker(Waker::noop());
        let over = again.as_mut().poll(&mut cx).is_ready();
        if stage.model.renewing.get() > 0 {
            saw("wait_reset: not yet");
            assert!(!over, "a reset is over, and somebody waits for it");
        }
        if let Some(renewed) = stage.model.is_renewed() {
            assert_eq!(over, renewed, "over, it says: {status:?}");
        }
    }
}
