//! What ends with a pool: its manager, its runtime, whoever observes it, the last error. Their
//! destructors run wherever the last of the pool is dropped.

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, poll_once};
use watertight::{
    Blocking, BlockingManager, BoxFuture, FromFn, KeyedPool, Manager, Spawner, Timer,
    VirtualRuntime,
};

use super::*;

/// Panics when it is dropped, if it is the one that does.
struct Fragile {
    panics: bool,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        if self.panics {
            std::panic::resume_unwind(Box::new("fragile"));
        }
    }
}

/// The parts of a pool, each of which has something fragile.
struct Part {
    _fragile: Fragile,
    error: Mutex<Option<Fragile>>,
    runtime: VirtualRuntime,
}

impl Observer for Part {}

impl Spawner for Part {
    fn spawn(&self, task: BoxFuture<()>) {
        self.runtime.spawn(task);
    }
}

impl Timer for Part {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.runtime.sleep_until(at)
    }
}

impl Manager for Part {
    type Connection = ();
    type Error = Option<Fragile>;

    async fn connect(&self) -> Result<(), Self::Error> {
        Err(self.error.lock().unwrap().take())
    }
}

/// As if all the parts were the one.
const EVERY: usize = usize::MAX;

/// What makes parts of which one is fragile, each under its number; and the count of those that have
/// been dropped.
fn parts(
    which: usize,
) -> (
    impl Fn(usize) -> Part + Clone,
    VirtualRuntime,
    Arc<AtomicUsize>,
) {
    let runtime = VirtualRuntime::new();
    runtime.drop_spawned(true);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (clock, count) = (runtime.clone(), Arc::clone(&dropped));
    let fragile = move |part| Fragile {
        panics: part == which || which == EVERY,
        dropped: Arc::clone(&count),
    };
    let part = move |part| Part {
        _fragile: fragile(part),
        error: Mutex::new((part == 0).then(|| fragile(3))),
        runtime: clock.clone(),
    };
    (part, runtime, dropped)
}

/// A pool without tasks, and the count of its fragile things that have been dropped. One of these
/// panics.
fn pool_of_parts(which: usize) -> (Pool<Part>, Arc<AtomicUsize>) {
    let (part, runtime, dropped) = parts(which);
    let pool = Pool::builder(part(0))
        .runtime(part(1))
        .observer(part(2))
        .observer(part(4))
        .build()
        .unwrap();
    // The error stays with the pool.
    let late = runtime.block_on(pool.acquire_timeout(Duration::from_millis(1)));
    assert!(late.err().unwrap().is_timed_out());
    (pool, dropped)
}

const PARTS: usize = 5;

type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;
type Way = (&'static str, fn(&Pool<Part>) -> Ending);

const WAYS: [Way; 6] = [
    ("none", |_| Box::pin(std::future::ready(()))),
    ("close", |pool| Box::pin(pool.close())),
    ("close_within", |pool| {
        let closing = pool.close_within(Duration::ZERO);
        Box::pin(async { assert_eq!(closing.await, 0) })
    }),
    ("pause", |pool| Box::pin(Pool::pause(pool))),
    ("wait_reset", |pool| Box::pin(pool.wait_reset())),
    ("closed", |pool| Box::pin(pool.closed())),
];

/// Guarantee 7. The last that is left of the pool is a handle or a future of one of its methods.
#[test]
fn panicking_destructor_of_a_part_does_not_leave_the_pool() {
    let mut escaped = Vec::new();
    for which in (0..PARTS).chain([EVERY]) {
        for (way, begin) in WAYS {
            for polled in [false, true] {
                let (pool, dropped) = pool_of_parts(which);
                let end = AssertUnwindSafe(|| {
                    let future = begin(&pool);
                    drop(pool);
                    match polled {
                        true => block_on(future),
                        false => drop(future),
                    }
                });
                if catch_unwind(end).is_err() {
                    escaped.push((which, way, polled));
                }
                assert_eq!(dropped.load(Ordering::SeqCst), PARTS);
            }
        }
    }
    assert_eq!(escaped, []);
}

/// The pool's own copy panics when it is dropped, if the key does that.
struct Key {
    fragile: bool,
    copied: bool,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.fragile == other.fragile
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fragile.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Key {
            copied: true,
            ..*self
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if self.fragile && self.copied {
            std::panic::resume_unwind(Box::new("fragile"));
        }
    }
}

const KEY: usize = 6;

/// Guarantee 7. The same of the pools of all keys, whose factory ends with them as well, and which
/// have keys.
#[test]
fn panicking_destructor_of_a_part_does_not_leave_a_keyed_pool() {
    let mut escaped = Vec::new();
    // The error goes with its key, before that.
    for which in [0, 1, 2, 4, 5, KEY, EVERY] {
        for closes in [false, true] {
            let (part, runtime, dropped) = parts(which);
            let (make, of_factory) = (part.clone(), part(5));
            let key = Key {
                fragile: [KEY, EVERY].contains(&which),
                copied: false,
            };
            let pool = KeyedPool::builder(move |_: &Key| {
                let _ = &of_factory;
                make(0)
            })
            .each(|pool| pool.runtime(part(1)).observer(part(2)).observer(part(4)))
            .build()
            .unwrap();
            let acquire = pool.acquire_timeout(&key, Duration::from_millis(1));
            let error = runtime.block_on(acquire).err().unwrap();
            assert!(error.is_timed_out());
            // It is the last that knows what the manager said.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(error)));
            let end = AssertUnwindSafe(|| {
                let closing = closes.then(|| pool.close_within(Duration::ZERO));
                drop(pool);
                closing.map(block_on)
            });
            if catch_unwind(end).is_err() {
                escaped.push((which, closes));
            }
            assert_eq!(dropped.load(Ordering::SeqCst), PARTS + 1);
        }
    }
    assert_eq!(escaped, []);
}

/// Guarantee 7. A key whose connections are still in use when its pool is gone.
#[test]
fn panicking_destructor_of_a_key_in_use_does_not_leave_the_pool() {
    let runtime = VirtualRuntime::new();
    let theirs = runtime.clone();
    let pool = KeyedPool::builder(|_: &Key| FromFn::new(async || Ok::<_, ()>(7)))
        .each(|pool| pool.runtime(theirs))
        .build()
        .unwrap();
    let key = Key {
        fragile: true,
        copied: false,
    };
    let held = runtime.block_on(pool.acquire(&key)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pool))).is_ok());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(held))).is_ok());
    runtime.settle();
    assert_eq!(runtime.tasks(), 0);
}

