//! When the next attempt to connect may be made, after one has failed.

use std::time::Duration;

use crate::attempts::AttemptId;
use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::error::ConnectError;

/// The state of the connect schedule.
///
/// While attempts succeed it does nothing. From the first failure to the next success, attempts
/// are *spaced*: one at each step of the schedule, whether or not the one before has come to an
/// end, so that a hung attempt does not hold up the rest. Attempts that were under way together
/// when the server went away count as one failure.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Retry<E> {
    backoff: Backoff,
    /// The current delay; `None` while attempts succeed.
    delay: Option<Duration>,
    /// When an attempt was last made, or failed.
    last_attempt: Moment,
    next_attempt: Moment,
    /// The first attempt since the delay last changed. Those before it have nothing to say about
    /// this one.
    since: AttemptId,
    last_error: Option<ConnectError<E>>,
    /// How many attempts have failed.
    failures: u64,
    /// The server counts as down: an attempt failed while no other was under way, and none has
    /// succeeded since.
    down: bool,
}

impl<E> Retry<E> {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Retry {
            backoff,
            delay: None,
            last_attempt: Moment::START,
            next_attempt: Moment::START,
            since: AttemptId::FIRST,
            last_error: None,
            failures: 0,
            down: false,
        }
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.delay.is_some()
    }

    /// Why the last attempt failed, if none has succeeded since.
    pub(crate) fn cause(&self) -> Option<&ConnectError<E>> {
        self.last_error.as_ref().filter(|_| self.is_failing())
    }

    /// Why the last attempt that failed did.
    pub(crate) fn last_error(&self) -> Option<&ConnectError<E>> {
        self.last_error.as_ref()
    }

    /// How many attempts have failed so far, apart from those that had nothing to say.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }

    /// The server counts as down, until the next success.
    pub(crate) fn give_up_on_server(&mut self) {
        self.down = true;
    }

    /// Whether the server counts as down.
    pub(crate) fn is_down(&self) -> bool {
        self.down
    }

    /// Why, if the server counts as down and the next attempt is not due yet.
    pub(crate) fn why_down(&self, now: Moment) -> Option<&ConnectError<E>> {
        self.cause()
            .filter(|_| self.down && now < self.next_attempt)
    }

    /// Until when it matters that attempts fail: as long again as until the next is due, so that whoever
    /// makes that inherits the schedule. The start, if they do not.
    pub(crate) fn remembered_until(&self) -> Moment {
        match self.delay {
            Some(delay) => self.next_attempt.after(delay),
            None => Moment::START,
        }
    }

    /// When the next attempt is due; never, as far as this is concerned, while attempts succeed.
    pub(crate) fn due(&self) -> Moment {
        self.delay.map_or(Moment::NEVER, |_| self.next_attempt)
    }

    /// How many of `wanted` attempts may begin now.
    pub(crate) fn allowance(&self, wanted: usize, now: Moment) -> usize {
        match self.delay {
            Some(_) if now < self.next_attempt => 0,
            Some(_) => wanted.min(1),
            None => wanted,
        }
    }

    /// An attempt begins. While failing, the next one comes a delay later.
    pub(crate) fn begun(&mut self, now: Moment) {
        if let Some(delay) = self.delay {
            self.schedule(now, delay);
        }
    }

    /// An attempt failed; `next` will be the next to begin. Returns the error that this one
    /// replaces, for the caller to drop without the lock.
    pub(crate) fn failed(
        &mut self,
        attempt: AttemptId,
        next: AttemptId,
        error: ConnectError<E>,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Option<ConnectError<E>> {
        self.failures += 1;
        if attempt >= self.since {
            let delay = self.backoff.next(self.delay, rng);
            self.delay = Some(delay);
            self.since = next;
            self.schedule(now, delay);
        }
        self.last_error.replace(error)
    }

    /// An attempt succeeded; `next` will be the next to begin.
    pub(crate) fn succeeded(&mut self, next: AttemptId) {
        self.begin_anew(next);
    }

    /// Nothing is known of the server; `next` will be the next attempt.
    pub(crate) fn begin_anew(&mut self, next: AttemptId) {
        self.down = false;
        if self.delay.take().is_some() {
            self.since = next;
        }
    }

    /// Somebody new waits and should not inherit a long delay: brings the next attempt forward to
    /// the first step after the last one.
    pub(crate) fn bring_forward(&mut self) {
        if self.delay.is_some() {
            let soonest = self.last_attempt.after(self.backoff.first());
            self.next_attempt = self.next_attempt.min(soonest);
        }
    }

    /// The first attempt that has something to say about the present delay.
    pub(crate) fn since(&self) -> AttemptId {
        self.since
    }

    fn schedule(&mut self, now: Moment, delay: Duration) {
        self.last_attempt = now;
        self.next_attempt = now.after(delay);
    }
}

#[cfg(test)]
mod tests;
