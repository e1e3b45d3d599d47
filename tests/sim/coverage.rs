//! What has happened in the runs of this thread, and how often: to see that all that can happen does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// How often each thing happened.
pub(crate) type Counts = BTreeMap<String, u64>;

thread_local! {
    static COUNTS: RefCell<Counts> = const { RefCell::new(BTreeMap::new()) };
}

/// Something has happened.
pub(crate) fn saw(what: impl Into<String>) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(what.into()).or_default() += 1);
}

/// A variant of this has happened, whatever is in it.
pub(crate) fn saw_variant(of: &str, variant: &impl Debug) {
    let text = format!("{variant:?}");
    let name = text.split(|c: char| !c.is_alphanumeric()).next();
    saw(format!("{of}: {}", name.unwrap_or_default()));
}

/// What has happened since the last call.
pub(crate) fn take() -> Counts {
    COUNTS.take()
}

/// Prints how often everything happened.
pub(crate) fn print(counts: &Counts) {
    for (what, count) in counts {
        println!("{count:>9}  {what}");
    }
}

/// Asserts that all that can happen has, and that all that has is on the list.
pub(crate) fn assert_complete(counts: &Counts) {
    let missing: Vec<_> = ALL
        .iter()
        .filter(|what| !counts.contains_key(**what))
        .collect();
    assert!(missing.is_empty(), "never happened: {missing:#?}");
    let listed = |what: &&String| ALL.contains(&what.as_str());
    let unlisted: Vec<_> = counts.keys().filter(|what| !listed(what)).collect();
    assert!(unlisted.is_empty(), "not on the list: {unlisted:#?}");
}

/// All that can happen.
const ALL: &[&str] = &[
    "acquire: closed",
    "acquire: hopeless",
    "acquire: lent at once",
    "acquire: lent to one who waited",
    "acquire: lent to the last to come",
    "acquire: refused, the attempt: Failed",
    "acquire: refused, the attempt: Panicked",
    "acquire: refused, the attempt: TimedOut",
    "acquire: timed out, Check",
    "acquire: timed out, Connect",
    "acquire: timed out, Wait",
    "acquire: timed out, with a cause",
    "adopt: refused",
    "adopt: taken",
    "attempt: begun beside one that is overdue",
    "cancelled: After",
    "cancelled: AfterPolls",
    "check: of one that nobody asked for",
    "close_within: all",
    "close_within: some are left",
    "closed: broken",
    "closed: check failed",
    "closed: detached",
    "closed: discarded",
    "closed: idle",
    "closed: lifetime",
    "closed: recycle failed",
    "closed: reset",
    "closed: resize",
    "closed: return queue full",
    "closed: shutdown",
    "closed: uses",
    "end: Broken",
    "end: Detach",
    "end: Dirty",
    "end: Discard",
    "end: Drop",
    "end: Leak",
    "end: Panic",
    "end: Release",
    "end: Retire",
    "end: Rigged",
    "ending: brought back to life by a fill",
    "ending: brought back to life by an acquire",
    "ending: the pool has gone with its users",
    "ending: the pool has recovered",
    "ending: the pool was closed",
    "fill: closed",
    "fill: failed",
    "fill: warm",
    "loan: checked",
    "loan: unchecked",
    "mischief: a poll in vain",
    "mischief: a stall",
    "mischief: a user aborted",
    "mischief: tasks late",
    "mischief: tasks lost",
    "observer: panics",
    "op: Acquire",
    "op: Adopt",
    "op: Close",
    "op: CloseWithin",
    "op: Fill",
    "op: ForgetWaiting",
    "op: Pause",
    "op: PickIdle",
    "op: Reset",
    "op: Resize",
    "op: Resume",
    "op: Retain",
    "op: RuntimeDies",
    "op: RuntimeRefuses",
    "op: ServerGoes",
    "op: Set",
    "op: Several",
    "op: Sleep",
    "op: TryAcquire",
    "op: WaitReset",
    "pause: complete",
    "pause: incomplete",
    "pause: over",
    "pick: the next of some",
    "rejected: overloaded",
    "rejected: paused",
    "rejected: the queue is full",
    "reset: at once",
    "reset: spread",
    "reset: with connects under way",
    "resume: somebody waited for it",
    "retain: none removed",
    "retain: panicked",
    "retain: some removed",
    "schedule: brought forward",
    "set: AcquireTimeout",
    "set: IdleTimeout",
    "set: Keepalive",
    "set: Limit",
    "set: MaxIdle",
    "set: MaxLifetime",
    "set: MaxWaiters",
    "set: MinIdle",
    "set: refused",
    "try_acquire: lent",
    "try_acquire: nothing",
    "wait_reset: not yet",
    "wait_reset: over",
    "waiter: gone before it looked",
    "waiter: gone before it was served",
];
