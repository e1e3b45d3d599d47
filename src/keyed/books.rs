//! What the landlord knows of its tenants, and what it does about that.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Instant;

use super::accounts::{Account, Accounts, TenantId};
use crate::clock::Moment;
use crate::config::Config;
use crate::manager::Manager;
use crate::primitives::{Arc, contain};
use crate::shared::{Handle, Shared};
use crate::state::{Effects, Standing, State};

pub(super) struct Books<K, M: Manager> {
    pub(super) closed: bool,
    pub(super) names: HashMap<Arc<K>, TenantId>,
    /// Those that were removed are no longer named, but count until their last place is free. In the
    /// order in which they were made, which is that of everything that is done to all.
    pub(super) tenants: BTreeMap<TenantId, Tenant<K, M>>,
    pub(super) next_id: u64,
    pub(super) accounts: Accounts,
    /// Somebody is hungry, and nothing was idle when that was last looked into: what becomes idle
    /// from then on is shown to the landlord one by one.
    pub(super) searched: bool,
    pub(super) max_per_key: usize,
    /// How many may wait for what comes back to a key.
    pub(super) max_waiters: Option<usize>,
}

pub(super) struct Tenant<K, M: Manager> {
    pub(super) key: Arc<K>,
    pub(super) handle: Arc<Handle<M>>,
    /// Calls that have come for a connection and not left yet.
    pub(super) users: usize,
    pub(super) account: Account,
}

impl<K, M: Manager> Books<K, M> {
    pub(super) fn new(max_total: usize, config: &Config) -> Self {
        Books {
            closed: false,
            names: HashMap::new(),
            tenants: BTreeMap::new(),
            next_id: 0,
            accounts: Accounts::new(max_total),
            searched: false,
            max_per_key: config.max_size,
            max_waiters: config.max_waiters,
        }
    }
}

impl<K: Eq + Hash, M: Manager> Books<K, M> {
    /// Writes down how a tenant stands, and takes back what it does not need. True if it is to be
    /// forgotten.
    pub(super) fn look_at(&mut self, id: TenantId, at: Instant) -> bool {
        let standing = self.change(id, at, |state, _| state.give_up_spare());
        let (Some(standing), Some(tenant)) = (standing, self.tenants.get(&id)) else {
            return false;
        };
        let is_idle = standing.size == 0 && standing.waiting_since.is_none();
        is_idle && tenant.users == 0 && !standing.remembers
    }

    /// Changes a tenant, and writes down how it stands then.
    pub(super) fn change<T>(
        &mut self,
        id: TenantId,
        at: Instant,
        change: impl FnOnce(&mut State<M::Connection, M::Error>, Moment) -> T,
    ) -> Option<Standing> {
        let tenant = self.tenants.get_mut(&id)?;
        let now = tenant.moment(at);
        let standing = {
            let mut state = tenant.handle.shared.state.lock();
            change(&mut state, now);
            state.standing(now)
        };
        let since = standing.waiting_since;
        let since = since.map_or(at, |since| tenant.instant(since));
        self.accounts
            .note(id, &mut tenant.account, standing, self.max_per_key, since);
        // From now on nobody shows what becomes idle.
        self.searched &= self.accounts.are_short();
        Some(standing)
    }

    /// Whom `pick` picks of the hungry when it has been looked at again, for what it wanted may be over, and
    /// not written down yet. (The others are taken at their word: to look at all of them every time would
    /// take too long.)
    fn confirmed(
        &mut self,
        at: Instant,
        pick: impl Fn(&Accounts) -> Option<TenantId>,
    ) -> Option<TenantId> {
        loop {
            let picked = pick(&self.accounts)?;
            self.change(picked, at, |state, _| state.give_up_spare());
            if pick(&self.accounts) == Some(picked) {
                return Some(picked);
            }
        }
    }

    /// Tells a tenant how many may wait for it, before one more does: those whom its settings allow,
    /// and those for whom places are within reach that it does not hold. What becomes of these in
    /// the meantime, by another thread's doing, is not looked at again.
    pub(super) fn limit_waiters(&self, id: TenantId) {
        let (Some(most), Some(tenant)) = (self.max_waiters, self.tenants.get(&id)) else {
            return;
        };
        let room = tenant.account.room(self.max_per_key);
        let others = self.accounts.wanted_by_others(&tenant.account);
        let mut found = self.accounts.coming();
        if room > 0 && !self.searched {
            for (_, other) in self.tenants.iter().filter(|(other, _)| **other != id) {
                if found >= room.saturating_add(others) {
                    break;
                }
                found += other.handle.shared.state.lock().expendable();
            }
        }
        let within_reach = room.min(found.saturating_sub(others));
        let mut state = tenant.handle.shared.state.lock();
        state.let_wait(most.saturating_add(within_reach));
    }

    /// Panics if the key's own code does.
    pub(super) fn forget(&mut self, id: TenantId, todo: &mut Todo<K, M>) {
        let Some(tenant) = self.tenants.get(&id) else {
            return;
        };
        debug_assert!(tenant.account.is_blank(), "{:?}", tenant.account);
        // A key's own code may panic, and a tenant that is dropped here comes back for the lock.
        if self.names.get(&tenant.key) == Some(&id) {
            self.names.remove(&tenant.key);
        }
        todo.garbage.extend(self.tenants.remove(&id));
        shrink(&mut self.names);
    }

