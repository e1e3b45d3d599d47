//! A virtual runtime that ends with its test.

use std::ops::Deref;

use super::Virtual;

/// Drops what tasks are left, which would keep it alive: a pool's task has the pool, and that the
/// runtime.
pub(crate) struct Mortal(Virtual);

impl Mortal {
    pub(crate) fn new() -> Self {
        Mortal(Virtual::new())
    }
}

impl Deref for Mortal {
    type Target = Virtual;

    fn deref(&self) -> &Virtual {
        &self.0
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.0.kill();
    }
}
