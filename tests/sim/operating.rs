//! What a user does as an operator.

use std::cell::Cell;
use std::future::Future;

use futures_lite::future::or;

use crate::change::Change;
use crate::coverage::{saw, saw_variant};
use crate::plan::{Cancel, Ms};
use crate::support::LawPool;
use crate::user::Stage;

impl Stage<'_> {
    /// Looks before and after, so that what one call does is not taken for what others did.
    pub(crate) async fn pause(&self, pool: &LawPool, cancel: Option<Cancel>, then: Option<Ms>) {
        self.model.look_at_it();
        let pausing = pool.pause();
        let status = self.model.look_at_it().status;
        assert_eq!(status.paused, !status.closed, "paused, it says: {status:?}");
        let complete = async {
            counted(&self.model.pausing, pausing).await;
            let status = pool.status();
            let used = status.in_use + status.checking + status.recycling;
            let over = !status.paused || status.closed;
            saw(match over {
                true => "pause: over",
                false => "pause: complete",
            });
            assert!(over || used == 0, "complete, it says: {status:?}");
            true
        };
        let complete = self.until(cancel, or(self.given_up(), complete)).await;
        assert!(complete != Some(false), "nothing is in use: {status:?}");
        if let Some(time) = then {
            self.sleep(time).await;
            self.resume(pool);
        }
    }

    pub(crate) fn resume(&self, pool: &LawPool) {
        let before = self.model.look_at_it().status;
        pool.resume();
        let status = self.model.look_at_it().status;
        assert!(!status.paused, "resumed, it says: {status:?}");
        if before.paused && before.waiting > 0 && !before.closed {
            saw("resume: somebody waited for it");
        }
    }

    pub(crate) fn reset(&self, pool: &LawPool, over: Option<Ms>) {
        let before = self.model.look_at_it().status;
        if before.closed {
            return pool.reset();
        }
        self.model.resetting(over);
        match over {
            Some(time) => pool.reset_over(crate::plan::ms(time)),
            None => pool.reset(),
        }
        let after = self.model.look_at_it().status;
        if over.is_none() {
            assert_eq!(after.idle, 0, "idle after a reset: {after:?}");
        }
        saw(match over {
            None if before.connecting > 0 => "reset: with connects under way",
            None => "reset: at once",
            Some(_) => "reset: spread",
        });
    }

    pub(crate) async fn wait_reset(&self, pool: &LawPool, cancel: Option<Cancel>) {
        let renewed = async {
            counted(&self.model.renewing, pool.wait_reset()).await;
            assert!(self.world.ledger().is_renewed(), "old ones are left");
            true
        };
        let renewed = self.until(cancel, or(self.given_up(), renewed)).await;
        // What is to go at a moment of its own needs a keeper.
        let unkept = self.model.loses_tasks && self.model.was_spread();
        assert!(renewed != Some(false) || unkept, "nothing old is left");
        if renewed == Some(true) && self.world.ledger().generation().resets > 0 {
            saw("wait_reset: over");
        }
    }

    pub(crate) fn set(&self, pool: &LawPool, change: Change) {
        saw_variant("set", &change);
        self.model.look_at_it();
        let settings = change.of(self.model.settings());
        let set = change.apply(pool);
        assert_eq!(set.is_ok(), settings.is_some(), "{change:?}: {set:?}");
        match settings {
            Some(settings) => self.model.set(settings),
            None => saw("set: refused"),
        }
        self.model.look_at_it();
    }
}

/// Counts those who wait for something.
async fn counted(count: &Cell<usize>, future: impl Future<Output = ()>) {
    struct Counted<'a>(&'a Cell<usize>);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    count.set(count.get() + 1);
    let _counted = Counted(count);
    future.await;
}
