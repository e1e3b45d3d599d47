//! A connection whose destructor panics, and that goes with the task that held it.

use std::future::pending;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use watertight::{Condition, Manager, Pool, VirtualRuntime};

/// Counts those that were dropped.
struct Fragile(Arc<AtomicUsize>);

impl Drop for Fragile {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        resume_unwind(Box::new("fragile"));
    }
}

/// Everything that comes back is recycled for ever.
struct Recycler(Arc<AtomicUsize>);

impl Manager for Recycler {
    type Connection = Fragile;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Fragile> {
        Ok(Fragile(Arc::clone(&self.0)))
    }

    fn inspect(&self, _: &mut Fragile) -> Condition {
        Condition::Dirty
    }

    async fn recycle(&self, _: &mut Fragile) -> io::Result<()> {
        pending().await
    }
}

#[test]
fn runtime_that_drops_a_task_is_spared_the_panic_of_its_connection() {
    let dropped = Arc::default();
    let runtime = VirtualRuntime::new();
    let pool = Pool::builder(Recycler(Arc::clone(&dropped)))
        .runtime(runtime.clone())
        .recycle_timeout(None)
        .build()
        .unwrap();
    drop(runtime.block_on(pool.acquire()).unwrap());
    runtime.settle();
    assert_eq!(pool.status().recycling, 1);
    runtime.kill();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(pool.status().size, 0, "its place came back");
}
