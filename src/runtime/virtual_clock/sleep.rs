//! Waiting for the virtual clock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::core::Core;
use crate::primitives::{Arc, Mutex};

pub(super) struct Sleep {
    core: Arc<Mutex<Core>>,
    at: Instant,
    key: Option<u64>,
}

impl Sleep {
    pub(super) fn new(core: Arc<Mutex<Core>>, at: Instant) -> Self {
        Sleep {
            core,
            at,
            key: None,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let old = {
            let mut core = this.core.lock();
            if core.now >= this.at {
                return Poll::Ready(());
            }
            let (key, old) = core.set_timer(this.at, this.key, waker);
            this.key = Some(key);
            old
        };
        drop(old);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let old = self.core.lock().unset_timer(self.at, key);
            drop(old);
        }
    }
}
