//! How a runtime's end is noticed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ::tokio::runtime::Handle;
use ::tokio::task::AbortHandle;

use super::clock::can_be_paused;
use crate::bell::Bell;
use crate::primitives::{Arc, Mutex, OnceLock, Weak, contain};

/// The end of a runtime, once it has come.
#[derive(Default)]
pub(super) struct End {
    come: AtomicBool,
    /// Rings when it comes.
    pub(super) bell: Arc<Bell>,
    /// What tokio's clock and the real one showed when somebody first looked after the end.
    clocks: OnceLock<(Instant, Instant)>,
    /// Whether the runtime was built with a timer, once somebody wanted to know.
    timer: OnceLock<bool>,
    sentinel: Mutex<Weak<Sentinel>>,
}

impl End {
    pub(super) fn has_come(&self) -> bool {
        self.come.load(Ordering::Acquire)
    }

    pub(super) fn now(&self, handle: &Handle) -> Instant {
        if !can_be_paused() {
            return Instant::now();
        }
        // A paused clock belongs to its runtime.
        let at_home = Handle::try_current().is_ok_and(|here| here.id() == handle.id());
        let _context = (!at_home).then(|| handle.enter());
        let now = || ::tokio::time::Instant::now().into_std();
        if !self.has_come() {
            return now();
        }
        // A clock that was paused stands still for ever: time goes on from where it was.
        let (tokio, real) = *self.clocks.get_or_init(|| {
            // The real one first, or time might go back.
            let real = Instant::now();
            (now(), real)
        });
        tokio + real.elapsed()
    }

    /// True if this clock was ever paused, for it may stand still when the runtime ends. It shows
    /// another time than the system's then.
    pub(super) fn matters_to_the_clock(&self, handle: &Handle) -> bool {
        if !can_be_paused() || self.has_come() {
            return false;
        }
        let before = Instant::now();
        let shown = self.now(handle);
        !(before..=Instant::now()).contains(&shown)
    }

    pub(super) fn has_timer(&self, handle: &Handle) -> bool {
        *self.timer.get_or_init(|| {
            let _context = handle.enter();
            contain(|| drop(::tokio::time::sleep(Duration::ZERO))).is_some()
        })
    }

    /// The sentinel on duty, or a new one. It is posted only while somebody sleeps, so a pool
    /// that is closed leaves no task behind.
    pub(super) fn sentinel(self: &Arc<Self>, handle: &Handle) -> Arc<Sentinel> {
        let on_duty = self.sentinel.lock().upgrade();
        if let Some(sentinel) = on_duty {
            return sentinel;
        }
        // Without the lock: one that falls at once wakes those who sleep.
        let posted = Arc::new(Sentinel::post(handle, Arc::clone(self)));
        let other = {
            let mut on_duty = self.sentinel.lock();
            let other = on_duty.upgrade();
            if other.is_none() {
                *on_duty = Arc::downgrade(&posted);
            }
            other
        };
        other.unwrap_or(posted)
    }
}

/// A task that does nothing but fall when its runtime falls.
///
/// A runtime drops its tasks before it stops its timer, and stopping the timer wakes everybody
/// who sleeps: whoever is woken so knows by then that the end has come. As long as a worker is stuck the
/// timer is not stopped, so those who are not tasks are woken from here too.
pub(super) struct Sentinel {
    pub(super) handle: Handle,
    pub(super) end: Arc<End>,
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
                    self.end.bell.ring();
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