    /// Brings the hungry and the places together, now that one tenant has been looked at.
    pub(super) fn distribute(&mut self, looked_at: TenantId, at: Instant, todo: &mut Todo<K, M>) {
        let found = loop {
            let is_short = self.is_short(at);
            if let Some(id) = self.accounts.next_to_serve() {
                self.grant(id, at, todo);
                continue;
            }
            if !is_short {
                break true;
            }
            let Some(id) = self.idle_longest(looked_at, at) else {
                break false;
            };
            // If it has just been lent, another may be idle, here or elsewhere.
            self.close_idle(id, at, todo);
        };
        self.searched = !found;
        if self.accounts.are_short() {
            self.claim_closing(looked_at, at);
        }
    }

    /// True if a place should be given up for somebody who wants one.
    pub(super) fn is_short(&mut self, at: Instant) -> bool {
        if self.accounts.are_short() {
            self.confirmed(at, Accounts::first);
        }
        self.accounts.are_short()
    }

    fn grant(&mut self, id: TenantId, at: Instant, todo: &mut Todo<K, M>) {
        let mut fx = Effects::new();
        let standing = self.change(id, at, |state, now| state.receive(now, &mut fx));
        let in_vain = standing.is_some_and(|standing| standing.spare > 0);
        if in_vain {
            self.change(id, at, |state, _| state.give_up_spare());
        }
        let Some(tenant) = self.tenants.get_mut(&id) else {
            return;
        };
        todo.effects.push((Arc::clone(&tenant.handle.shared), fx));
        match in_vain {
            // Whatever it says, or this would go on for ever.
            true => self.accounts.wants_nothing(&mut tenant.account),
            false => self.accounts.granted(id, &mut tenant.account, at),
        }
        self.limit_waiters(id);
    }

    /// The tenant with the connection that has been idle longest.
    fn idle_longest(&self, looked_at: TenantId, at: Instant) -> Option<TenantId> {
        if self.searched {
            let tenant = self.tenants.get(&looked_at)?;
            return tenant.standing(at).idle_since.map(|_| looked_at);
        }
        let idle = self.tenants.iter().filter_map(|(id, tenant)| {
            let since = tenant.standing(at).idle_since?;
            Some((tenant.instant(since), *id))
        });
        idle.min().map(|(_, id)| id)
    }

    fn close_idle(&mut self, id: TenantId, at: Instant, todo: &mut Todo<K, M>) {
        let mut fx = Effects::new();
        self.change(id, at, |state, now| state.give_up_idle(now, &mut fx));
        if let Some(tenant) = self.tenants.get(&id) {
            todo.effects.push((Arc::clone(&tenant.handle.shared), fx));
        }
    }

    /// Claims the place of a connection that is being closed, for somebody who has waited longer than
    /// those who wait there.
    fn claim_closing(&mut self, id: TenantId, at: Instant) {
        let standing = self.tenants.get(&id).map(|tenant| tenant.standing(at));
        if standing.is_some_and(|standing| self.is_outranked(id, standing, at)) {
            self.change(id, at, |state, _| state.give_up_closing());
        }
    }

    /// True if somebody who holds nothing has been hungry for longer than anybody has waited for
    /// this tenant. If nobody waits, whatever is idle would be closed for the hungry, too.
    pub(super) fn is_outranked(&mut self, id: TenantId, standing: Standing, at: Instant) -> bool {
        let Some(tenant) = self.tenants.get(&id) else {
            return false;
        };
        let Some(since) = standing.waiting_since.map(|since| tenant.instant(since)) else {
            return true;
        };
        self.confirmed(at, |accounts| accounts.outranks(since))
            .is_some()
    }
}

/// Gives the memory of a crowd of keys back once it has dispersed.
fn shrink<Id: Eq + Hash, T>(map: &mut HashMap<Id, T>) {
    const KEPT: usize = 1024;
    if map.capacity() > KEPT && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}

impl<K, M: Manager> Tenant<K, M> {
    /// A key has a destructor of its own. What has one of all that the handle has is contained by itself.
    pub(super) fn let_go(self) {
        let Tenant { key, .. } = self;
        contain(|| drop(key));
    }

    pub(super) fn moment(&self, at: Instant) -> Moment {
        Moment::since(self.handle.shared.origin, at)
    }

    fn instant(&self, moment: Moment) -> Instant {
        let origin = self.handle.shared.origin;
        moment.to_instant(origin).unwrap_or(origin)
    }

    pub(super) fn standing(&self, at: Instant) -> Standing {
        let now = self.moment(at);
        self.handle.shared.state.lock().standing(now)
    }
}

/// What follows from a change of a tenant.
type Work<M> = (
    Arc<Shared<M>>,
    Effects<<M as Manager>::Connection, <M as Manager>::Error>,
);

/// What is to be done when the lock is released.
pub(super) struct Todo<K, M: Manager> {
    effects: Vec<Work<M>>,
    garbage: Vec<Tenant<K, M>>,
}

impl<K, M: Manager> Todo<K, M> {
    pub(super) fn new() -> Self {
        Todo {
            effects: Vec::new(),
            garbage: Vec::new(),
        }
    }

    pub(super) fn carry_out(self) {
        for (tenant, fx) in self.effects {
            tenant.carry_out(fx);
        }
        self.garbage.into_iter().for_each(Tenant::let_go);
    }
}

#[cfg(test)]
mod tests;
