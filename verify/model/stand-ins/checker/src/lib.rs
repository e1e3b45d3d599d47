//! The model checker in use, under one name, and a clock for it.
//!
//! Both checkers run all threads of a model on one thread of the machine and switch where a model's
//! mutex is taken. So nothing may be held over such a point that blocks in earnest, and what is to
//! be interleaved must pass through one.

#[cfg(feature = "loom")]
pub use loom::{sync, thread};
#[cfg(all(feature = "shuttle", not(feature = "loom")))]
pub use shuttle::{sync, thread};
#[cfg(not(any(feature = "loom", feature = "shuttle")))]
pub use std::{sync, thread};

pub mod clock;
pub mod parking;
