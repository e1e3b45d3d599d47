//! S4: all of the user's code, and what it may do when the pool calls it.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use watertight::{
    CheckPolicy, Condition, Manager, Metrics, Observer, Pool, Status, WeakPool, event,
};

use crate::support::Virtual;

/// Asks the pool whatever it can. (An observer that hears everything asks in `panics.rs`.)
#[derive(Clone, Default)]
struct Curious(Arc<OnceLock<WeakPool<Asking>>>);

impl Curious {
    fn ask(&self) -> Option<Status> {
        let pool = self.0.get()?.upgrade()?;
        let _ = (pool.statistics(), pool.is_closed(), pool.try_acquire());
        Some(pool.status())
    }
}

struct Asking(Curious);

struct Nosy(Curious);

impl Drop for Nosy {
    fn drop(&mut self) {
        self.0.ask();
    }
}

impl Manager for Asking {
    type Connection = Nosy;
    type Error = Nosy;

    async fn connect(&self) -> Result<Nosy, Nosy> {
        match self.0.ask() {
            Some(status) if status.size == 3 => Err(Nosy(self.0.clone())),
            _ => Ok(Nosy(self.0.clone())),
        }
    }

    async fn check(&self, _: &mut Nosy, _: &Metrics) -> Result<(), Nosy> {
        self.0.ask();
        Ok(())
    }

    fn inspect(&self, _: &mut Nosy) -> Condition {
        match self.0.ask() {
            Some(status) if status.in_use > 1 => Condition::Dirty,
            _ => Condition::Clean,
        }
    }

    async fn recycle(&self, _: &mut Nosy) -> Result<(), Nosy> {
        self.0.ask();
        Err(Nosy(self.0.clone()))
    }

    async fn close(&self, _: Nosy) {
        self.0.ask();
    }

    fn is_permanent(&self, _: &Nosy) -> bool {
        self.0.ask();
        false
    }
}

impl Observer for Curious {
    fn connected(&self, _: &event::Connected) {
        self.ask();
    }
    fn connect_failed(&self, _: &event::ConnectFailed<'_>) {
        self.ask();
    }
    fn acquired(&self, _: &event::Acquired) {
        self.ask();
    }
    fn returned(&self, _: &event::Returned) {
        self.ask();
    }
    fn timed_out(&self, _: &event::TimedOut) {
        self.ask();
    }
    fn closed(&self, _: &event::Closed) {
        self.ask();
    }
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        self.ask();
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        // Wakers are dropped too, and this is what one could do then.
        if Arc::strong_count(&self.0) > 1 {
            self.ask();
        }
    }
}

/// A lock that were held anywhere here would be taken twice by one thread: a deadlock.
pub(super) fn every_callback_asks_the_pool() {
    let runtime = Virtual::new();
    let curious = Curious::default();
    let pool = Pool::builder(Asking(curious.clone()))
        .max_size(3)
        .check_policy(CheckPolicy::Always)
        .max_lifetime(Duration::from_secs(60))
        .observer(curious.clone())
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let _ = curious.0.set(pool.downgrade());
    let waker = Waker::from(Arc::new(curious.clone()));
    let mut cx = Context::from_waker(&waker);

    let held = runtime.block_on(async {
        let first = pool.acquire().await.ok();
        let second = pool.acquire().await.ok();
        (first, second)
    });
    let mut waiting = [
        Box::pin(pool.acquire_timeout(Duration::from_millis(50))),
        Box::pin(pool.acquire_timeout(Duration::from_secs(50))),
        Box::pin(pool.acquire_timeout(Duration::from_secs(50))),
    ];
    for future in &mut waiting {
        assert!(matches!(future.as_mut().poll(&mut cx), Poll::Pending));
    }
    runtime.advance(Duration::from_millis(60));
    assert!(waiting[0].as_mut().poll(&mut cx).is_ready());
    drop(held);
    runtime.settle();
    pool.retain(|nosy, _| nosy.0.ask().is_none());
    drop(waiting);
    pool.resize(1);
    runtime.advance(Duration::from_secs(120));
    runtime.block_on(pool.close());
    assert_eq!(pool.status().size, 0);
}
