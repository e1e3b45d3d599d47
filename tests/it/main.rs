//! The behaviour of a pool.

// In a test, an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

#[cfg(any(feature = "bb8", feature = "deadpool", feature = "r2d2"))]
mod adapters;
mod by_hand;
mod cancel;
mod debugging;
mod facades;
mod faults;
mod laws;
mod observing;
mod panics;
mod peers;
mod regressions;
mod runtimes;
mod seed;
mod support;
mod table;
mod virtual_clock;
