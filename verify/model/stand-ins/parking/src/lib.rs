//! In the place of `parking`: as much of it as the crate uses.

use std::time::Duration;

pub use checker::parking::Unparker;

pub struct Parker(checker::parking::Parker);

pub fn pair() -> (Parker, Unparker) {
    let (parker, unparker) = checker::parking::pair();
    (Parker(parker), unparker)
}

impl Parker {
    pub fn park(&self) {
        self.0.park();
    }

    pub fn park_timeout(&self, timeout: Duration) -> bool {
        match checker::clock::now().checked_add(timeout) {
            Some(at) => self.0.park_deadline(at),
            None => {
                self.park();
                true
            }
        }
    }
}