/// Makes connections that cannot be closed without a panic.
struct Stubborn(Arc<AtomicUsize>);

impl BlockingManager for Stubborn {
    type Connection = u8;
    type Error = ();

    fn connect(&self) -> Result<u8, ()> {
        Ok(7)
    }

    fn close(&self, _: u8) {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::panic::resume_unwind(Box::new("stubborn"));
    }
}

/// Guarantee 7. A blocking call that a runtime drops is run there and then, and what it makes for
/// nobody is closed.
#[test]
fn panicking_close_of_what_was_made_for_nobody_does_not_leave_the_runtime() {
    let closes = Arc::new(AtomicUsize::new(0));
    // After one of these, the attempt has begun its call, and nobody has run that yet.
    for steps in 0..10 {
        let runtime = VirtualRuntime::new();
        let pool = Pool::builder(Blocking::new(Stubborn(Arc::clone(&closes))))
            .runtime(runtime.clone())
            .build()
            .unwrap();
        let mut acquire = Box::pin(pool.acquire());
        assert!(block_on(poll_once(&mut acquire)).is_none());
        for _ in 0..steps {
            runtime.step();
        }
        runtime.kill();
    }
    assert!(closes.load(Ordering::SeqCst) > 0);
}

/// Guarantee 7. The pool is closed while it makes one for the key.
#[test]
fn panicking_destructor_of_a_key_that_is_founded_in_vain_does_not_leave_the_call() {
    type Connect = fn() -> std::future::Ready<Result<u8, ()>>;
    let connect: Connect = || std::future::ready(Ok(7));
    let runtime = VirtualRuntime::new();
    let theirs = runtime.clone();
    let found = Arc::new(OnceLock::<KeyedPool<Key, FromFn<Connect>>>::new());
    // The factory must not own the pool that owns it.
    let closing = Arc::downgrade(&found);
    let pool = KeyedPool::builder(move |_: &Key| {
        let found = closing.upgrade();
        drop(found.and_then(|pool| pool.get().map(KeyedPool::close)));
        FromFn::new(connect)
    })
    .each(|each| each.runtime(theirs))
    .build()
    .unwrap();
    assert!(found.set(pool.clone()).is_ok());
    let key = Key {
        fragile: true,
        copied: false,
    };
    let acquire = AssertUnwindSafe(|| runtime.block_on(pool.acquire(&key)).map(drop));
    let answer = catch_unwind(acquire);
    assert!(answer.is_ok_and(|answer| answer.unwrap_err().is_closed()));
    runtime.kill();
}

/// Guarantee 7. What it has is closed there and then, for nobody runs tasks, and it is forgotten.
#[test]
fn panicking_destructor_of_a_key_does_not_leave_its_removal() {
    let runtime = VirtualRuntime::new();
    let theirs = runtime.clone();
    let pool = KeyedPool::builder(|_: &Key| FromFn::new(async || Ok::<_, ()>(7)))
        .each(|pool| pool.runtime(theirs))
        .build()
        .unwrap();
    let key = Key {
        fragile: true,
        copied: false,
    };
    drop(runtime.block_on(pool.acquire(&key)).unwrap());
    runtime.kill();
    let removed = catch_unwind(AssertUnwindSafe(|| pool.remove(&key)));
    assert_eq!(removed.ok(), Some(true));
    assert_eq!(pool.total_status().size, 0);
}
