//! Places of keys that change hands in odd moments.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake};

use watertight::{FromFn, KeyedPool, PooledConnection, VirtualRuntime};

type Connected = std::future::Ready<io::Result<()>>;
type Lent = PooledConnection<FromFn<fn() -> Connected>>;

/// Gives a connection back when it is woken.
struct GivesBack(Mutex<Option<Lent>>);

impl Wake for GivesBack {
    fn wake(self: Arc<Self>) {
        let held = self.0.lock().unwrap().take();
        drop(held);
    }
}

/// Nobody wants a place any more, and that is not written down yet, when the second comes back.
#[test]
fn connection_that_comes_back_as_the_last_who_waited_is_served_is_kept() {
    let runtime = VirtualRuntime::new();
    let theirs = runtime.clone();
    let connect: fn() -> Connected = || std::future::ready(Ok(()));
    let pool = KeyedPool::builder(move |_: &u8| FromFn::new(connect))
        .max_total(2)
        .max_per_key(3)
        .each(move |pool| pool.runtime(theirs.clone()))
        .build()
        .unwrap();
    let [first, second] = [(); 2].map(|()| runtime.block_on(pool.acquire(&1)).unwrap());
    let waker = Arc::new(GivesBack(Mutex::new(Some(first)))).into();
    let mut caller = Box::pin(pool.acquire(&1));
    let mut cx = Context::from_waker(&waker);
    assert!(caller.as_mut().poll(&mut cx).is_pending());
    drop(second);
    runtime.settle();
    assert_eq!(pool.statistics(&1).unwrap().closes.total(), 0);
    assert!(caller.as_mut().poll(&mut cx).is_ready());
    drop(caller);
    runtime.block_on(pool.close());
    runtime.kill();
}
