//! Something that happens once, and that any number may wait for.

use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::Event;

#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    event: Event,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        self.event.notify(usize::MAX);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// Resolves once it is raised.
    pub(crate) async fn raised(&self) {
        loop {
            let raised = self.event.listen();
            if self.is_raised() {
                return;
            }
            raised.await;
        }
    }
}
