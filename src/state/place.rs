//! A connection in the pool, and what its place is taken for.

use std::time::Instant;

use crate::attempts::AttemptId;
use crate::clock::Moment;
use crate::manager::Metrics;

/// A connection and what the pool knows about it. Boxed once, then only the pointer moves.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Live<C> {
    pub(crate) connection: C,
    pub(super) id: u64,
    pub(super) created_at: Moment,
    pub(super) expires_at: Moment,
    /// When it was last known to be fit: made, given back clean, or checked.
    pub(super) fit_at: Moment,
    /// When it was last given back, or made.
    pub(super) idle_since: Moment,
    /// Its turn among the idle ones.
    pub(super) turn: u64,
    pub(super) uses: u64,
    /// How many resets there had been when it was made.
    pub(super) epoch: u32,
    /// Its holder has said that this is its last loan.
    pub(super) retired: bool,
    /// When it was lent, if somebody was watching.
    pub(crate) lent_at: Option<Instant>,
}

impl<C> Live<C> {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn tag(&self) -> Tag {
        Tag {
            id: self.id,
            epoch: self.epoch,
        }
    }

    /// Makes this its last loan.
    pub(crate) fn retire(&mut self) {
        self.retired = true;
        self.expires_at = Moment::START;
    }

    pub(crate) fn metrics(&self, now: Moment, origin: Instant) -> Metrics {
        Metrics {
            id: self.id,
            created_at: self.created_at.to_instant(origin).unwrap_or(origin),
            age: now.elapsed_since(self.created_at),
            idle: now.elapsed_since(self.idle_since),
            uses: self.uses,
        }
    }
}

/// What a [`Lease`](crate::lease::Lease) knows about its connection, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) id: u64,
    pub(crate) epoch: u32,
}

/// What a place that is not idle is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Lent,
    Connecting(AttemptId),
    /// Without an attempt if it was merely taken aside.
    Checking(Option<AttemptId>),
    Recycling,
    Closing,
}

/// How many places are in each [`Stage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stages {
    pub(super) lent: usize,
    pub(super) connecting: usize,
    pub(super) checking: usize,
    pub(super) recycling: usize,
    pub(super) closing: usize,
}

impl Stages {
    fn count_mut(&mut self, stage: Stage) -> &mut usize {
        match stage {
            Stage::Lent => &mut self.lent,
            Stage::Connecting(_) => &mut self.connecting,
            Stage::Checking(_) => &mut self.checking,
            Stage::Recycling => &mut self.recycling,
            Stage::Closing => &mut self.closing,
        }
    }

    pub(super) fn enter(&mut self, stage: Stage) {
        *self.count_mut(stage) += 1;
    }

    #[inline]
    pub(super) fn leave(&mut self, stage: Stage) {
        let count = self.count_mut(stage);
        debug_assert!(*count > 0, "nothing is {stage:?}");
        *count = count.saturating_sub(1);
    }
}
