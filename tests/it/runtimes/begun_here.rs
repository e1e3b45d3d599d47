//! Checks that are begun on the task, or thread, of the caller that waits for them.

#[cfg(feature = "tokio")]
mod on_tokio;

use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use futures_lite::future::{poll_once, zip};
use watertight::event::{Acquired, Checked, WaitEnded};
use watertight::{CheckPolicy, Manager, Metrics, WeakPool};

use super::*;

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Pass,
    Fail,
    Panic,
    /// It passes when the gate is open.
    Wait,
    /// It takes two other connections of the same pool, and gives them back.
    Acquire,
}

/// Makes numbers, and does to them what the test says.
#[derive(Clone)]
struct Checker(Arc<Script>);

struct Script {
    does: Mutex<Does>,
    made: AtomicUsize,
    checks: AtomicUsize,
    /// The most that were polled inside of each other.
    deepest: AtomicUsize,
    /// The thread of the last check's last poll.
    polled_on: Mutex<Option<ThreadId>>,
    /// The threads of closes.
    closed_on: Mutex<Vec<ThreadId>>,
    gate: AtomicBool,
    /// The waker of the last poll at the gate.
    waker: Mutex<Option<Waker>>,
    pool: OnceLock<WeakPool<Checker>>,
}

thread_local! {
    /// How many checks are being polled inside of each other on this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

impl Checker {
    fn new() -> Self {
        Checker(Arc::new(Script {
            does: Mutex::new(Does::Pass),
            made: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            deepest: AtomicUsize::new(0),
            polled_on: Mutex::new(None),
            closed_on: Mutex::default(),
            gate: AtomicBool::new(false),
            waker: Mutex::new(None),
            pool: OnceLock::new(),
        }))
    }

    fn does(&self, does: Does) {
        *self.0.does.lock().unwrap() = does;
    }

    fn checks(&self) -> usize {
        self.0.checks.load(Ordering::SeqCst)
    }

    fn open(&self) {
        self.0.gate.store(true, Ordering::SeqCst);
        let waker = self.0.waker.lock().unwrap().take();
        waker.expect("somebody waits at the gate").wake();
    }

    fn polled_on(&self) -> ThreadId {
        self.0.polled_on.lock().unwrap().expect("there was a check")
    }

    async fn pass_the_gate(&self) {
        std::future::poll_fn(|cx| {
            *self.0.waker.lock().unwrap() = Some(cx.waker().clone());
            match self.0.gate.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    async fn acquire_another(&self) {
        let pool = self.0.pool.get().and_then(WeakPool::upgrade);
        let pool = pool.expect("its pool is there");
        let mut another = Box::pin(async move { pool.acquire().await });
        let conn = std::future::poll_fn(|cx| {
            let outer = DEPTH.replace(DEPTH.get() + 1);
            self.0.deepest.fetch_max(outer + 1, Ordering::SeqCst);
            let poll = another.as_mut().poll(cx);
            DEPTH.set(outer);
            poll
        })
        .await;
        drop(conn);
    }

    /// A pool of so many idle connections, each of which is to be checked.
    fn pool_on<R: watertight::Runtime>(&self, runtime: R, idle: usize) -> Pool<Checker> {
        self.built(Pool::builder(self.clone()).runtime(runtime), idle)
    }

    fn built(&self, builder: Builder<Checker>, idle: usize) -> Pool<Checker> {
        let pool = builder
            .max_size(idle)
            .check_policy(CheckPolicy::Always)
            .build()
            .unwrap();
        let mut held = Vec::new();
        for _ in 0..idle {
            held.push(block_on(pool.acquire()).unwrap());
        }
        drop(held);
        self.0.pool.set(pool.downgrade()).unwrap_or(());
        assert_eq!((pool.status().idle, self.checks()), (idle, 0));
        pool
    }
}

impl Manager for Checker {
    type Connection = usize;
    type Error = &'static str;

    async fn connect(&self) -> Result<usize, &'static str> {
        Ok(self.0.made.fetch_add(1, Ordering::SeqCst))
    }

    async fn check(&self, _: &mut usize, _: &Metrics) -> Result<(), &'static str> {
        self.0.checks.fetch_add(1, Ordering::SeqCst);
        let does = *self.0.does.lock().unwrap();
        match does {
            Does::Pass => {}
            Does::Fail => return Err("refused"),
            Does::Panic => panic!("scripted"),
            Does::Wait => self.pass_the_gate().await,
            Does::Acquire => {
                zip(self.acquire_another(), self.acquire_another()).await;
            }
        }
        *self.0.polled_on.lock().unwrap() = Some(thread::current().id());
        Ok(())
    }

    async fn close(&self, _: usize) {
        let here = thread::current().id();
        self.0.closed_on.lock().unwrap().push(here);
    }
}

/// Counts tasks. Whether a caller is on it is for the test to say.
#[derive(Clone, Default)]
struct Home(Arc<Said>);

#[derive(Default)]
struct Said {
    is_current: AtomicBool,
    panics: AtomicBool,
    drops: AtomicBool,
    tasks: AtomicUsize,
}

impl Home {
    fn current() -> Self {
        let home = Home::default();
        home.0.is_current.store(true, Ordering::SeqCst);
        home
    }

    fn tasks(&self) -> usize {
        self.0.tasks.load(Ordering::SeqCst)
    }
}

impl Spawner for Home {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.tasks.fetch_add(1, Ordering::SeqCst);
        match self.0.drops.load(Ordering::SeqCst) {
            true => drop(task),
            false => Threads.spawn(task),
        }
    }

    fn is_current(&self) -> bool {
        assert!(!self.0.panics.load(Ordering::SeqCst), "scripted");
        self.0.is_current.load(Ordering::SeqCst)
    }
}

impl Timer for Home {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Threads.sleep_until(at)
    }
}

