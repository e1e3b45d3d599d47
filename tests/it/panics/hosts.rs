//! Hosts whose errors panic when they are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use watertight::{Balanced, Manager, Pool, VirtualRuntime};

/// Panics when it is dropped.
#[derive(Debug)]
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("fragile"));
    }
}

/// Cannot be reached, or counts what it closes.
struct Host(Option<Arc<AtomicUsize>>);

impl Manager for Host {
    type Connection = ();
    type Error = Fragile;

    async fn connect(&self) -> Result<(), Fragile> {
        self.0.as_ref().map(|_| ()).ok_or_else(|| Fragile)
    }

    async fn close(&self, _: ()) {
        if let Some(closed) = &self.0 {
            closed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn connection_is_not_lost_with_the_error_of_another_host() {
    let closed = Arc::new(AtomicUsize::new(0));
    let runtime = VirtualRuntime::new();
    let hosts = [Host(None), Host(Some(Arc::clone(&closed)))];
    let pool = Pool::builder(Balanced::new(hosts))
        .max_size(1)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let conn = runtime.block_on(pool.acquire()).expect("one is up");
    assert_eq!(conn.endpoint(), 1);
    drop(conn);
    assert_eq!(pool.statistics().failed_connects, 0);
    runtime.block_on(pool.close());
    assert_eq!(closed.load(Ordering::SeqCst), 1);
    runtime.kill();
}
