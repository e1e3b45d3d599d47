//! What those hear who listen to the features `metrics` and `tracing`.

#[cfg(feature = "tracing")]
mod log;
#[cfg(feature = "metrics")]
mod metrics;
