//! tokio, through a handle that was captured once.

mod clock;
mod end;
mod sleep;

use std::fmt;
use std::time::Instant;

use ::tokio::runtime::{Handle, RuntimeFlavor};

use self::end::End;
use self::sleep::{OnTheTimerThread, SleepOn};
use super::overdue::Overdue;
use super::{BoxFuture, Spawner, Timer};
use crate::primitives::{Arc, Mutex, OnceLock, contain};

/// Runs a pool on a tokio runtime.
///
/// It owns a [`Handle`], so the pool works from threads that are not tokio's. Once the runtime
/// has shut down, tasks are dropped unpolled (the pool copes, see [`Spawner::spawn`]) and what is
/// left to wait for is waited for on a plain timer thread.
///
/// Two things about a shutdown: a timer that is polled in the very instant of it panics inside
/// tokio, which the pool contains, so with `panic = "abort"` let a pool's waiters end before its
/// runtime does. And whoever waits outside the pool's runtime is timed by that thread as well, so
/// his deadline holds even if nobody runs the runtime: unless he has begun to wait inside of it, has
/// merely `enter`ed it, or waits by [`Handle::block_on`] while nobody runs a current-thread one.
///
/// A worker that is stuck, and does not let its runtime be shut down, keeps it from its timers. Whoever
/// waits there goes on as soon as another worker has seen the end, if he waits by
/// [`Handle::block_on`] on a thread of his own; in [`spawn_blocking`](::tokio::task::spawn_blocking),
/// in a [`LocalSet`](::tokio::task::LocalSet), or if there is no other worker, he may wait until that
/// one is back, whatever his deadline.
/// ([`SyncPool`](crate::SyncPool) keeps the time itself.)
///
/// The clock is tokio's, so `tokio::time::pause` holds a pool's time-outs as it does all others.
#[derive(Clone)]
pub struct TokioRuntime {
    handle: Handle,
    end: Arc<End>,
    overdue: Arc<Overdue>,
}

impl TokioRuntime {
    /// Uses the runtime that `handle` belongs to.
    ///
    /// The runtime must have its timer on
    /// ([`enable_time`](::tokio::runtime::Builder::enable_time)); building a pool fails with
    /// [`BuildError::NoTimer`](crate::BuildError::NoTimer) if it has not.
    pub fn new(handle: Handle) -> Self {
        TokioRuntime {
            handle,
            end: Arc::default(),
            overdue: Arc::default(),
        }
    }

    /// Uses the runtime that this is called in.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime; [`try_current`](TokioRuntime::try_current) does not.
    #[track_caller]
    pub fn current() -> Self {
        TokioRuntime::new(Handle::current())
    }

    /// Uses the runtime that this is called in, if there is one.
    pub fn try_current() -> Option<Self> {
        Handle::try_current().ok().map(TokioRuntime::new)
    }

    /// Uses a tokio runtime on a background thread, which all who ask for it share.
    ///
    /// The thread starts with the first call and lasts as long as the process. It is what a
    /// [`SyncPool`](crate::SyncPool) that is built outside any runtime gets by itself; ask for it
    /// by name when a manager needs tokio's I/O or timers and other runtimes are compiled in too.
    /// Work that blocks this thread blocks every pool on it: see
    /// [`Blocking`](crate::Blocking).
    ///
    /// # Panics
    ///
    /// Panics if the operating system refuses the thread or tokio its I/O driver. The next call tries
    /// again.
    #[track_caller]
    pub fn background() -> Self {
        match TokioRuntime::try_background() {
            Some(runtime) => runtime,
            None => panic!("the background thread for tokio could not be started"),
        }
    }

    pub(super) fn try_background() -> Option<Self> {
        static BACKGROUND: OnceLock<Mutex<Option<TokioRuntime>>> = OnceLock::new();
        // Locked while it starts, so that there is only one.
        let mut background = BACKGROUND.get_or_init(Mutex::default).lock();
        if background.is_none() {
            *background = TokioRuntime::start_in_background();
        }
        background.clone()
    }

    fn start_in_background() -> Option<Self> {
        let runtime = ::tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("watertight-blocking")
            .build()
            .ok()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("watertight-tokio".into())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .ok()?;
        Some(TokioRuntime::new(handle))
    }
}

/// A worker keeps the task that it scheduled last for itself, and no other may take that away. The next one
/// takes its place; and the one after that wakes another worker, which looks after timers and I/O from then
/// on.
pub(super) fn about_to_block() {
    let Ok(here) = Handle::try_current() else {
        return;
    };
    // A single thread has nobody to give anything to.
    if here.runtime_flavor() != RuntimeFlavor::CurrentThread {
        for _ in 0..2 {
            drop(here.spawn(async {}));
        }
    }
}

impl Spawner for TokioRuntime {
    fn spawn(&self, task: BoxFuture<()>) {
        drop(self.handle.spawn(task));
    }

    fn is_current(&self) -> bool {
        Handle::try_current().is_ok_and(|here| here.id() == self.handle.id())
    }

    fn current_task(&self) -> Option<String> {
        let here = Handle::try_current().ok()?;
        let id = ::tokio::task::try_id().filter(|_| here.id() == self.handle.id())?;
        Some(id.to_string())
    }

    /// If tokio gets no thread for it, it panics and keeps the work until one comes by, which may be
    /// never. So that is taken away from it again, and dropped.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let handle = self.handle.clone();
        // As it has on tokio's own threads, wherever it begins.
        let within = move || {
            let _context = handle.enter();
            work();
        };
        let (given, offer) = self.overdue.give(self, Box::new(within));
        if contain(|| drop(self.handle.spawn_blocking(|| given.begin()))).is_none() {
            drop(offer.take());
        }
    }
}

impl Timer for TokioRuntime {
    fn now(&self) -> Instant {
        self.end.now(&self.handle)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        // A sleep is driven by the runtime that it belongs to. Whoever is somewhere else should
        // not depend on somebody running this one.
        let here = self.is_current();
        // To post a sentinel where the end has come is to learn of it. From elsewhere that is not done
        // in vain: if nobody runs the runtime, what is posted there stays.
        let sentinel = (here || self.end.matters_to_the_clock(&self.handle))
            .then(|| self.end.sentinel(&self.handle));
        match sentinel {
            Some(sentinel) if here && !self.end.has_come() => {
                Box::pin(SleepOn::until(at, sentinel))
            }
            _ => {
                assert!(self.end.has_timer(&self.handle), "tokio without its timer");
                let left = at.saturating_duration_since(self.now());
                Box::pin(OnTheTimerThread::during(left))
            }
        }
    }
}

impl fmt::Debug for TokioRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioRuntime")
            .field("runtime", &self.handle.id())
            .field("down", &self.end.has_come())
            .finish()
    }
}
