//! A pool with keys as the laws use it.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use watertight::{KeyedBuilder, KeyedPool, Runtime};

use super::manager::{Lent, Scripted};
use super::pool::Acquired;
use super::script::Script;
use super::task::Task;
use super::world::World;

/// The scripts for `connect`, by key.
#[derive(Default)]
struct Scripts(Mutex<HashMap<u32, Arc<Script>>>);

impl Scripts {
    fn of(&self, key: u32) -> Arc<Script> {
        let mut scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let script = scripts
            .entry(key)
            .or_insert_with(|| Arc::new(Script::new()));
        Arc::clone(script)
    }
}

/// A keyed pool whose loans are written down, all keys in one ledger. In the mode of the sync
/// facade its verbs block.
#[derive(Clone)]
pub(crate) struct KeyedLawPool {
    pool: KeyedPool<u32, Scripted>,
    scripts: Arc<Scripts>,
    world: World,
}

impl KeyedLawPool {
    pub(super) fn build(
        world: &World,
        runtime: Option<Arc<dyn Runtime>>,
        configure: impl FnOnce(KeyedBuilder<u32, Scripted>) -> KeyedBuilder<u32, Scripted>,
    ) -> Self {
        let scripts = Arc::new(Scripts::default());
        let (stage, theirs) = (Arc::clone(world.stage()), Arc::clone(&scripts));
        let builder =
            KeyedPool::builder(move |key| Scripted::with_connects(&stage, &theirs.of(*key)));
        let builder = builder.each(|each| match runtime {
            Some(runtime) => each.runtime(runtime),
            None => each,
        });
        let pool = configure(builder).build();
        let pool = pool.expect("the settings make sense");
        world.ledger().set_limit(pool.total_status().max_size);
        KeyedLawPool {
            pool,
            scripts,
            world: world.without_pools(),
        }
    }

    /// What `connect` does for this key. All else is the world's for all keys.
    pub(crate) fn connects(&self, key: u32) -> Arc<Script> {
        self.scripts.of(key)
    }

    /// [`KeyedPool::acquire`].
    pub(crate) async fn acquire(&self, key: u32) -> Acquired {
        let acquired = match self.world.blocks() {
            true => self.pool.sync().acquire(&key),
            false => self.pool.acquire(&key).await,
        };
        acquired.map(Lent::new)
    }

    /// [`KeyedPool::acquire_timeout`].
    pub(crate) async fn acquire_timeout(&self, key: u32, timeout: Duration) -> Acquired {
        let acquired = match self.world.blocks() {
            true => self.pool.sync().acquire_timeout(&key, timeout),
            false => self.pool.acquire_timeout(&key, timeout).await,
        };
        acquired.map(Lent::new)
    }

    /// [`KeyedPool::try_acquire`].
    pub(crate) fn try_acquire(&self, key: u32) -> Option<Lent> {
        self.pool.try_acquire(&key).map(Lent::new)
    }

    /// Acquires `n` connections, one after the other.
    pub(crate) async fn acquire_many(&self, key: u32, n: usize) -> Vec<Lent> {
        let mut held = Vec::new();
        for _ in 0..n {
            held.push(self.acquire(key).await.expect("there is a place"));
        }
        held
    }

    /// Begins to acquire in a task of its own.
    pub(crate) fn acquiring(&self, key: u32) -> Task<Acquired> {
        let pool = self.clone();
        self.world.spawn(async move { pool.acquire(key).await })
    }

    /// A task that waits for a connection, behind all who wait for that key now.
    pub(crate) async fn waiter(&self, key: u32) -> Task<Acquired> {
        let before = self.waiting(key);
        let task = self.acquiring(key);
        self.world.until(|| self.waiting(key) > before).await;
        task
    }

    /// How many wait for a key.
    pub(crate) fn waiting(&self, key: u32) -> usize {
        self.pool.status(&key).map_or(0, |status| status.waiting)
    }

    pub(super) async fn shut(self) {
        for script in self.scripts.0.lock().unwrap().values() {
            script.end();
        }
        self.pool.close().await;
        let status = self.pool.total_status();
        assert_eq!(status.size, 0, "left after closing: {status:?}");
        assert_eq!(status.waiting, 0, "left after closing: {status:?}");
        self.world.until(|| self.pool.keys().is_empty()).await;
    }
}

impl Deref for KeyedLawPool {
    type Target = KeyedPool<u32, Scripted>;

    fn deref(&self) -> &KeyedPool<u32, Scripted> {
        &self.pool
    }
}
