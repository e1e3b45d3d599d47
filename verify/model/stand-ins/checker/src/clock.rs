//! The clock of a model: time passes when somebody says so.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};

thread_local! {
    /// That of the execution under way: the checkers run all its threads on this one.
    static CURRENT: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
}

pub struct Clock {
    /// Not the model's, for reading a clock orders nothing.
    now: std::sync::Mutex<Instant>,
    alarms: Mutex<Alarms>,
    changed: Condvar,
}

#[derive(Default)]
struct Alarms {
    next: usize,
    wakers: BTreeMap<(Instant, usize), Waker>,
    /// Wakers taken off the list and not woken yet.
    firing: usize,
    heard: usize,
    stopped: bool,
}

/// A waker on the clock's list, until this is dropped.
pub struct Alarm {
    clock: Arc<Clock>,
    key: (Instant, usize),
}

/// Puts a new clock in the place of the last execution's.
pub fn install() -> Arc<Clock> {
    let clock = Arc::new(Clock {
        now: std::sync::Mutex::new(Instant::now()),
        alarms: Mutex::new(Alarms::default()),
        changed: Condvar::new(),
    });
    CURRENT.with(|current| *current.borrow_mut() = Some(Arc::clone(&clock)));
    clock
}

/// Lets go of the clock, at the end of an execution.
pub fn remove() {
    drop(CURRENT.with(|current| current.borrow_mut().take()));
}

pub fn current() -> Arc<Clock> {
    let clock = CURRENT.with(|current| current.borrow().clone());
    clock.expect("a clock is installed at the start of an execution")
}

pub fn now() -> Instant {
    *current().now.lock().expect("no panic in here")
}

impl Clock {
    /// Wakes at this time; at once if it has come.
    pub fn wake_at(self: &Arc<Self>, at: Instant, waker: Waker) -> Alarm {
        let (key, due) = {
            let mut alarms = self.alarms.lock().expect("no panic in here");
            let key = (at, alarms.next);
            alarms.next += 1;
            let due = *self.now.lock().expect("no panic in here") >= at;
            if !due {
                alarms.wakers.insert(key, waker.clone());
            }
            (key, due)
        };
        match due {
            true => waker.wake(),
            false => self.changed.notify_all(),
        }
        Alarm {
            clock: Arc::clone(self),
            key,
        }
    }

    /// Lets time pass whenever somebody waits for that: up to the first alarm, and when the model
    /// checker pleases. Returns once the clock is [stopped](Clock::stop).
    pub fn run(&self) {
        while let Some(waker) = self.next_alarm() {
            waker.wake();
            self.fired();
        }
    }

    /// Lets time pass up to the first alarm, if there is one.
    pub fn run_once(&self) {
        let waker = {
            let mut alarms = self.alarms.lock().expect("no panic in here");
            self.take_first(&mut alarms)
        };
        if let Some(waker) = waker {
            waker.wake();
            self.fired();
        }
    }

    /// How many alarms have been heard, each by the one whom it was to wake.
    pub fn heard(&self) -> usize {
        let mut alarms = self.alarms.lock().expect("no panic in here");
        while alarms.firing > 0 {
            alarms = self.changed.wait(alarms).expect("no panic in here");
        }
        alarms.heard
    }

    pub fn stop(&self) {
        self.alarms.lock().expect("no panic in here").stopped = true;
        self.changed.notify_all();
    }

    /// Lets time pass, and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        *self.now.lock().expect("no panic in here") += by;
        let now = *self.now.lock().expect("no panic in here");
        let due = {
            let mut alarms = self.alarms.lock().expect("no panic in here");
            let later = alarms.wakers.split_off(&(now + Duration::from_nanos(1), 0));
            std::mem::replace(&mut alarms.wakers, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }

    fn next_alarm(&self) -> Option<Waker> {
        let mut alarms = self.alarms.lock().expect("no panic in here");
        loop {
            if alarms.stopped {
                return None;
            }
            if let Some(waker) = self.take_first(&mut alarms) {
                return Some(waker);
            }
            alarms = self.changed.wait(alarms).expect("no panic in here");
        }
    }

    fn take_first(&self, alarms: &mut Alarms) -> Option<Waker> {
        let ((at, _), waker) = alarms.wakers.pop_first()?;
        alarms.firing += 1;
        alarms.heard += 1;
        let mut now = self.now.lock().expect("no panic in here");
        *now = at.max(*now);
        Some(waker)
    }

    fn fired(&self) {
        self.alarms.lock().expect("no panic in here").firing -= 1;
        self.changed.notify_all();
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = {
            let mut alarms = self.clock.alarms.lock().expect("no panic in here");
            alarms.wakers.remove(&self.key)
        };
        drop(waker);
    }
}
