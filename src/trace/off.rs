//! Nothing.

use crate::event::WaitEnding;
use crate::observer::Observer;
use crate::primitives::Arc;
use crate::runtime::BoxFuture;

/// Knows what the pool is called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer {
    pub(crate) pool: Option<Arc<str>>,
}

impl Observer for Tracer {}

impl Tracer {
    pub(crate) const IS_TOLD: bool = false;

    pub(crate) fn listens(&self) -> bool {
        false
    }

    pub(crate) fn waiting(&self) -> Span {
        Span
    }

    pub(crate) fn connecting(&self, connect: BoxFuture<()>) -> BoxFuture<()> {
        connect
    }
}

/// A wait.
#[derive(Debug)]
pub(crate) struct Span;

impl Span {
    pub(crate) fn end(&self, _ending: WaitEnding) {}
}
