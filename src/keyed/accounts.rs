//! The places of a keyed pool in numbers: who holds how many, who waits for one, in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::state::Standing;

/// The number of a tenant: no other of the same pool ever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TenantId(pub(super) u64);

/// A position in the queue of the hungry: since when one has been hungry, and a number that rises
/// for those who have been so since the same moment.
type Position = (Instant, u64);

/// What is written down of all tenants together.
#[derive(Debug)]
pub(super) struct Accounts {
    /// Places that nobody holds.
    free: usize,
    /// Places that tenants have given up, and that are not free yet.
    owed: usize,
    /// Places that the hungry would use at once.
    wanted: usize,
    /// A tenant has been hungry since its first waiter came, or since it was last granted a place,
    /// whichever is later: so it gets one place at a time, and what its waiters get by themselves
    /// takes it back in the queue.
    queue: BTreeMap<Position, TenantId>,
    /// Those in the queue that hold no place at all.
    starving: BTreeSet<Position>,
    positions: u64,
}

/// What is written down of one tenant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// Places that it holds or still takes up, whichever is more: an upper bound of its size, at
    /// every instant.
    held: usize,
    owed: usize,
    wanted: usize,
    granted_at: Option<Instant>,
    position: Option<Position>,
}

impl Accounts {
    pub(super) fn new(places: usize) -> Self {
        Accounts {
            free: places,
            owed: 0,
            wanted: 0,
            queue: BTreeMap::new(),
            starving: BTreeSet::new(),
            positions: 0,
        }
    }

    /// The matters for the sake of which every tenant is to be looked at: the hungry may be served
    /// by any of them, and places that are owed must be seen to come free.
    pub(super) fn pending(&self) -> usize {
        self.queue.len() + self.owed
    }

    /// The next to be granted a place, if there is one.
    pub(super) fn next_to_serve(&self) -> Option<TenantId> {
        self.first().filter(|_| self.free > 0)
    }

    /// The first in the queue of the hungry.
    pub(super) fn first(&self) -> Option<TenantId> {
        self.queue.values().next().copied()
    }

    /// True if more places should be given up.
    pub(super) fn are_short(&self) -> bool {
        self.coming() < self.wanted
    }

    /// Places that can be granted now, or as soon as what they were taken from is closed.
    pub(super) fn coming(&self) -> usize {
        self.free + self.owed
    }

    /// Places that the hungry would use at once, apart from this one.
    pub(super) fn wanted_by_others(&self, account: &Account) -> usize {
        self.wanted - account.wanted
    }

    /// The last who holds nothing and has been hungry since before `since`, if what is coming
    /// already does not come to all who have: whoever is granted a place goes to the end of the queue,
    /// so the last of them gets one when each before him has, whatever else these want.
    pub(super) fn outranks(&self, since: Instant) -> Option<TenantId> {
        let last = self.starving.range(..(since, 0)).next_back()?;
        self.queue.range(..=last).nth(self.coming())?;
        self.queue.get(last).copied()
    }

    /// Writes down how a tenant stands, which may hold `most` places, and for which somebody has
    /// been waiting `since` then, if anybody has.
    pub(super) fn note(
        &mut self,
        id: TenantId,
        account: &mut Account,
        standing: Standing,
        most: usize,
        since: Instant,
    ) {
        let held = standing.size.max(standing.places);
        let owed = held - standing.places;
        let wanted = standing.hunger.min(most.saturating_sub(held));
        debug_assert!(held <= account.held + self.free, "places out of thin air");
        self.free = (self.free + account.held).saturating_sub(held);
        self.owed = self.owed + owed - account.owed;
        self.wanted = self.wanted + wanted - account.wanted;
        account.held = held;
        account.owed = owed;
        account.wanted = wanted;
        self.queue_up(id, account, since);
    }

    /// The tenant has been granted a place.
    pub(super) fn granted(&mut self, id: TenantId, account: &mut Account, at: Instant) {
        account.granted_at = Some(at);
        // To the end of the queue, even if that moment is also when others became hungry.
        self.leave_queue(account);
        self.queue_up(id, account, at);
    }

    /// A place was of no use to this one. It asks again when it has use for one.
    pub(super) fn wants_nothing(&mut self, account: &mut Account) {
        self.wanted -= account.wanted;
        account.wanted = 0;
        self.leave_queue(account);
    }

    fn queue_up(&mut self, id: TenantId, account: &mut Account, since: Instant) {
        if account.wanted == 0 {
            return self.leave_queue(account);
        }
        let since = account.granted_at.map_or(since, |at| at.max(since));
        let position = match account.position.filter(|position| position.0 == since) {
            Some(position) => position,
            None => {
                self.leave_queue(account);
                self.positions += 1;
                (since, self.positions)
            }
        };
        account.position = Some(position);
        self.queue.insert(position, id);
        match account.held {
            0 => self.starving.insert(position),
            _ => self.starving.remove(&position),
        };
    }

    fn leave_queue(&mut self, account: &mut Account) {
        if let Some(position) = account.position.take() {
            self.queue.remove(&position);
            self.starving.remove(&position);
        }
    }
}

impl Account {
    /// True if nothing is held, owed or wanted.
    pub(super) fn is_blank(&self) -> bool {
        self.held == 0 && self.wanted == 0
    }

    /// How many more it may hold, if `most` is the most.
    pub(super) fn room(&self, most: usize) -> usize {
        most.saturating_sub(self.held)
    }
}

#[cfg(test)]
mod tests;
