//! Managers that were written for other pools, and what becomes of their methods.

// Each uses its own part of what they share.
#![cfg_attr(
    not(all(feature = "bb8", feature = "deadpool", feature = "r2d2")),
    allow(dead_code)
)]

#[cfg(feature = "bb8")]
mod bb8;
#[cfg(feature = "deadpool")]
mod deadpool;
#[cfg(feature = "r2d2")]
mod r2d2;
mod server;
mod trial;
