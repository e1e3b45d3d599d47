//! A pool that has no places of its own: a landlord grants them one by one and takes them back.
//! Its `max_size` is what it holds at the moment, and its `max_waiters` what the landlord last said.
//!
//! The landlord is a [`KeyedPool`](crate::KeyedPool), and the tenants are the pools of its keys. It
//! looks at a tenant's [`Standing`] after every transition but two: to lend an idle connection the
//! short way concerns it not, and the short way back is closed to tenants (as if somebody always
//! filled the pool), so that it learns of every connection that becomes idle.

use super::{Effects, State};
use crate::clock::Moment;
use crate::config::ConnectPolicy;
use crate::status::CloseReason;

/// What a landlord wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Places that are taken.
    pub(crate) size: usize,
    /// Places that it holds. Fewer than are taken, if it has to give some up.
    pub(crate) places: usize,
    /// How many more places it would use at once.
    pub(crate) hunger: usize,
    /// Places that it holds and does not use.
    pub(crate) spare: usize,
    /// Since when its least recently used connection has been idle, if that may be closed.
    pub(crate) idle_since: Option<Moment>,
    /// Since when its first waiter has been waiting.
    pub(crate) waiting_since: Option<Moment>,
    /// Its attempts to connect fail, and whoever comes next is to heed their schedule.
    pub(crate) remembers: bool,
}

impl Standing {
    /// True if there is nothing for a landlord to do, unless others are hungry.
    pub(crate) fn is_settled(&self) -> bool {
        self.hunger == 0 && self.spare == 0 && self.size == self.places && self.size > 0
    }
}

impl<C, E> State<C, E> {
    /// From now on the places are somebody else's, who has many tenants, and numbers them.
    pub(crate) fn become_tenant(&mut self, number: u64) {
        self.is_tenant = true;
        // So that no two connections of his have the same.
        self.next_id = number << 32;
        self.most = std::mem::take(&mut self.config.max_size);
        self.fillers = 1;
        self.update_barred();
    }

    pub(crate) fn standing(&self, now: Moment) -> Standing {
        // What was due for one who has read the clock later is looked for no more.
        let now = self.latest(now);
        let oldest = self.idle.front().filter(|_| !self.stranded);
        Standing {
            size: self.size(),
            places: self.config.max_size,
            hunger: self.hunger(now),
            spare: self.spare(),
            idle_since: oldest.map(|live| live.idle_since),
            waiting_since: self.waiters.first().map(|waiter| waiter.since),
            // Without a keeper nobody would look when that is over.
            remembers: self.clock.is_kept() && self.remembers(now),
        }
    }

    /// Places for which there is no use at present. Those for attempts that waiters are about to
    /// run are none of them.
    fn spare(&self) -> usize {
        self.free().saturating_sub(self.driverless)
    }

    /// How many more places would be used at once, for attempts to connect that somebody waits
    /// for. A pool that has spare ones has no use for more, and one that has just lost a task is to
    /// begin nothing until its first waiter has looked after that.
    pub(super) fn hunger(&self, now: Moment) -> usize {
        if self.closed || self.stranded || self.spare() > 0 {
            return 0;
        }
        let fresh = self.allowance(self.hopeful(now), 0, now);
        let in_time = self.waiters.len().saturating_sub(self.late_ones(now));
        let lost = self.driverless.saturating_sub(self.free()).min(in_time);
        match cfg!(mutant = "driverless-not-hungry") {
            true => fresh,
            false => fresh + lost,
        }
    }

    /// Those who wait and have nothing coming, as far as the limit on concurrent connects lets them
    /// hope for it, and the first of them are not late.
    fn hopeful(&self, now: Moment) -> usize {
        let in_time = self.unserved(now).saturating_sub(self.late_ones(now));
        in_time.min(self.connect_room())
    }

    /// How many of the first in the queue are late.
    fn late_ones(&self, now: Moment) -> usize {
        let first = self.waiters.iter();
        let late = first.take_while(|(_, waiter)| waiter.deadline <= now);
        late.count()
    }

    /// When a tenant will have use for a place, although it holds none that is free. To one that
    /// has places of its own that makes no difference.
    pub(super) fn hungry_at(&self, now: Moment) -> Moment {
        let due = self.retry.due();
        let is_asleep = self.is_tenant && due > now && self.spare() == 0 && self.hopeful(now) > 0;
        match is_asleep {
            true => due,
            false => Moment::NEVER,
        }
    }

    /// True if a tenant is to be remembered for its schedule's sake. Where failures are passed on at once
    /// callers heed none.
    fn remembers(&self, now: Moment) -> bool {
        let heeds_schedule = self.config.connect_policy != ConnectPolicy::FailFast;
        let matters = heeds_schedule && self.is_tenant && !self.closed;
        matters && self.retry.remembered_until() > now
    }

    /// When a tenant may be forgotten whose schedule is remembered; never, if it is not.
    pub(super) fn forgettable_at(&self, now: Moment) -> Moment {
        match self.remembers(now) {
            true => self.retry.remembered_until(),
            false => Moment::NEVER,
        }
    }

    /// True if a connection that is in no stage at the moment is to go, for the sake of others, rather
    /// than be kept while another is in the making.
    pub(super) fn owes_place(&self) -> bool {
        self.is_tenant && self.live() + self.stages.connecting >= self.config.max_size
    }

    /// True if a place might still be granted.
    pub(super) fn may_grow(&self) -> bool {
        self.is_tenant && self.size().max(self.config.max_size) < self.most
    }

    /// How many may wait, apart from those whom the places that it holds could serve.
    pub(crate) fn let_wait(&mut self, callers: usize) {
        self.config.max_waiters = Some(callers);
    }

    /// Connections that may be closed for the sake of others.
    pub(crate) fn expendable(&self) -> usize {
        match self.stranded {
            true => 0,
            false => self.idle.len(),
        }
    }

    /// Gives up the places for which there is no use.
    pub(crate) fn give_up_spare(&mut self) {
        self.config.max_size -= self.spare();
    }

    /// Takes one more place, and puts it to use.
    pub(crate) fn receive(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        let now = self.latest(now);
        // Nothing is to be made for them, and there was no place for them in time.
        self.tell_late_ones(now, fx);
        self.config.max_size += 1;
        self.pump(now, fx);
    }

    /// Gives up the place of the connection that has been idle longest. It is free when that has
    /// been closed.
    pub(crate) fn give_up_idle(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        if let Some(live) = self.idle.pop_front() {
            self.config.max_size -= 1;
            self.condemn(live, CloseReason::Resize, fx);
            self.pump(now, fx);
        }
    }

    /// Gives up the place of a connection that is being closed, if there is one of which the place is
    /// not given up yet.
    pub(crate) fn give_up_closing(&mut self) {
        let owed = self.size().saturating_sub(self.config.max_size);
        // What is free is kept for an attempt: the place would be gone at once, and not when it comes free.
        if self.free() == 0 && self.stages.closing > owed {
            self.config.max_size -= 1;
        }
    }

    /// Gives up the place of what is in the caller's hand, and about to leave it.
    pub(crate) fn give_up_next(&mut self) {
        self.config.max_size = self.config.max_size.saturating_sub(1);
    }
}
