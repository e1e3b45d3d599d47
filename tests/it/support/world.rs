//! Where a law is tried: a way to run tasks, a clock, a scripted manager, its pools.

use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use watertight::{
    Builder, KeyedBuilder, Manager, Pool, Runtime, Statistics, Status, Timer, WeakPool,
};

use super::Virtual;
use super::keyed::KeyedLawPool;
use super::ledger::{At, Ledger};
use super::manager::{Conn, Scripted, Stagecraft};
use super::mode::Scene;
use super::pool::{Acquired, LawPool};
use super::script::Script;
use super::task::Task;

/// On a real clock, an event that should have come by then never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that a law needs, in any mode. Cloning it makes another handle.
#[derive(Clone)]
pub(crate) struct World {
    scene: Scene,
    stage: Arc<Stagecraft>,
    pools: Arc<Mutex<Vec<Registered>>>,
    keyed: Arc<Mutex<Vec<KeyedLawPool>>>,
    siblings: Arc<Mutex<Vec<World>>>,
}

/// A pool that is to be audited when the test is over.
enum Registered {
    /// It stays open until then.
    Kept(Pool<Scripted>),
    /// The test's own handles decide.
    Lone(WeakPool<Scripted>),
}

impl World {
    pub(super) fn new(scene: Scene) -> Self {
        World {
            scene,
            stage: Arc::new(Stagecraft::new()),
            pools: Arc::default(),
            keyed: Arc::default(),
            siblings: Arc::default(),
        }
    }

    /// A test that drives the virtual clock itself; the ledger is checked at the end.
    pub(crate) fn by_hand(test: impl FnOnce(&World, &Virtual)) {
        World::by_hand_on(Virtual::new(), test);
    }

    /// As [`by_hand`](World::by_hand), on this runtime.
    pub(crate) fn by_hand_on(runtime: Virtual, test: impl FnOnce(&World, &Virtual)) {
        let world = World::new(Scene::Virtual(runtime.clone()));
        test(&world, &runtime);
        runtime.block_on(world.finish());
    }

    /// Another handle that keeps no pool, for those that a pool keeps.
    pub(super) fn without_pools(&self) -> World {
        World {
            pools: Arc::default(),
            keyed: Arc::default(),
            siblings: Arc::default(),
            ..self.clone()
        }
    }

    /// The same surroundings, with a manager and a ledger of its own: for a second pool.
    pub(crate) fn sibling(&self) -> World {
        let sibling = World::new(self.scene.clone());
        lock(&self.siblings).push(sibling.clone());
        sibling
    }

    /// Builds a pool and keeps it open until the test is over.
    pub(crate) fn pool(
        &self,
        configure: impl FnOnce(Builder<Scripted>) -> Builder<Scripted>,
    ) -> LawPool {
        let pool = self.build(configure);
        lock(&self.pools).push(Registered::Kept(Pool::clone(&pool)));
        pool
    }

    /// Builds a pool that ends when the test drops its last handle.
    pub(crate) fn lone_pool(
        &self,
        configure: impl FnOnce(Builder<Scripted>) -> Builder<Scripted>,
    ) -> LawPool {
        let pool = self.build(configure);
        lock(&self.pools).push(Registered::Lone(pool.downgrade()));
        pool
    }

    /// Builds a pool with keys and keeps it open until the test is over. The ledger's limit is its
    /// `max_total`.
    pub(crate) fn keyed_pool(
        &self,
        configure: impl FnOnce(KeyedBuilder<u32, Scripted>) -> KeyedBuilder<u32, Scripted>,
    ) -> KeyedLawPool {
        let pool = KeyedLawPool::build(self, self.scene.explicit_runtime(), configure);
        lock(&self.keyed).push(pool.clone());
        pool
    }

    /// Builds a pool with keys that ends when the test drops its last handle.
    pub(crate) fn lone_keyed_pool(
        &self,
        configure: impl FnOnce(KeyedBuilder<u32, Scripted>) -> KeyedBuilder<u32, Scripted>,
    ) -> KeyedLawPool {
        KeyedLawPool::build(self, self.scene.explicit_runtime(), configure)
    }

    fn build(&self, configure: impl FnOnce(Builder<Scripted>) -> Builder<Scripted>) -> LawPool {
        self.ledger().set_limit(usize::MAX);
        let builder = configure(self.builder());
        let pool = builder.build().expect("the settings make sense");
        self.ledger().set_limit(pool.status().max_size);
        LawPool::new(pool, &self.stage, self.scene.blocks())
    }

    /// A builder with the manager and the runtime set, for pools that are not to be built.
    pub(crate) fn builder(&self) -> Builder<Scripted> {
        self.in_scene(Pool::builder(self.manager()))
    }

