//! Blocking work.

/// Work that is done when this is dropped: in its turn, or when that is not to come.
pub(super) struct Turn(Option<Box<dyn FnOnce() + Send>>);

impl Turn {
    pub(super) fn of(work: Box<dyn FnOnce() + Send>) -> Self {
        Turn(Some(work))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}
