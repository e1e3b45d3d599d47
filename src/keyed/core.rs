//! The landlord: grants places to the pools of the keys, and takes them back.
//!
//! Each key has an ordinary pool, a *tenant*, whose `max_size` is the number of places that it
//! holds (see [`tenancy`](crate::state)). The places that all tenants hold or still take up, and
//! those that are free, add up to `max_total` at every instant, since both are only changed here,
//! under one lock, and a tenant takes no place that it does not hold.
//!
//! The landlord has no task and no timer. It is called by whoever has changed something in a
//! tenant, after every transition, and looks at how that tenant stands *now*: not at what has
//! happened, so that it does not matter which of two threads comes first, or whether one call
//! sees to what the next was to tell. It then does all that follows:
//!
//! 1. Spare places of the tenant become free.
//! 2. Free places go to the hungry: tenants with waiters for whom nothing is under way. First
//!    come, first served, one place at a time.
//! 3. As long as fewer places are on their way than the hungry want, the connection that has been
//!    idle longest, of whatever tenant, is closed. Its place is free when that is over.
//! 4. If nothing is idle, those who wait for a busy tenant might be served for ever by what comes
//!    back to it, and a tenant that holds nothing never. So a connection that comes back is closed,
//!    and a place that comes free is given up, if somebody who holds nothing has been hungry for
//!    longer than the tenant's first waiter has been waiting; but no more of them than it takes until
//!    each of those has one. If nobody waits for the tenant, any who are hungry will do; and it is
//!    closed before it is made clean.
//! 5. A tenant that nobody uses and that has no connection is forgotten.
//!
//! Locks: the landlord's, then a tenant's; never the other way. Neither is held while anything
//! foreign runs: what follows from a change is collected and carried out afterwards. (The one
//! exception is the key's `Hash` and `Eq`.)

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::accounts::{Account, TenantId};
use super::books::{Books, Tenant, Todo};
use crate::config::Config;
use crate::connection::PooledConnection;
use crate::contained::Contained;
use crate::event::Configured;
use crate::lending::lent;
use crate::loan::Site;
use crate::manager::Manager;
use crate::observer::Audience;
use crate::primitives::{Arc, AtomicUsize, Mutex, Ordering, Weak, contain};
use crate::runtime::Runtime;
use crate::shared::{Handle, Landlord, Shared, now};
use crate::status::Status;

/// Makes the manager of a key.
pub(super) type Factory<K, M> = Box<dyn Fn(&K) -> M + Send + Sync>;

pub(super) struct Core<K, M: Manager> {
    books: Mutex<Books<K, M>>,
    /// What the [accounts](Accounts::pending) say; written under the lock, before anybody looks for
    /// what is idle. Whoever makes a connection idle reads it afterwards, so one of the two sees
    /// the other. And whoever ends what is owed reads it after it was made to be so.
    pending: AtomicUsize,
    factory: Contained<Factory<K, M>>,
    /// The settings of each key's pool. Its `max_size` is the most that a key may have.
    pub(super) config: Config,
    pub(super) max_total: usize,
    pub(super) runtime: Contained<Arc<dyn Runtime>>,
    pub(super) audience: Contained<Audience>,
}

/// How a call for a connection begins.
pub(super) enum Entered<K: Eq + Hash + Send + Sync + 'static, M: Manager> {
    Served(PooledConnection<M>),
    /// It is to join the queue.
    Queue(User<K, M>),
    Closed,
}

