//! A call to acquire, followed from its first poll to its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::model::Model;
use crate::support::Acquired;

impl Model {
    /// Wraps a call to acquire whose patience is this.
    pub(crate) fn watch<'a>(
        &'a self,
        patience: Duration,
        acquire: impl Future<Output = Acquired> + 'a,
    ) -> Watched<'a> {
        Watched {
            model: self,
            acquire: Some(Box::pin(acquire)),
            patience,
            ticket: None,
            over: false,
        }
    }
}

/// Rings when the waker is woken that a call was polled with.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<AtomicBool>);

impl Bell {
    pub(crate) fn has_rung(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// One that rings, and wakes the other.
    fn waker(&self, inner: &Waker) -> Waker {
        Waker::from(Arc::new(Ringer {
            bell: self.clone(),
            inner: inner.clone(),
        }))
    }
}

struct Ringer {
    bell: Bell,
    inner: Waker,
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        self.bell.0.store(true, Ordering::SeqCst);
        self.inner.wake_by_ref();
    }
}

/// A call to acquire, watched by the model.
pub(crate) struct Watched<'a> {
    model: &'a Model,
    acquire: Option<Pin<Box<dyn Future<Output = Acquired> + 'a>>>,
    patience: Duration,
    ticket: Option<u64>,
    over: bool,
}

impl Watched<'_> {
    /// It will be neither polled nor dropped any more.
    pub(crate) fn forget(&self) {
        if let Some(ticket) = self.ticket {
            self.model.forget(ticket);
        }
    }
}

impl Future for Watched<'_> {
    type Output = Acquired;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acquired> {
        let this = &mut *self;
        let model = this.model;
        let before = model.look_at_it();
        let acquire = this.acquire.as_mut().expect("it is not dropped");
        let bell = Bell::default();
        let waker = bell.waker(cx.waker());
        let poll = acquire.as_mut().poll(&mut Context::from_waker(&waker));
        match (&poll, this.ticket) {
            (Poll::Pending, None) => this.ticket = Some(model.join(this.patience, bell, &before)),
            (Poll::Pending, Some(ticket)) => model.polled(ticket, bell),
            (Poll::Ready(result), None) => model.answered(this.patience, result, &before),
            (Poll::Ready(result), Some(ticket)) => {
                let (waiter, ahead) = model.leave(ticket);
                model.ended(&waiter, &ahead, result, &before);
            }
        }
        this.over = poll.is_ready();
        model.look();
        poll
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if self.over || std::thread::panicking() {
            return;
        }
        if let Some(ticket) = self.ticket {
            self.model.look();
            drop(self.acquire.take());
            self.model.dropped(ticket);
            self.model.look();
        }
    }
}