    /// A manager of this world's, for a pool that is not. The test looks after that pool itself:
    /// when it is over, no handle may be left, and nothing may hang.
    pub(crate) fn manager(&self) -> Scripted {
        Scripted::new(&self.stage)
    }

    /// Sets the runtime that pools are to use here.
    pub(crate) fn in_scene<M: Manager>(&self, builder: Builder<M>) -> Builder<M> {
        match self.scene.explicit_runtime() {
            Some(runtime) => builder.runtime(runtime),
            None => builder,
        }
    }

    /// True in the mode of the sync facade, where to acquire is to block.
    pub(crate) fn blocks(&self) -> bool {
        self.scene.blocks()
    }

    /// What `connect` does.
    pub(crate) fn connects(&self) -> &Script {
        &self.stage.connects
    }

    /// What `check` does.
    pub(crate) fn checks(&self) -> &Script {
        &self.stage.checks
    }

    /// What `inspect` does. It never waits; `ok` finds the connection's own
    /// [`condition`](Conn::condition), `err` finds it broken.
    pub(crate) fn inspects(&self) -> &Script {
        &self.stage.inspects
    }

    /// What `recycle` does.
    pub(crate) fn recycles(&self) -> &Script {
        &self.stage.recycles
    }

    /// What `close` does.
    pub(crate) fn closes(&self) -> &Script {
        &self.stage.closes
    }

    pub(super) fn stage(&self) -> &Arc<Stagecraft> {
        &self.stage
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.stage.ledger
    }

    /// A connection that was made without the pool.
    pub(crate) fn connection_from_elsewhere(&self) -> Conn {
        Conn::new(&self.stage, At::Detached)
    }

    /// So many milliseconds of the law's: exact on the virtual clock, a tenth on a real one.
    pub(crate) fn ms(&self, milliseconds: u64) -> Duration {
        let virtual_time = Duration::from_millis(milliseconds);
        match self.scene {
            Scene::Virtual(_) => virtual_time,
            _ => virtual_time / 10,
        }
    }

    /// The virtual clock, if that is what this runs on.
    pub(crate) fn virtual_time(&self) -> Option<&Virtual> {
        match &self.scene {
            Scene::Virtual(runtime) => Some(runtime),
            _ => None,
        }
    }

    pub(crate) fn runtime(&self) -> Arc<dyn Runtime> {
        self.scene.runtime()
    }

    pub(crate) fn now(&self) -> Instant {
        self.runtime().now()
    }

    /// Sleeps so many milliseconds of the law's.
    pub(crate) async fn sleep(&self, milliseconds: u64) {
        let runtime = self.runtime();
        let at = runtime.now() + self.ms(milliseconds);
        runtime.sleep_until(at).await;
    }

