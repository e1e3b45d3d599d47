//! What the log is told, under the target `watertight` and with the name of the pool.
//!
//! Nothing on the way of an idle connection to its borrower and back: with the feature on, a pool
//! that nobody observes costs what it costs without. Nothing of what the manager's types print,
//! either: an error may hold a password, so of a failed connect the kind is told.

use std::future::{Future, pending};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::field::Empty;
use tracing::{debug, debug_span, info, trace, warn};

use crate::event::{
    Checked, Closed, Configured, ConnectFailed, Connected, Recycled, Rejected, TimedOut, WaitEnded,
    WaitEnding,
};
use crate::loan::Loan;
use crate::observer::Observer;
use crate::primitives::{Arc, contain};
use crate::runtime::BoxFuture;

const TARGET: &str = "watertight";

/// Knows what the pool is called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer {
    pub(crate) pool: Option<Arc<str>>,
}

impl Tracer {
    pub(crate) const IS_TOLD: bool = true;

    fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    /// True if what is told may be logged.
    pub(crate) fn listens(&self) -> bool {
        contain(|| tracing::enabled!(target: TARGET, tracing::Level::DEBUG)).unwrap_or(false)
    }

    /// The span of a wait, inside whichever span its caller is in.
    pub(crate) fn waiting(&self) -> Span {
        let span =
            contain(|| debug_span!(target: TARGET, "wait", pool = self.pool(), ending = Empty));
        Span(span.unwrap_or_else(tracing::Span::none))
    }

    /// An attempt to connect, in a span of its own: what the manager logs meanwhile is inside.
    pub(crate) fn connecting(&self, connect: BoxFuture<()>) -> BoxFuture<()> {
        let span =
            contain(|| debug_span!(target: TARGET, parent: None, "connect", pool = self.pool()));
        match span.filter(|span| !span.is_disabled()) {
            Some(span) => Box::pin(Traced {
                connect,
                span: Some(span),
            }),
            None => connect,
        }
    }
}

impl Observer for Tracer {
    fn configured(&self, event: &Configured) {
        debug!(
            target: TARGET,
            pool = self.pool(),
            max_size = event.max_size,
            min_idle = event.min_idle,
            max_idle = event.max_idle,
            "configured"
        );
    }

    fn connected(&self, event: &Connected) {
        debug!(
            target: TARGET,
            pool = self.pool(),
            connection = event.connection,
            took = ?event.took,
            "connected"
        );
    }

    fn connect_failed(&self, event: &ConnectFailed<'_>) {
        warn!(
            target: TARGET,
            pool = self.pool(),
            kind = event.kind(),
            took = ?event.took(),
            "connect failed"
        );
    }

    fn checked(&self, event: &Checked) {
        let (connection, took) = (event.connection, event.took);
        match event.passed {
            true => trace!(target: TARGET, pool = self.pool(), connection, ?took, "check passed"),
            false => debug!(target: TARGET, pool = self.pool(), connection, ?took, "check failed"),
        }
    }

    fn recycled(&self, event: &Recycled) {
        let (connection, took) = (event.connection, event.took);
        match event.passed {
            true => trace!(target: TARGET, pool = self.pool(), connection, ?took, "recycled"),
            false => {
                debug!(target: TARGET, pool = self.pool(), connection, ?took, "recycle failed")
            }
        }
    }

    fn wait_ended(&self, event: &WaitEnded) {
        debug!(
            target: TARGET,
            pool = self.pool(),
            waited = ?event.waited,
            ending = %event.ending,
            "wait ended"
        );
    }

    fn timed_out(&self, event: &TimedOut) {
        debug!(
            target: TARGET,
            pool = self.pool(),
            phase = ?event.phase,
            waited = ?event.waited,
            "timed out"
        );
    }

    fn rejected(&self, event: &Rejected) {
        debug!(
            target: TARGET,
            pool = self.pool(),
            why = %event.why,
            waited = ?event.waited,
            "turned away"
        );
    }

    fn leaked(&self, loan: &Loan) {
        warn!(target: TARGET, pool = self.pool(), "held for too long: {loan}");
    }

    fn leak_returned(&self, loan: &Loan) {
        warn!(target: TARGET, pool = self.pool(), "came back after all: {loan}");
    }

    fn closed(&self, event: &Closed) {
        debug!(
            target: TARGET,
            pool = self.pool(),
            connection = event.connection,
            reason = %event.reason,
            "connection closed"
        );
    }

    fn paused(&self) {
        info!(target: TARGET, pool = self.pool(), "paused");
    }

    fn resumed(&self) {
        info!(target: TARGET, pool = self.pool(), "resumed");
    }

    fn reset(&self) {
        info!(target: TARGET, pool = self.pool(), "reset");
    }

    fn closing(&self) {
        info!(target: TARGET, pool = self.pool(), "closing");
    }
}

/// An attempt to connect in its span. Not `Instrumented`, which loses the future, and with it the
/// place, if the subscriber panics as it is dropped.
struct Traced {
    connect: BoxFuture<()>,
    span: Option<tracing::Span>,
}

impl Future for Traced {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Traced { connect, span } = &mut *self;
        let entered = contain(|| span.as_ref().map(tracing::Span::enter));
        let poll = connect.as_mut().poll(cx);
        contain(|| drop(entered));
        poll
    }
}

impl Drop for Traced {
    /// What goes with the attempt may log as well.
    fn drop(&mut self) {
        let span = self.span.take();
        let entered = contain(|| span.as_ref().map(tracing::Span::enter));
        let connect = mem::replace(&mut self.connect, Box::pin(pending()));
        contain(|| drop(connect));
        contain(|| drop(entered));
        contain(|| drop(span));
    }
}

/// A wait.
#[derive(Debug)]
pub(crate) struct Span(tracing::Span);

impl Span {
    pub(crate) fn end(&self, ending: WaitEnding) {
        contain(|| self.0.record("ending", tracing::field::display(ending)));
    }
}
