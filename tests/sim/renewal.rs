//! Resets: which connections must be gone by when.

use std::time::Instant;

use crate::model::{Model, Served};
use crate::plan::{Ms, ms};
use crate::support::{AtHand, Generation, Lent};

/// What is known of the pool's resets.
#[derive(Default)]
pub(crate) struct Resets {
    /// When all that is of before each of them must be gone.
    ends: Vec<Instant>,
    spread: bool,
    /// At a reset the pool had begun an attempt that had not reached the manager: nobody but the
    /// pool knows which one that is.
    pub(crate) doubtful: bool,
}

impl Resets {
    /// Connections that began to be made before so many of the first `resets` must be gone then.
    pub(crate) fn bygone(&self, resets: usize, at: Instant) -> usize {
        let mut ended = self.ends.iter().take(resets);
        ended.rposition(|end| *end <= at).map_or(0, |last| last + 1)
    }
}

impl Model {
    /// An open pool is about to be reset.
    pub(crate) fn resetting(&self, over: Option<Ms>) {
        let connecting = self.look_at_it().status.connecting;
        // Others are made so by the next check that fails.
        if over.is_none() || self.settings().reset_on_failed_check {
            let mut outage = self.outage.get();
            outage.reset(connecting, over.is_none());
            self.outage.set(outage);
        }
        let ledger = self.world.ledger();
        let resets = &mut self.books.borrow_mut().resets;
        resets.doubtful |= connecting > ledger.count().connecting;
        resets.spread |= over.is_some();
        resets.ends.push(self.now() + ms(over.unwrap_or(0)));
        ledger.reset(over.is_none());
    }

    /// True if connections may have to go at moments that only the pool knows.
    pub(crate) fn was_spread(&self) -> bool {
        self.books.borrow().resets.spread
    }

    /// True if a failed check says something about all, and all can be known of that.
    fn condemns_generations(&self) -> bool {
        let doubtful = self.books.borrow().resets.doubtful;
        self.settings().reset_on_failed_check && !self.loses_tasks && !doubtful
    }

    /// One was lent to somebody who was served like this.
    pub(super) fn assert_not_of_before(&self, conn: &Lent, served: Served) {
        let Generation { resets, floor, .. } = served.generation;
        let bygone = self.books.borrow().resets.bygone(resets, served.at);
        let born = conn.credentials().born;
        assert!(born >= bygone, "lent after a reset: {}", conn.id());
        assert!(
            conn.id() >= floor || !self.condemns_generations(),
            "lent after a check that says it is dead: {}",
            conn.id()
        );
    }

    /// Nothing can run without time passing: what should have gone by then is not idle.
    pub(crate) fn assert_old_ones_have_gone(&self, idle: usize, by: Instant) {
        let ledger = self.world.ledger();
        let Generation { resets, floor, .. } = ledger.generation();
        let bygone = self.books.borrow().resets.bygone(resets, by);
        let floor = match self.condemns_generations() {
            true => floor,
            false => 0,
        };
        if (bygone, floor) != (0, 0) {
            let (_, young) = ledger.at_hand(|one| one.born >= bygone && one.id >= floor);
            assert!(idle <= young, "old ones are idle: {idle}, and {young} new");
        }
    }

    /// Tells those apart that no reset has anything to say about.
    pub(crate) fn those_of_today(&self) -> impl Fn(&AtHand) -> bool + use<> {
        let Generation { resets, floor, .. } = self.world.ledger().generation();
        let doubtful = self.books.borrow().resets.doubtful;
        let floor = match self.settings().reset_on_failed_check {
            true => floor,
            false => 0,
        };
        move |one| one.born >= resets && one.id >= floor && !doubtful
    }

    /// How much of what the pool works at is of no use to those who wait: it is of before a reset.
    pub(crate) fn vain_work(&self) -> usize {
        let ledger = self.world.ledger();
        let resets = ledger.generation().resets;
        let bygone = self.books.borrow().resets.bygone(resets, self.now());
        // What a spread reset makes go might still be in time.
        match self.was_spread() {
            true => 0,
            false => ledger.at_work_before(bygone),
        }
    }

    /// Whether the pool should be done with its resets, if that can be told.
    pub(crate) fn is_renewed(&self) -> Option<bool> {
        let doubtful = self.books.borrow().resets.doubtful;
        let known = !self.settings().reset_on_failed_check && !self.loses_tasks && !doubtful;
        known.then(|| self.world.ledger().is_renewed())
    }
}
