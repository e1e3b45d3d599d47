//! The one door to everything concurrent: a model checker's types can be put in here without
//! touching the rest of the crate.
//!
//! Under `verify/model` they are: its build sets one of the two `cfg`s. It also puts a stand-in of
//! its own in the place of `parking`, which needs no door for that.

#[cfg(loom)]
use loom::sync as checked;
#[cfg(shuttle)]
use shuttle::sync as checked;
#[cfg(not(any(loom, shuttle)))]
use std::sync as checked;

pub(crate) use checked::atomic::{AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, OnceLock, Weak};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use checked::MutexGuard;

/// A plain mutex that ignores poison.
///
/// Nothing that can panic on a user's behalf but a key's `Hash` and `Eq` runs under a lock of this crate,
/// and where these do a panic is provided for, so a poisoned lock would only turn one panic into many.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(checked::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(checked::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs foreign code and swallows its panic; `None` says that there was one.
///
/// The panic hook has already reported it. Whoever calls this has a place in the pool to give
/// back afterwards, which is why the panic ends here. So does that of what it panicked with, if that
/// has a destructor that panics.
pub(crate) fn contain<T>(foreign: impl FnOnce() -> T) -> Option<T> {
    let mut panic = match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(value) => return Some(value),
        Err(panic) => panic,
    };
    for _ in 0..MOST_PANICS {
        match catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            Ok(()) => return None,
            Err(next) => panic = next,
        }
    }
    // Enough is enough.
    std::mem::forget(panic);
    None
}

/// So many panics that carry the next are contained one after the other; the last one's is forgotten.
const MOST_PANICS: usize = 8;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::panic::resume_unwind;

    use super::*;

    struct Fragile(u8);

    impl Drop for Fragile {
        fn drop(&mut self) {
            if let Some(next) = self.0.checked_sub(1) {
                resume_unwind(Box::new(Fragile(next)));
            }
        }
    }

    #[test]
    fn a_panic_ends_here_whatever_it_carries() {
        assert_eq!(contain(|| 7), Some(7));
        for depth in 0..3 {
            let panics = || resume_unwind(Box::new(Fragile(depth)));
            assert_eq!(contain::<u8>(panics), None);
        }
    }
}
