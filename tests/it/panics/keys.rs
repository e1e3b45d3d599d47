//! A key whose own code panics, which is called with the lock of the places.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use watertight::{FromFn, KeyedPool, PooledConnection, VirtualRuntime};

use crate::support::comes_to_its_end;

thread_local! {
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

#[derive(Clone, PartialEq, Eq)]
struct Key(u8);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if PANICS.get() {
            resume_unwind(Box::new("no hash"));
        }
        self.0.hash(state);
    }
}

#[test]
fn key_that_panics_as_it_is_forgotten_locks_nobody_out() {
    comes_to_its_end(|| {
        let runtime = VirtualRuntime::new();
        let theirs = runtime.clone();
        let pool =
            KeyedPool::builder(|_: &Key| FromFn::new(|| async { Ok::<_, std::io::Error>(7) }))
                .max_total(1)
                .each(move |pool| pool.runtime(theirs.clone()))
                .build()
                .unwrap();
        let conn = runtime.block_on(pool.acquire(&Key(1))).unwrap();
        let (key, theirs) = (Key(2), pool.clone());
        let mut waiting = Box::pin(async move { theirs.acquire(&key).await });
        assert!(block_on(poll_once(waiting.as_mut())).is_none());
        PANICS.set(true);
        let detached = catch_unwind(AssertUnwindSafe(|| PooledConnection::detach(conn)));
        PANICS.set(false);
        assert!(detached.is_err(), "it was to be forgotten");
        drop(runtime.block_on(waiting).unwrap());
        assert_eq!(runtime.elapsed(), Duration::ZERO, "he waits no longer");
        assert_eq!(pool.total_status().size, 1);
        runtime.block_on(pool.close());
        runtime.kill();
    });
}
