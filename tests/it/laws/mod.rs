//! The laws, by section: size, waiting, fairness, connecting, lifetime, checks, giving back,
//! closing, numbers.

mod size;