    /// Starts to measure time.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        Stopwatch {
            world: self.clone(),
            start: self.now(),
        }
    }

    /// Runs everything that can run until all is quiet. On a real clock, gives it a while.
    pub(crate) async fn settle(&self) {
        match &self.scene {
            Scene::Virtual(runtime) => runtime.settled().await,
            _ => self.sleep(50).await,
        }
    }

    /// Settles, then asserts that the condition holds. On a real clock, waits until it does.
    #[track_caller]
    pub(crate) fn until(
        &self,
        condition: impl Fn() -> bool + Send,
    ) -> impl Future<Output = ()> + Send {
        let place = Location::caller();
        async move {
            assert!(self.comes_true(condition).await, "not so at {place}");
        }
    }

    /// As [`until`](World::until), after so many milliseconds of the law's.
    #[track_caller]
    pub(crate) fn until_time(
        &self,
        milliseconds: u64,
        condition: impl Fn() -> bool + Send,
    ) -> impl Future<Output = ()> + Send {
        let check = self.until(condition);
        async move {
            self.sleep(milliseconds).await;
            check.await;
        }
    }

    async fn comes_true(&self, condition: impl Fn() -> bool + Send) -> bool {
        if let Scene::Virtual(runtime) = &self.scene {
            runtime.settled().await;
            return condition();
        }
        let start = self.now();
        while !condition() {
            if self.now() > start + PATIENCE {
                return false;
            }
            self.sleep(5).await;
        }
        true
    }

    /// Runs a task, or for the sync facade a thread, at the same time as this one.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let (task, body) = Task::of(task);
        self.scene.spawn(body);
        task
    }

    /// Begins to acquire in a task of its own.
    pub(crate) fn acquiring(&self, pool: &LawPool) -> Task<Acquired> {
        let pool = pool.clone();
        self.spawn(async move { pool.acquire().await })
    }

    /// Begins to acquire in a task of its own, within so many milliseconds of the law's.
    pub(crate) fn acquiring_within(&self, pool: &LawPool, milliseconds: u64) -> Task<Acquired> {
        let (pool, timeout) = (pool.clone(), self.ms(milliseconds));
        self.spawn(async move { pool.acquire_timeout(timeout).await })
    }

    /// A task that waits for a connection, behind all who wait now.
    pub(crate) async fn waiter(&self, pool: &LawPool) -> Task<Acquired> {
        let before = pool.status().waiting;
        let task = self.acquiring(pool);
        self.until(|| pool.status().waiting > before).await;
        task
    }

    /// How often to repeat something: on the virtual clock, where it is fast, or on a real one.
    pub(crate) fn times(&self, virtually: usize, really: usize) -> usize {
        match self.scene {
            Scene::Virtual(_) => virtually,
            _ => really,
        }
    }

    /// The end of the test: the books are balanced, the pools are closed, and nothing is left.
    pub(super) async fn finish(self) {
        let mut worlds = std::mem::take(&mut *lock(&self.siblings));
        worlds.push(self.clone());
        for world in &worlds {
            world.close_down().await;
        }
        if let Scene::Virtual(runtime) = &self.scene {
            assert_eq!(runtime.tasks(), 0, "tasks are left");
            assert_eq!(runtime.timers(), 0, "timers are left");
        }
        for world in worlds {
            world.ledger().assert_all_gone(!self.scene.loses_tasks());
            world.ledger().assert_clean();
        }
    }

    async fn close_down(&self) {
        let pools = std::mem::take(&mut *lock(&self.pools));
        for pool in pools.iter().filter_map(Registered::open) {
            self.balance(|| pool.status()).await;
        }
        let keyed = std::mem::take(&mut *lock(&self.keyed));
        for pool in &keyed {
            self.balance(|| pool.total_status()).await;
        }
        self.stage.let_go();
        for pool in pools {
            self.shut(pool).await;
        }
        for pool in keyed {
            pool.shut().await;
        }
        let gone = self.comes_true(|| self.ledger().managers() == 0).await;
        assert!(gone, "something keeps a closed pool alive");
    }

    /// Waits until the pool and the ledger agree.
    async fn balance(&self, status: impl Fn() -> Status + Send + Sync) {
        let agree = self.comes_true(|| self.agrees(&status())).await;
        let (status, count) = (status(), self.ledger().count());
        assert!(agree, "the books differ: {status:?}, {count:?}");
    }

    fn agrees(&self, status: &Status) -> bool {
        let count = self.ledger().count();
        let in_pool = status.idle + status.in_use + status.checking;
        let placed = in_pool + status.recycling + status.closing;
        let lost_tasks = self.scene.loses_tasks();
        status.waiting == 0
            && status.size == placed + status.connecting
            && count.made == count.closed + count.detached + count.live
            && count.live == placed
            && count.held <= status.in_use
            && (count.connecting == status.connecting || lost_tasks)
    }

    async fn shut(&self, registered: Registered) {
        let Some(pool) = registered.open() else {
            return;
        };
        drop(registered);
        pool.close().await;
        let status = pool.status();
        assert_eq!(status.size, 0, "left after closing: {status:?}");
        assert_eq!(status.waiting, 0, "left after closing: {status:?}");
        self.compare(&pool.statistics());
    }

    fn compare(&self, statistics: &Statistics) {
        let count = self.ledger().count();
        let in_all = statistics.connects + statistics.adopted;
        let closes = statistics.closes;
        assert_eq!(closes.total(), in_all, "closes do not add up: {closes:?}");
        assert!(in_all <= count.made as u64, "more connections than made");
        assert!(closes.detached <= count.detached as u64);
    }
}

impl Registered {
    fn open(&self) -> Option<Pool<Scripted>> {
        match self {
            Registered::Kept(pool) => Some(pool.clone()),
            Registered::Lone(pool) => pool.upgrade(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measures how long something took, in milliseconds of the law's.
pub(crate) struct Stopwatch {
    world: World,
    start: Instant,
}

impl Stopwatch {
    fn elapsed(&self) -> Duration {
        self.world.now() - self.start
    }

    /// Asserts that it is this late: exactly on the virtual clock; on a real one, not earlier and
    /// not absurdly later.
    #[track_caller]
    pub(crate) fn assert_at(&self, milliseconds: u64) {
        self.assert_within(milliseconds, milliseconds);
    }

    /// Asserts that it is between these two, inclusive; on a real clock the end is far away.
    #[track_caller]
    pub(crate) fn assert_within(&self, from: u64, to: u64) {
        let elapsed = self.elapsed();
        let slack = match self.world.scene {
            Scene::Virtual(_) => Duration::ZERO,
            _ => PATIENCE,
        };
        assert!(elapsed >= self.world.ms(from), "too early: {elapsed:?}");
        assert!(elapsed <= self.world.ms(to) + slack, "late: {elapsed:?}");
    }
}
