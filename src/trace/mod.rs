//! The log: spans and events by the crate `tracing`, with its feature; nothing without.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Span, Tracer};
#[cfg(feature = "tracing")]
pub(crate) use on::{Span, Tracer};
