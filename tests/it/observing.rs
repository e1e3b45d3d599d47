//! What those learn who watch a pool, and what not.

#[cfg(feature = "tracing")]
mod log;
#[cfg(feature = "metrics")]
mod metrics;
mod secrets;
mod unseen;