impl<K: Eq + Hash + Send + Sync + 'static, M: Manager> Core<K, M> {
    pub(super) fn new(
        factory: Factory<K, M>,
        config: Config,
        max_total: usize,
        runtime: Arc<dyn Runtime>,
        audience: Audience,
    ) -> Self {
        let configured = Configured {
            max_size: max_total,
            min_idle: 0,
            max_idle: None,
        };
        audience.tell(|observer| observer.configured(&configured));
        Core {
            books: Mutex::new(Books::new(max_total, &config)),
            pending: AtomicUsize::new(0),
            factory: Contained::new(factory),
            config,
            max_total,
            runtime: Contained::new(runtime),
            audience: Contained::new(audience),
        }
    }

    /// Lends an idle connection of this key's, or makes the caller one of its users. The key's
    /// pool is made if there is none.
    pub(super) fn enter(self: &Arc<Self>, key: &K, site: Site) -> Entered<K, M>
    where
        K: Clone,
    {
        match self.lend(key, site) {
            Some(entered) => entered,
            None => self.found(key),
        }
    }

    /// Lends an idle connection the short way. `None` if the key is unknown.
    fn lend(self: &Arc<Self>, key: &K, site: Site) -> Option<Entered<K, M>> {
        let (shared, live) = {
            let mut books = self.books.lock();
            if books.closed {
                return Some(Entered::Closed);
            }
            let id = *books.names.get(key)?;
            let tenant = books.tenants.get_mut(&id)?;
            // The tenant is not forgotten meanwhile: it has a connection.
            let live = tenant.handle.shared.state.lock().lend();
            match live {
                Some(live) => (Arc::clone(&tenant.handle.shared), live),
                None => {
                    let user = User::new(self, id, tenant);
                    books.limit_waiters(id);
                    return Some(Entered::Queue(user));
                }
            }
        };
        Some(Entered::Served(lent(&shared, live, None, site)))
    }

    /// Makes a pool for the key.
    fn found(self: &Arc<Self>, key: &K) -> Entered<K, M>
    where
        K: Clone,
    {
        // All of this is foreign code, so without the lock. If somebody else founds one at the same
        // time, the later one is dropped.
        let manager = (*self.factory)(key);
        let key = Arc::new(key.clone());
        let id = {
            let mut books = self.books.lock();
            books.next_id += 1;
            TenantId(books.next_id)
        };
        let landlord = Tie {
            core: Arc::downgrade(self),
            id,
        };
        let handle = Shared::start(
            manager,
            self.config,
            Arc::clone(&self.runtime),
            Audience::clone(&self.audience),
            Some(Arc::new(landlord)),
        );
        let tenant = Tenant {
            key,
            handle,
            users: 0,
            account: Account::default(),
        };
        let surplus;
        let entered = {
            let mut books = self.books.lock();
            let other = books.names.get(&tenant.key).copied();
            let id = match other {
                _ if books.closed => {
                    surplus = Some(tenant);
                    None
                }
                Some(other) => {
                    surplus = Some(tenant);
                    Some(other)
                }
                None => {
                    surplus = None;
                    books.names.insert(Arc::clone(&tenant.key), id);
                    books.tenants.insert(id, tenant);
                    Some(id)
                }
            };
            let tenant = id.and_then(|id| Some((id, books.tenants.get_mut(&id)?)));
            match tenant {
                Some((id, tenant)) => {
                    let user = User::new(self, id, tenant);
                    books.limit_waiters(id);
                    Entered::Queue(user)
                }
                None => Entered::Closed,
            }
        };
        if let Some(surplus) = surplus {
            surplus.let_go();
        }
        entered
    }

    /// Makes the caller a user of this key's pool, if there is one.
    pub(super) fn visit(self: &Arc<Self>, key: &K) -> Option<User<K, M>> {
        let mut books = self.books.lock();
        let id = *books.names.get(key)?;
        let tenant = books.tenants.get_mut(&id)?;
        Some(User::new(self, id, tenant))
    }

    /// The pool of this key, if there is one.
    pub(super) fn find(&self, key: &K) -> Option<Arc<Shared<M>>> {
        let books = self.books.lock();
        let id = books.names.get(key)?;
        let tenant = books.tenants.get(id)?;
        Some(Arc::clone(&tenant.handle.shared))
    }

    pub(super) fn keys(&self) -> Vec<Arc<K>> {
        let mut named: Vec<_> = {
            let books = self.books.lock();
            let names = books.names.iter();
            names.map(|(key, id)| (*id, Arc::clone(key))).collect()
        };
        named.sort_unstable_by_key(|(id, _)| *id);
        named.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.books.lock().closed
    }

    /// How each tenant is, while no place can move from one to another.
    pub(super) fn statuses(&self) -> Vec<Status> {
        let at = now(&**self.runtime);
        let books = self.books.lock();
        let tenants = books.tenants.values();
        tenants
            .map(|tenant| {
                let now = tenant.moment(at);
                tenant.handle.shared.state.lock().status(now)
            })
            .collect()
    }

    /// Closes this key's pool. What is left of it counts until it is closed, but the key is free
    /// for a new one. False if there was none.
    pub(super) fn remove(&self, key: &K) -> bool {
        let removed = {
            let mut books = self.books.lock();
            let named = books.names.remove_entry(key);
            named.map(|(name, id)| {
                let tenant = books.tenants.get(&id);
                (name, tenant.map(|one| Arc::clone(&one.handle)))
            })
        };
        let Some((name, handle)) = removed else {
            return false;
        };
        contain(|| drop(name));
        if let Some(handle) = handle {
            // It may be that nothing was there to be closed; then it is forgotten here.
            handle.shared.begin_close();
        }
        true
    }

    /// Begins to close all, once, and returns what has yet to be waited for.
    pub(super) fn begin_close(&self) -> Vec<Arc<Shared<M>>> {
        let mut was_closed = true;
        let tenants: Vec<_> = {
            let mut books = self.books.lock();
            std::mem::swap(&mut books.closed, &mut was_closed);
            let tenants = books.tenants.values();
            tenants
                .map(|tenant| Arc::clone(&tenant.handle.shared))
                .collect()
        };
        if !was_closed {
            self.audience.tell(|observer| observer.closing());
        }
        for tenant in &tenants {
            tenant.begin_close();
        }
        tenants
    }

    /// A user of the tenant's leaves.
    fn leave(&self, id: TenantId) {
        let last = {
            let mut books = self.books.lock();
            let tenant = books.tenants.get_mut(&id);
            tenant.is_some_and(|tenant| {
                tenant.users -= 1;
                tenant.users == 0
            })
        };
        if last {
            self.settle(id);
        }
    }

    /// Looks how the tenant stands, and does what follows from that.
    fn settle(&self, id: TenantId) {
        let at = now(&**self.runtime);
        let mut todo = Todo::new();
        let forgotten = {
            let mut books = self.books.lock();
            let is_left = books.look_at(id, at);
            // Before anybody looks for what is idle.
            #[cfg(not(mutant = "pending-noted-late"))]
            self.note_pending(&books);
            books.distribute(id, at, &mut todo);
            self.note_pending(&books);
            // The key's own code may panic, when everybody else has been seen to.
            catch_unwind(AssertUnwindSafe(|| {
                if is_left {
                    books.forget(id, &mut todo);
                }
            }))
        };
        todo.carry_out();
        forgotten.unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Claims the place of a connection that is about to come back, or of an attempt that has failed, if
    /// it is somebody else's turn.
    fn claim(&self, id: TenantId) {
        let at = now(&**self.runtime);
        let mut books = self.books.lock();
        // What it wanted may be over, and not written down yet.
        let standing = books.change(id, at, |_, _| ());
        let is_short = books.is_short(at);
        let Some(standing) = standing else {
            return;
        };
        let is_none_idle = standing.idle_since.is_none();
        if is_short && is_none_idle && books.is_outranked(id, standing, at) {
            books.change(id, at, |state, _| state.give_up_next());
        }
        self.note_pending(&books);
    }

    fn note_pending(&self, books: &Books<K, M>) {
        let pending = books.accounts.pending();
        self.pending.store(pending, Ordering::SeqCst);
    }
}

