//! tokio, through a handle that was captured once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_timer::Delay;

use ::tokio::runtime::Handle;
use ::tokio::task::AbortHandle;

use super::{BoxFuture, Spawner, Timer};
use crate::primitives::{Arc, OnceLock, contain};

/// Runs a pool on a tokio runtime.
///
/// It owns a [`Handle`], so the pool works from threads that are not tokio's. Once the runtime
/// has shut down, tasks are dropped unpolled (the pool copes, see [`Spawner::spawn`]) and what is
/// left to wait for is waited for on a plain timer thread.
///
/// The clock is tokio's, so `tokio::time::pause` holds a pool's time-outs as it does all others.
#[derive(Clone)]
pub struct TokioRuntime {
    handle: Handle,
    sentinel: Arc<Sentinel>,
}

impl TokioRuntime {
    /// Uses the runtime that `handle` belongs to.
    ///
    /// The runtime must have its timer on
    /// ([`enable_time`](::tokio::runtime::Builder::enable_time)); building a pool fails with
    /// [`BuildError::NoTimer`](crate::BuildError::NoTimer) if it has not.
    pub fn new(handle: Handle) -> Self {
        let sentinel = Arc::new(Sentinel::post(&handle));
        TokioRuntime { handle, sentinel }
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
    /// Panics if the operating system refuses the thread or tokio its I/O driver.
    #[track_caller]
    pub fn background() -> Self {
        match TokioRuntime::try_background() {
            Some(runtime) => runtime,
            None => panic!("the background thread for tokio could not be started"),
        }
    }

    pub(super) fn try_background() -> Option<Self> {
        static BACKGROUND: OnceLock<Option<TokioRuntime>> = OnceLock::new();
        BACKGROUND
            .get_or_init(|| {
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
            })
            .clone()
    }
}

impl Spawner for TokioRuntime {
    fn spawn(&self, task: BoxFuture<()>) {
        drop(self.handle.spawn(task));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.handle.spawn_blocking(work));
    }
}

impl Timer for TokioRuntime {
    fn now(&self) -> Instant {
        // Entered for the clock's sake: a paused one belongs to its runtime.
        let _context = self.handle.enter();
        ::tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        if self.sentinel.is_down() {
            return Box::pin(on_the_timer_thread(at));
        }
        let sleep = {
            let _context = self.handle.enter();
            ::tokio::time::sleep_until(at.into())
        };
        Box::pin(SleepOn {
            sleep,
            sentinel: Arc::clone(&self.sentinel),
            instead: None,
        })
    }
}

impl fmt::Debug for TokioRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioRuntime")
            .field("runtime", &self.handle.id())
            .field("down", &self.sentinel.is_down())
            .finish()
    }
}

pin_project_lite::pin_project! {
    /// A sleep that goes on when its runtime has shut down.
    struct SleepOn {
        #[pin]
        sleep: ::tokio::time::Sleep,
        sentinel: Arc<Sentinel>,
        // What is slept on once the runtime is down.
        instead: Option<Delay>,
    }
}

impl Future for SleepOn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let at = this.sleep.deadline();
        if this.instead.is_none() && !this.sentinel.is_down() {
            // tokio's timer panics when it is polled after its runtime's end, and that end may
            // come between the look above and this poll.
            if let Some(poll) = contain(|| this.sleep.poll(cx)) {
                return poll;
            }
        }
        let instead = this.instead;
        let delay = instead.get_or_insert_with(|| on_the_timer_thread(at.into_std()));
        Pin::new(delay).poll(cx)
    }
}

fn on_the_timer_thread(at: Instant) -> Delay {
    Delay::new(at.saturating_duration_since(Instant::now()))
}

/// A task that does nothing but fall when its runtime falls.
///
/// A runtime drops its tasks before it stops its timer, and stopping the timer wakes everybody
/// who sleeps: whoever is woken so finds the sentinel down.
struct Sentinel {
    down: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Sentinel {
    fn post(handle: &Handle) -> Self {
        struct Fall(Arc<AtomicBool>);
        impl Drop for Fall {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let down = Arc::new(AtomicBool::new(false));
        let fall = Fall(Arc::clone(&down));
        let task = handle.spawn(async move {
            let _fall = fall;
            std::future::pending::<()>().await;
        });
        Sentinel {
            down,
            task: task.abort_handle(),
        }
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.task.abort();
    }
}
