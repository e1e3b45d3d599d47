//! One execution of a scenario: its pool, its threads, its runtime, and the claims that always hold.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::Arc;

use checker::clock::Clock;
use checker::thread::{self, JoinHandle};
use watertight::{Blocking, Builder, CheckPolicy, Manager, Pool, Spawner};

#[cfg(shuttle)]
use super::callers::KeyedPools;
use super::executor::{Executor, Until, block_on};
use super::ledger::Ledger;
use super::manager::{BlockingMaker, Conn, Maker, Script};

pub(crate) struct World {
    pub(crate) runtime: Executor,
    pub(crate) clock: Arc<Clock>,
    pub(crate) ledger: Arc<Ledger>,
    threads: RefCell<Vec<JoinHandle<()>>>,
    /// Those that last for as long as the scenario's own.
    helpers: RefCell<Vec<JoinHandle<()>>>,
    time_passes: Cell<bool>,
    /// The runtime lost tasks, and connections with them.
    lossy: Cell<bool>,
    over: Cell<bool>,
}

impl World {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        World {
            runtime: Executor::new(Arc::clone(&clock)),
            clock,
            ledger: Arc::default(),
            threads: RefCell::default(),
            helpers: RefCell::default(),
            time_passes: Cell::new(false),
            lossy: Cell::new(false),
            over: Cell::new(false),
        }
    }

    /// A pool of so many places, where nothing goes wrong.
    pub(crate) fn pool(
        &self,
        places: usize,
        set: impl FnOnce(Builder<Maker>) -> Builder<Maker>,
    ) -> Pool<Maker> {
        self.scripted_pool(places, Script::default(), set)
    }

    /// The same, where things go wrong.
    pub(crate) fn scripted_pool(
        &self,
        places: usize,
        script: Script,
        set: impl FnOnce(Builder<Maker>) -> Builder<Maker>,
    ) -> Pool<Maker> {
        let maker = Maker {
            ledger: Arc::clone(&self.ledger),
            script,
        };
        self.build(places, maker, set)
    }

    /// The same, whose calls block. One that was given up on goes on beside the next, so that
    /// there is no telling how many there are at a time.
    pub(crate) fn blocking_pool(
        &self,
        places: usize,
        set: impl FnOnce(Builder<Blocking<BlockingMaker>>) -> Builder<Blocking<BlockingMaker>>,
    ) -> Pool<Blocking<BlockingMaker>> {
        let maker = BlockingMaker {
            ledger: Arc::clone(&self.ledger),
        };
        let pool = self.build(places, Blocking::new(maker), set);
        self.ledger.set_limit(usize::MAX);
        pool
    }

    /// Nothing ages and nothing times out but what `set` says.
    pub(crate) fn build<M: Manager>(
        &self,
        places: usize,
        manager: M,
        set: impl FnOnce(Builder<M>) -> Builder<M>,
    ) -> Pool<M> {
        self.ledger.pool_begins(places);
        let builder = without_limits(Pool::builder(manager))
            .max_size(places)
            .runtime(self.runtime.clone());
        let pool = set(builder).build();
        pool.expect("the settings make sense")
    }

    /// Pools of keys that have so many places together, where nothing goes wrong but this.
    #[cfg(shuttle)]
    pub(crate) fn keyed_pool(&self, places: usize, script: Script) -> KeyedPools {
        let ledger = Arc::clone(&self.ledger);
        let factory = move |_: &char| {
            ledger.pool_begins(places);
            Maker {
                ledger: Arc::clone(&ledger),
                script,
            }
        };
        let runtime = self.runtime.clone();
        let pool = watertight::KeyedPool::builder(factory)
            .max_total(places)
            .each(|pool| without_limits(pool).runtime(runtime))
            .build();
        pool.expect("the settings make sense")
    }

    /// Lets everything run until this is over.
    #[cfg(shuttle)]
    pub(crate) fn eventually<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let result = Arc::new(std::sync::Mutex::new(None));
        let told = Arc::clone(&result);
        self.task(async move {
            let outcome = future.await;
            *told.lock().expect("no panic in here") = Some(outcome);
        });
        self.settle();
        let result = result.lock().expect("no panic in here").take();
        result.expect("it is over")
    }

    /// Lets everything run, and asserts that nobody waits for any of these keys. Closes all, and
    /// asserts that nothing is left.
    #[cfg(shuttle)]
    pub(crate) fn finish_keyed(&self, pool: KeyedPools, keys: &[char]) {
        self.settle();
        let waiting = |key| pool.status(key).map_or(0, |status| status.waiting);
        assert_eq!(keys.iter().map(waiting).sum::<usize>(), 0, "{pool:?}");
        drop(pool.close());
        self.settle();
        drop(pool);
        self.over();
    }

    /// A connection that was made elsewhere.
    pub(crate) fn conn(&self) -> Conn {
        Conn::new(&self.ledger, 0)
    }

    /// Gives the pool connections that need no attempt to connect.
    pub(crate) fn warm(&self, pool: &Pool<Maker>, connections: usize) {
        for _ in 0..connections {
            let adopted = pool.adopt(self.conn());
            assert!(adopted.is_ok(), "there is a place for it");
        }
    }

    /// A thread of the scenario.
    pub(crate) fn thread(&self, run: impl FnOnce() + Send + 'static) {
        let runtime = self.runtime.clone();
        runtime.thread_begins();
        let thread = thread::spawn(move || {
            run();
            runtime.thread_ends();
        });
        self.threads.borrow_mut().push(thread);
    }

    /// A thread that waits for a future.
    pub(crate) fn blocked(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.thread(move || block_on(future));
    }

    /// A task of the scenario, which must come to its end.
    pub(crate) fn task(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(future));
    }

    /// Lets time pass at any moment when somebody waits for that.
    pub(crate) fn let_time_pass(&self) {
        self.time_passes.set(true);
        let clock = Arc::clone(&self.clock);
        let helper = thread::spawn(move || clock.run());
        self.helpers.borrow_mut().push(helper);
    }

    /// The runtime shuts down at any moment, and loses what it was doing.
    pub(crate) fn shut_runtime_down(&self) {
        self.lossy.set(true);
        let runtime = self.runtime.clone();
        self.thread(move || runtime.shut_down());
    }

    /// From now on the runtime drops what it is given.
    pub(crate) fn lose_tasks(&self) {
        self.lossy.set(true);
        self.runtime.shut_down();
    }

    /// Lets everything run until the scenario's threads have ended and nothing more happens.
    pub(crate) fn settle(&self) {
        self.begin_to_help();
        loop {
            let heard = self.clock.heard();
            self.runtime.work(Until::Quiet);
            if !self.time_passes.get() {
                break;
            }
            self.clock.run_once();
            if self.clock.heard() == heard {
                break;
            }
        }
        for thread in self.threads.take() {
            thread.join().expect("the thread ends well");
        }
    }

    /// Under shuttle more than one thread polls tasks; loom has no threads to spare.
    fn begin_to_help(&self) {
        if cfg!(shuttle) && self.helpers.borrow().len() < 2 {
            let runtime = self.runtime.clone();
            let hand = thread::spawn(move || runtime.work(Until::Over));
            self.helpers.borrow_mut().push(hand);
        }
    }

    /// Lets everything run, and asserts that nobody waits and that so many connections are idle
    /// then. Closes the pool, and asserts that nothing is left of it.
    pub(crate) fn finish<M: Manager>(&self, pool: Pool<M>, idle: usize) {
        self.settle();
        let status = pool.status();
        assert_eq!(
            (status.waiting, status.idle, status.size),
            (0, idle, idle),
            "{status:?}"
        );
        self.close(pool);
    }

    /// Closes the pool, and asserts that nothing is left of it.
    pub(crate) fn close<M: Manager>(&self, pool: Pool<M>) {
        drop(pool.close());
        self.settle();
        let status = pool.status();
        assert_eq!((status.waiting, status.size), (0, 0), "{status:?}");
        drop(pool);
        self.over();
    }

    /// The pool has no handle any more: lets everything run, and asserts that nothing is left.
    pub(crate) fn over(&self) {
        self.settle();
        assert_eq!(self.runtime.tasks(), 0, "tasks are left");
        self.clock.stop();
        self.runtime.over();
        for helper in self.helpers.take() {
            helper.join().expect("the helper ends well");
        }
        self.ledger.assert_balanced(!self.lossy.get());
        self.over.set(true);
    }

    /// Asserts that the scenario came to its own end.
    pub(super) fn assert_over(&self) {
        assert!(self.over.get(), "the scenario ends with `finish` or `over`");
    }
}

/// Nothing happens by itself as time passes, unless a scenario says so.
fn without_limits<M: Manager, P>(pool: Builder<M, P>) -> Builder<M, P> {
    pool.acquire_timeout(None)
        .connect_timeout(None)
        .check_timeout(None)
        .recycle_timeout(None)
        .close_timeout(None)
        .idle_timeout(None)
        .max_lifetime(None)
        .check_policy(CheckPolicy::Never)
}
