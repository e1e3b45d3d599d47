//! Parking a thread of the model.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use crate::clock;
use crate::sync::{Condvar, Mutex};

struct Inner {
    woken: Mutex<bool>,
    changed: Condvar,
}

pub struct Parker(Arc<Inner>);

#[derive(Clone)]
pub struct Unparker(Arc<Inner>);

pub fn pair() -> (Parker, Unparker) {
    let inner = Arc::new(Inner {
        woken: Mutex::new(false),
        changed: Condvar::new(),
    });
    (Parker(Arc::clone(&inner)), Unparker(inner))
}

impl Parker {
    pub fn park(&self) {
        let mut woken = self.0.woken.lock().expect("no panic in here");
        while !*woken {
            woken = self.0.changed.wait(woken).expect("no panic in here");
        }
        *woken = false;
    }

    /// Until it is unparked or the model's clock says so. True in the former case.
    pub fn park_deadline(&self, at: Instant) -> bool {
        let alarm = clock::current().wake_at(at, Waker::from(Arc::clone(&self.0)));
        self.park();
        drop(alarm);
        clock::now() < at
    }
}

impl Unparker {
    pub fn unpark(&self) {
        *self.0.woken.lock().expect("no panic in here") = true;
        self.0.changed.notify_one();
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        Unparker(self).unpark();
    }
}

impl From<Unparker> for Waker {
    fn from(unparker: Unparker) -> Waker {
        Waker::from(unparker.0)
    }
}