/// As long as it takes, but not for ever.
fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never is");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn check_that_is_over_at_once_is_no_task_where_the_caller_is_at_home() {
    for (is_current, panics, tasks) in [(true, false, 0), (false, false, 20), (true, true, 20)] {
        let (checker, home) = (Checker::new(), Home::default());
        home.0.is_current.store(is_current, Ordering::SeqCst);
        home.0.panics.store(panics, Ordering::SeqCst);
        let pool = checker.pool_on(home.clone(), 1);
        let before = home.tasks();
        for _ in 0..20 {
            drop(block_on(pool.acquire()).unwrap());
        }
        let case = (is_current, panics);
        assert_eq!(home.tasks() - before, tasks, "{case:?}");
        assert_eq!(checker.checks(), 20, "{case:?}");
        let here = checker.polled_on() == thread::current().id();
        assert_eq!(here, tasks == 0, "{case:?}");
        assert_eq!(pool.statistics().waits, 21, "{case:?}");
    }
}

#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn check_that_is_not_over_at_once_goes_on_as_one_task_with_a_waker_of_its_own() {
    let (checker, home) = (Checker::new(), Home::current());
    let pool = checker.pool_on(home.clone(), 1);
    checker.does(Does::Wait);
    let before = home.tasks();
    let mut acquire = Box::pin(pool.acquire());
    let (first, newest) = (Arc::<Counts>::default(), Arc::<Counts>::default());
    for wakes in [&first, &newest] {
        let waker = Waker::from(Arc::clone(wakes));
        let poll = acquire.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
    }
    assert_eq!(home.tasks() - before, 1);
    let its_own = || {
        let waker = checker.0.waker.lock().unwrap();
        waker
            .as_ref()
            .is_some_and(|one| !one.will_wake(Waker::noop()))
    };
    until(its_own);
    checker.open();
    until(|| newest.0.load(Ordering::SeqCst) > 0);
    assert_eq!(first.0.load(Ordering::SeqCst), 0);
    let Poll::Ready(Ok(conn)) = acquire
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("it has been served");
    };
    assert_eq!((*conn, checker.checks(), home.tasks() - before), (0, 1, 1));
}

