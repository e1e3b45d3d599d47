//! Waiting on tokio's timer, and on.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use ::tokio::task::coop::unconstrained;
use ::tokio::task::try_id;
use futures_timer::Delay;

use super::end::Sentinel;
use crate::bell::{Bell, Place};
use crate::contained::Contained;
use crate::primitives::{Arc, contain};

pin_project_lite::pin_project! {
    /// A sleep that goes on when its runtime has shut down.
    pub(super) struct SleepOn {
        #[pin]
        sleep: ::tokio::time::Sleep,
        sentinel: Arc<Sentinel>,
        // Where somebody who is no task is told of the end.
        place: Option<Place<Arc<Bell>>>,
        // What is slept on once the runtime is down, which is rare: so not in here.
        instead: Option<Box<OnTheTimerThread>>,
    }
}

impl SleepOn {
    pub(super) fn until(at: Instant, sentinel: Arc<Sentinel>) -> Self {
        SleepOn {
            sleep: ::tokio::time::sleep_until(at.into()),
            sentinel,
            place: None,
            instead: None,
        }
    }
}

impl Future for SleepOn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let at = this.sleep.deadline();
        if this.instead.is_none() {
            // A task goes with its runtime, and need not be told.
            if try_id().is_none() {
                let bell = &this.sentinel.end.bell;
                let place = this
                    .place
                    .get_or_insert_with(|| Place::at(Arc::clone(bell)));
                place.leave(cx.waker().clone());
            }
            if !this.sentinel.end.has_come() {
                // Not by tokio's cooperative budget: whoever blocks in a poll gets no new one, and once it is
                // used up this would never ring, but wake him at once, again and again.
                let sleep = pin!(unconstrained(this.sleep));
                // tokio's timer panics when it is polled after its runtime's end, and that end may
                // come between the look above and this poll.
                if let Some(poll) = contain(|| sleep.poll(cx)) {
                    return poll;
                }
            }
        }
        let delay = this.instead.get_or_insert_with(|| {
            let now = this.sentinel.end.now(&this.sentinel.handle);
            let left = at.into_std().saturating_duration_since(now);
            Box::new(OnTheTimerThread::during(left))
        });
        Pin::new(delay).poll(cx)
    }
}

/// Waiting on futures-timer's thread, of which there is one for the whole process.
pub(super) struct OnTheTimerThread {
    delay: Delay,
    /// That of whoever waits, and a harmless one for it.
    waker: Option<(Waker, Waker)>,
    gave_way: bool,
}

impl OnTheTimerThread {
    pub(super) fn during(duration: Duration) -> Self {
        OnTheTimerThread {
            delay: Delay::new(duration),
            waker: None,
            gave_way: false,
        }
    }
}

impl Future for OnTheTimerThread {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let theirs = cx.waker();
        let known = this
            .waker
            .take()
            .filter(|(known, _)| known.will_wake(theirs));
        let (_, harmless) = this.waker.insert(known.unwrap_or_else(|| {
            let harmless = Harmless(Contained::new(theirs.clone()));
            (theirs.clone(), Waker::from(Arc::new(harmless)))
        }));
        let mut cx = Context::from_waker(harmless);
        let delay = Pin::new(&mut this.delay);
        // Without that thread it panics. Whoever waits then looks again and again, but gives way to
        // others in between.
        contain(|| delay.poll(&mut cx)).unwrap_or_else(|| {
            if std::mem::replace(&mut this.gave_way, true) {
                return Poll::Ready(());
            }
            theirs.wake_by_ref();
            Poll::Pending
        })
    }
}

/// A waker of which no panic ends the thread for all others.
struct Harmless(Contained<Waker>);

impl Wake for Harmless {
    fn wake(self: Arc<Self>) {
        contain(|| self.0.wake_by_ref());
    }
}
