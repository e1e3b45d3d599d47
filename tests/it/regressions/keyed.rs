//! Places of keys that change hands in odd moments.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use watertight::{FromFn, KeyedPool, PooledConnection, VirtualRuntime};

type Connected = std::future::Ready<io::Result<()>>;
type Lent = PooledConnection<FromFn<fn() -> Connected>>;

type Keyed = KeyedPool<u8, FromFn<fn() -> Connected>>;

/// A pool of keys, and the clock it runs on.
fn keyed(max_total: usize, max_per_key: usize) -> (VirtualRuntime, Keyed) {
    let runtime = VirtualRuntime::new();
    let theirs = runtime.clone();
    let connect: fn() -> Connected = || std::future::ready(Ok(()));
    let pool = KeyedPool::builder(move |_: &u8| FromFn::new(connect))
        .max_total(max_total)
        .max_per_key(max_per_key)
        .each(move |pool| pool.runtime(theirs.clone()))
        .build()
        .unwrap();
    (runtime, pool)
}

/// Gives a connection back when it is woken.
struct GivesBack(Mutex<Option<Lent>>);

impl Wake for GivesBack {
    fn wake(self: Arc<Self>) {
        let held = self.0.lock().unwrap().take();
        drop(held);
    }
}

fn gives_back(held: Lent) -> Waker {
    Arc::new(GivesBack(Mutex::new(Some(held)))).into()
}

/// The first key has lost none of its connections.
fn was_kept(runtime: &VirtualRuntime, pool: &Keyed) {
    runtime.settle();
    assert_eq!(pool.statistics(&1).unwrap().closes.total(), 0);
}

fn end(runtime: &VirtualRuntime, pool: &Keyed) {
    runtime.block_on(pool.close());
    runtime.kill();
}

/// Nobody wants a place any more, and that is not written down yet, when the second comes back.
#[test]
fn connection_that_comes_back_as_the_last_who_waited_is_served_is_kept() {
    let (runtime, pool) = keyed(2, 3);
    let [first, second] = [(); 2].map(|()| runtime.block_on(pool.acquire(&1)).unwrap());
    let waker = gives_back(first);
    let mut caller = Box::pin(pool.acquire(&1));
    let mut cx = Context::from_waker(&waker);
    assert!(caller.as_mut().poll(&mut cx).is_pending());
    drop(second);
    was_kept(&runtime, &pool);
    assert!(caller.as_mut().poll(&mut cx).is_ready());
    drop(caller);
    end(&runtime, &pool);
}

/// The last who was hungry has been served with what came back to its own key, and nobody has shown since what
/// became idle elsewhere.
#[test]
fn connection_that_became_idle_while_nobody_was_hungry_is_found() {
    let (runtime, pool) = keyed(4, 3);
    let lent = |key| runtime.block_on(pool.acquire(&key)).unwrap();
    let [first, second, _of_another, third] = [1, 1, 2, 3].map(lent);
    let waker = gives_back(first);
    let mut caller = Box::pin(pool.acquire(&1));
    let mut cx = Context::from_waker(&waker);
    assert!(caller.as_mut().poll(&mut cx).is_pending());
    drop(second);
    let _first = lent(1);
    drop(third);
    runtime.settle();
    let other = runtime.block_on(pool.acquire_timeout(&2, Duration::from_secs(1)));
    assert!(other.is_ok(), "one of the third key was idle");
    assert!(caller.as_mut().poll(&mut cx).is_ready());
    drop((caller, other, _first, _of_another));
    end(&runtime, &pool);
}

/// What another key wants is over, and that is not written down yet, as a connection comes back.
#[test]
fn connection_that_comes_back_as_another_key_is_served_is_kept() {
    let (runtime, pool) = keyed(2, 2);
    let [mine, theirs] = [1, 2].map(|key| runtime.block_on(pool.acquire(&key)).unwrap());
    let waker = gives_back(mine);
    let mut caller = Box::pin(pool.acquire(&2));
    let mut cx = Context::from_waker(&waker);
    assert!(caller.as_mut().poll(&mut cx).is_pending());
    drop(theirs);
    was_kept(&runtime, &pool);
    assert!(caller.as_mut().poll(&mut cx).is_ready());
    drop(caller);
    end(&runtime, &pool);
}