impl<K, M: Manager> Drop for Core<K, M> {
    /// The keys have destructors, as everything in a tenant has.
    fn drop(&mut self) {
        let books = self.books.get_mut();
        for (name, _) in books.names.drain() {
            contain(|| drop(name));
        }
        let tenants = std::mem::take(&mut books.tenants);
        tenants.into_values().for_each(Tenant::let_go);
    }
}

/// What connects a tenant with its landlord.
struct Tie<K, M: Manager> {
    core: Weak<Core<K, M>>,
    id: TenantId,
}

impl<K: Eq + Hash + Send + Sync + 'static, M: Manager> Landlord<M> for Tie<K, M> {
    fn tenant(&self) -> u64 {
        self.id.0
    }

    fn look(&self, tenant: &Arc<Shared<M>>) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let now = tenant.now();
        let standing = tenant.state.lock().standing(now);
        // Only now, after whatever became idle did so.
        let pending = core.pending.load(Ordering::SeqCst);
        if pending > 0 || !standing.is_settled() {
            core.settle(self.id);
        }
    }

    fn claim(&self) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        if core.pending.load(Ordering::SeqCst) > 0 {
            core.claim(self.id);
        }
    }
}

/// A call that has come for a connection: as long as it is there, the key's pool is not forgotten.
pub(super) struct User<K: Eq + Hash + Send + Sync + 'static, M: Manager> {
    core: Arc<Core<K, M>>,
    id: TenantId,
    handle: Arc<Handle<M>>,
}

impl<K: Eq + Hash + Send + Sync + 'static, M: Manager> User<K, M> {
    fn new(core: &Arc<Core<K, M>>, id: TenantId, tenant: &mut Tenant<K, M>) -> Self {
        tenant.users += 1;
        User {
            core: Arc::clone(core),
            id,
            handle: Arc::clone(&tenant.handle),
        }
    }

    pub(super) fn handle(&self) -> &Arc<Handle<M>> {
        &self.handle
    }

    pub(super) fn shared(&self) -> &Arc<Shared<M>> {
        &self.handle.shared
    }
}

impl<K: Eq + Hash + Send + Sync + 'static, M: Manager> Drop for User<K, M> {
    fn drop(&mut self) {
        self.core.leave(self.id);
    }
}
