//! Managers that were written for other pools, and what becomes of their methods.

#[cfg(feature = "bb8")]
mod bb8;
#[cfg(feature = "deadpool")]
mod deadpool;
#[cfg(feature = "r2d2")]
mod r2d2;
mod server;
mod trial;
