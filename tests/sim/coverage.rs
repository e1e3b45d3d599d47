//! What has happened in the runs of this thread, and how often: to see that all that can happen does.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// How often each thing happened.
pub(crate) type Counts = BTreeMap<String, u64>;

thread_local! {
    static COUNTS: RefCell<Counts> = const { RefCell::new(BTreeMap::new()) };
}

/// Something has happened.
pub(crate) fn saw(what: impl Into<String>) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(what.into()).or_default() += 1);
}

/// What has happened since the last call.
pub(crate) fn take() -> Counts {
    COUNTS.take()
}
