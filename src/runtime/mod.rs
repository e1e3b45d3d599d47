//! What the pool asks of an async runtime, and the runtimes that come with the crate.
//!
//! A pool needs three things from its surroundings: somewhere to run a task that nobody waits
//! for ([`Spawner`]), a clock, and a way to wait for a moment on it ([`Timer`]). Both traits are
//! object safe and small; together they make a [`Runtime`], which is all that
//! [`Builder::runtime`](crate::Builder::runtime) takes. The pool finds its runtime once, when it
//! is built, and needs no ambient runtime afterwards: a connection can be given back from a
//! plain thread, inside another runtime, or after the pool's own runtime has shut down.
//!
//! # Examples
//!
//! A runtime of threads, for a program that has no executor at all:
//!
//! ```
//! use std::time::Instant;
//! use watertight::runtime::{BoxFuture, Spawner, Timer};
//!
//! struct Threads;
//!
//! impl Spawner for Threads {
//!     fn spawn(&self, task: BoxFuture<()>) {
//!         std::thread::spawn(move || futures_lite::future::block_on(task));
//!     }
//! }
//!
//! impl Timer for Threads {
//!     fn now(&self) -> Instant {
//!         Instant::now()
//!     }
//!
//!     fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
//!         let (done, waiting) = async_channel::bounded::<()>(1);
//!         let (alive, dropped) = std::sync::mpsc::channel::<()>();
//!         std::thread::spawn(move || {
//!             // Most are dropped long before their time.
//!             let left = at.saturating_duration_since(Instant::now());
//!             let _ = dropped.recv_timeout(left);
//!             drop(done);
//!         });
//!         Box::pin(async move {
//!             let _alive = alive;
//!             let _ = waiting.recv().await;
//!         })
//!     }
//! }
//!
//! let pool = watertight::SyncPool::from_fn(|| async { Ok::<_, std::io::Error>(7) })
//!     .runtime(Threads)
//!     .build()?;
//! assert_eq!(*pool.acquire()?, 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(any(feature = "tokio", feature = "smol"))]
mod overdue;
#[cfg(feature = "smol")]
mod smol;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(feature = "test-util")]
mod virtual_clock;

#[cfg(feature = "smol")]
pub use self::smol::SmolRuntime;
#[cfg(feature = "tokio")]
pub use self::tokio::TokioRuntime;
#[cfg(feature = "test-util")]
pub use self::virtual_clock::{Faults, VirtualRuntime};

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use crate::primitives::{Arc, contain};

/// A boxed future that owns everything it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Runs tasks that nobody waits for.
pub trait Spawner: Send + Sync + 'static {
    /// Runs `task` to its end, detached from the caller.
    ///
    /// It may drop the task without polling it, or half-way, when the runtime is shutting down or
    /// gone: the pool then takes back the place that the task was holding. It must not panic.
    /// The pool calls it from any thread, and never with a lock held.
    fn spawn(&self, task: BoxFuture<()>);

    /// True if this is called where the tasks of this runtime run, or where at least all works that
    /// they may need, its timers and its I/O.
    ///
    /// A check that a caller has to wait for is begun by that caller then, and becomes a task only if
    /// it is not over at once. By default it is false, and every check is a task. It must not panic.
    fn is_current(&self) -> bool {
        false
    }

    /// What the task is called that this is called from, if it is one of this runtime's and has a
    /// name or a number: for reports of [leaks](crate::Builder::leak_threshold), and only called if
    /// those are looked for. `None` by default.
    fn current_task(&self) -> Option<String> {
        None
    }

    /// Runs `work` where blocking is allowed; by default on a thread of its own.
    ///
    /// Only [`Blocking`](crate::Blocking) managers use it. Like [`spawn`](Spawner::spawn) it may
    /// drop the work when the runtime is gone. A runtime that has so many threads for it and no more is
    /// to begin it soon all the same: those threads may all wait for the pool.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        on_a_thread_of_its_own(work);
    }

    /// This thread is about to block until somebody else has got on with tasks: a caller of a
    /// [`SyncPool`](crate::SyncPool) waits. A runtime that keeps some for the thread that spawned or
    /// woke them is to let others have them, if the thread is one of its own. By default it keeps
    /// none. It must not panic.
    fn about_to_block(&self) {}

    /// A number to seed a pool's own chance with: the jitter of lifetimes and of back-off. By
    /// default it is a random one; a runtime for tests makes it the same each time.
    fn entropy(&self) -> u64 {
        fastrand::u64(..)
    }
}

/// A clock, and a way to wait for it.
pub trait Timer: Send + Sync + 'static {
    /// The present moment on this clock. It never goes back.
    fn now(&self) -> Instant;

    /// A future that completes at `at`, and not before. Neither making nor polling it may panic.
    ///
    /// It must stay safe to poll after the runtime that made it has shut down, and should still
    /// complete then: somebody's deadline depends on it.
    fn sleep_until(&self, at: Instant) -> BoxFuture<()>;
}

/// Everything the pool asks of its surroundings; implemented for whatever is both a [`Spawner`]
/// and a [`Timer`].
pub trait Runtime: Spawner + Timer {}

impl<T: Spawner + Timer + ?Sized> Runtime for T {}

impl<T: Spawner + ?Sized> Spawner for Arc<T> {
    fn spawn(&self, task: BoxFuture<()>) {
        (**self).spawn(task);
    }

    fn is_current(&self) -> bool {
        (**self).is_current()
    }

    fn current_task(&self) -> Option<String> {
        (**self).current_task()
    }

    fn about_to_block(&self) {
        (**self).about_to_block();
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        (**self).spawn_blocking(work);
    }

    fn entropy(&self) -> u64 {
        (**self).entropy()
    }
}

impl<T: Timer + ?Sized> Timer for Arc<T> {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        (**self).sleep_until(at)
    }
}

/// Runs work that may block. A machine that is out of threads drops it.
pub(crate) fn on_a_thread_of_its_own(work: impl FnOnce() + Send + 'static) {
    let _ = std::thread::Builder::new()
        .name("watertight-blocking".into())
        .spawn(work);
}

/// This thread is about to block, and may be anybody's: what is waited for may depend on another runtime than
/// the pool's.
pub(crate) fn about_to_block(runtime: &dyn Runtime) {
    contain(|| runtime.about_to_block());
    #[cfg(feature = "tokio")]
    contain(tokio::about_to_block);
}

/// The runtime that surrounds this call, or that a feature provides anywhere.
///
/// In this order: the tokio runtime that we are in; for callers that block (`blocking`), tokio's
/// background thread; smol's global executor.
pub(crate) fn discover(blocking: bool) -> Option<Arc<dyn Runtime>> {
    #[cfg(feature = "tokio")]
    {
        if let Some(runtime) = TokioRuntime::try_current() {
            return Some(Arc::new(runtime));
        }
        if blocking {
            if let Some(runtime) = TokioRuntime::try_background() {
                return Some(Arc::new(runtime));
            }
        }
    }
    let _ = blocking;
    #[cfg(feature = "smol")]
    let last_resort: Option<Arc<dyn Runtime>> = Some(Arc::new(SmolRuntime::new()));
    #[cfg(not(feature = "smol"))]
    let last_resort = None;
    last_resort
}
