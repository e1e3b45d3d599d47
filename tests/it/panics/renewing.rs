//! A manager that panics when it is told of a reset.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use watertight::{Balanced, Manager, Pool, VirtualRuntime};

/// Counts how often it was told.
struct Moody(Arc<AtomicUsize>);

impl Manager for Moody {
    type Connection = ();
    type Error = io::Error;

    async fn connect(&self) -> io::Result<()> {
        Ok(())
    }

    fn renew(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        resume_unwind(Box::new("moody"));
    }
}

#[test]
fn reset_is_done_though_the_manager_panics() {
    let told = Arc::default();
    let runtime = VirtualRuntime::new();
    let two = [(); 2].map(|()| Moody(Arc::clone(&told)));
    let pool = Pool::builder(Balanced::new(two))
        .runtime(runtime.clone())
        .build()
        .unwrap();
    drop(runtime.block_on(pool.acquire()).unwrap());
    assert_eq!(pool.status().idle, 1);
    let panic = catch_unwind(AssertUnwindSafe(|| pool.reset())).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"moody"));
    assert_eq!(told.load(Ordering::SeqCst), 2, "each endpoint");
    runtime.settle();
    assert_eq!(pool.status().size, 0);
    drop(runtime.block_on(pool.acquire()).unwrap());
    runtime.kill();
}
