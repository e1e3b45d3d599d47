//! tokio, through a handle that was captured once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_timer::Delay;

use ::tokio::runtime::Handle;
use ::tokio::task::AbortHandle;

use super::{BoxFuture, Spawner, Timer};
use crate::primitives::{Arc, Mutex, OnceLock, Weak, contain};

/// Runs a pool on a tokio runtime.
///
/// It owns a [`Handle`], so the pool works from threads that are not tokio's. Once the runtime
/// has shut down, tasks are dropped unpolled (the pool copes, see [`Spawner::spawn`]) and what is
/// left to wait for is waited for on a plain timer thread.
///
/// Two things about a shutdown: a timer that is polled in the very instant of it panics inside
/// tokio, which the pool contains, so with `panic = "abort"` let a pool's waiters end before its
/// runtime does. And whoever waits outside the pool's runtime is timed by that thread as well, so
/// his deadline holds even if nobody runs the runtime (unless he has merely `enter`ed it).
///
/// The clock is tokio's, so `tokio::time::pause` holds a pool's time-outs as it does all others.
#[derive(Clone)]
pub struct TokioRuntime {
    handle: Handle,
    end: Arc<End>,
}

impl TokioRuntime {
    /// Uses the runtime that `handle` belongs to.
    ///
    /// The runtime must have its timer on
    /// ([`enable_time`](::tokio::runtime::Builder::enable_time)); building a pool fails with
    /// [`BuildError::NoTimer`](crate::BuildError::NoTimer) if it has not.
    pub fn new(handle: Handle) -> Self {
        let end = Arc::new(End::default());
        TokioRuntime { handle, end }
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

    fn current_task(&self) -> Option<String> {
        let here = Handle::try_current().ok()?;
        let id = ::tokio::task::try_id().filter(|_| here.id() == self.handle.id())?;
        Some(id.to_string())
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.handle.spawn_blocking(work));
    }
}

impl Timer for TokioRuntime {
    fn now(&self) -> Instant {
        self.end.now(&self.handle)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        // To post a sentinel where the end has come is to learn of it.
        let sentinel = self.end.sentinel(&self.handle);
        // A sleep is driven by the runtime that it belongs to. Whoever is somewhere else should
        // not depend on somebody running this one.
        let here = Handle::try_current();
        let at_home = here.is_ok_and(|here| here.id() == self.handle.id());
        if !at_home || self.end.has_come() {
            return Box::pin(on_the_timer_thread(
                at.saturating_duration_since(self.now()),
            ));
        }
        Box::pin(SleepOn {
            sleep: ::tokio::time::sleep_until(at.into()),
            sentinel,
            instead: None,
        })
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
        if this.instead.is_none() && !this.sentinel.end.has_come() {
            // tokio's timer panics when it is polled after its runtime's end, and that end may
            // come between the look above and this poll.
            if let Some(poll) = contain(|| this.sleep.poll(cx)) {
                return poll;
            }
        }
        let delay = this.instead.get_or_insert_with(|| {
            let now = this.sentinel.end.now(&this.sentinel.handle);
            on_the_timer_thread(at.into_std().saturating_duration_since(now))
        });
        Pin::new(delay).poll(cx)
    }
}

fn on_the_timer_thread(duration: Duration) -> Delay {
    Delay::new(duration)
}

/// The end of a runtime, once it has come.
#[derive(Default)]
struct End {
    come: AtomicBool,
    /// What tokio's clock and the real one showed when somebody first looked after the end.
    clocks: OnceLock<(Instant, Instant)>,
    sentinel: Mutex<Weak<Sentinel>>,
}

impl End {
    fn has_come(&self) -> bool {
        self.come.load(Ordering::Acquire)
    }

    fn now(&self, handle: &Handle) -> Instant {
        // Entered for the clock's sake: a paused one belongs to its runtime.
        let _context = handle.enter();
        let now = || ::tokio::time::Instant::now().into_std();
        if !self.has_come() {
            return now();
        }
        // A clock that was paused stands still for ever: time goes on from where it was.
        let (tokio, real) = *self.clocks.get_or_init(|| (now(), Instant::now()));
        tokio + real.elapsed()
    }

    /// The sentinel on duty, or a new one. It is posted only while somebody sleeps, so a pool
    /// that is closed leaves no task behind.
    fn sentinel(self: &Arc<Self>, handle: &Handle) -> Arc<Sentinel> {
        let mut on_duty = self.sentinel.lock();
        if let Some(sentinel) = on_duty.upgrade() {
            return sentinel;
        }
        let sentinel = Arc::new(Sentinel::post(handle, Arc::clone(self)));
        *on_duty = Arc::downgrade(&sentinel);
        sentinel
    }
}

/// A task that does nothing but fall when its runtime falls.
///
/// A runtime drops its tasks before it stops its timer, and stopping the timer wakes everybody
/// who sleeps: whoever is woken so knows by then that the end has come.
struct Sentinel {
    handle: Handle,
    end: Arc<End>,
    dismissed: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Sentinel {
    fn post(handle: &Handle, end: Arc<End>) -> Self {
        struct Fall {
            end: Arc<End>,
            dismissed: Arc<AtomicBool>,
        }
        impl Drop for Fall {
            fn drop(&mut self) {
                if !self.dismissed.load(Ordering::Acquire) {
                    self.end.come.store(true, Ordering::Release);
                }
            }
        }
        let dismissed = Arc::new(AtomicBool::new(false));
        let fall = Fall {
            end: Arc::clone(&end),
            dismissed: Arc::clone(&dismissed),
        };
        let task = handle.spawn(async move {
            let _fall = fall;
            std::future::pending::<()>().await;
        });
        Sentinel {
            handle: handle.clone(),
            end,
            dismissed,
            task: task.abort_handle(),
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.dismissed.store(true, Ordering::Release);
        self.task.abort();
    }
}