#[test]
fn check_that_fails_or_panics_at_once_is_followed_by_that_of_the_next() {
    for does in [Does::Fail, Does::Panic] {
        const MANY: usize = 50;
        let (checker, home) = (Checker::new(), Home::current());
        let pool = checker.pool_on(home.clone(), MANY);
        checker.does(does);
        let conn = block_on(pool.acquire()).unwrap();
        assert_eq!((*conn, checker.checks()), (MANY, MANY), "{does:?}");
        until(|| pool.status().size == 1);
        assert_eq!(pool.statistics().closes.check_failed, MANY as u64);
        // A close may take as long as it likes, and is nothing that he should wait for.
        let closed_on = checker.0.closed_on.lock().unwrap();
        assert_eq!(closed_on.len(), MANY);
        assert!(!closed_on.contains(&thread::current().id()), "{does:?}");
    }
}

#[test]
fn check_whose_caller_goes_away_goes_on_without_him() {
    let (checker, home) = (Checker::new(), Home::current());
    let pool = checker.pool_on(home.clone(), 1);
    checker.does(Does::Wait);
    block_on(async { assert!(poll_once(pool.acquire()).await.is_none()) });
    assert_eq!((pool.status().checking, pool.status().waiting), (1, 0));
    checker.open();
    until(|| pool.status().idle == 1);
    assert_eq!(pool.statistics().cancellations, 1);
    checker.does(Does::Pass);
    assert_eq!(*block_on(pool.acquire()).unwrap(), 0);
}

/// Guarantee 11.
#[test]
fn check_that_is_begun_and_then_dropped_by_the_runtime_gives_its_place_back() {
    let (checker, home) = (Checker::new(), Home::current());
    let pool = checker.pool_on(home.clone(), 3);
    checker.does(Does::Wait);
    home.0.drops.store(true, Ordering::SeqCst);
    let conn = block_on(pool.acquire()).unwrap();
    assert_eq!(
        *conn, 3,
        "all that were to be checked are lost with their tasks"
    );
    assert_eq!(pool.status().size, 1);
    assert_eq!(pool.statistics().closes.check_failed, 3);
}

/// One inside of the other, as many as there are idle ones, they would take more stack than there is.
#[test]
fn checks_that_acquire_from_their_pool_are_not_begun_inside_of_each_other() {
    let (checker, home) = (Checker::new(), Home::current());
    let pool = checker.pool_on(home.clone(), 30);
    checker.does(Does::Acquire);
    // The last of them finds nothing to check, and waits for the first to come back.
    let late = block_on(pool.acquire_timeout(Duration::from_millis(500)));
    drop(late);
    assert!(checker.checks() > 1, "one in another");
    let deepest = checker.0.deepest.load(Ordering::SeqCst);
    assert!(
        deepest <= 2,
        "{deepest} inside of each other: one in a task may begin one"
    );
}

/// Tells what it is told.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<&'static str>>>);

impl Diary {
    fn note(&self, event: &'static str) {
        self.0.lock().unwrap().push(event);
    }
}

impl Observer for Diary {
    fn wait_began(&self) {
        self.note("wait began");
    }
    fn checked(&self, _: &Checked) {
        self.note("checked");
    }
    fn wait_ended(&self, _: &WaitEnded) {
        self.note("wait ended");
    }
    fn acquired(&self, _: &Acquired) {
        self.note("acquired");
    }
}

#[test]
fn observer_is_told_in_order_of_a_check_that_is_over_at_once() {
    let (checker, diary) = (Checker::new(), Diary::default());
    let builder = Pool::builder(checker.clone()).runtime(Home::current());
    let pool = checker.built(builder.observer(diary.clone()), 1);
    diary.0.lock().unwrap().clear();
    drop(block_on(pool.acquire()).unwrap());
    let told = diary.0.lock().unwrap().clone();
    assert_eq!(told, ["wait began", "checked", "wait ended", "acquired"]);
}

#[cfg(feature = "smol")]
#[test]
fn smol_is_at_home_on_every_thread() {
    let checker = Checker::new();
    let pool = checker.pool_on(watertight::SmolRuntime::new(), 1);
    drop(block_on(pool.acquire()).unwrap());
    assert_eq!(checker.polled_on(), thread::current().id());
    let pool = thread::spawn(move || {
        drop(block_on(pool.acquire()).unwrap());
        pool
    });
    drop(pool.join().unwrap());
    assert_ne!(checker.polled_on(), thread::current().id());
}
