//! Other pools' managers, made a [`Manager`](crate::Manager).

#[cfg(feature = "bb8")]
mod bb8;
#[cfg(feature = "deadpool")]
mod deadpool;
#[cfg(feature = "r2d2")]
mod r2d2;

#[cfg(feature = "bb8")]
pub use self::bb8::Bb8Manager;
#[cfg(feature = "deadpool")]
pub use self::deadpool::{DeadpoolError, DeadpoolManager};
#[cfg(feature = "r2d2")]
pub use self::r2d2::R2d2Manager;
