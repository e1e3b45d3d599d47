//! Panics that nobody sees: the pool survives those of foreign code, and so of whatever it calls
//! while foreign code runs.
//!
//! A task that the runtime drops, say, gives its place back in its destructor; if an invariant of
//! the pool's does not hold there, the panic ends where the pool contains the runtime's. But every
//! panic meets the hook first, other than those that manager, users and observer are to raise: these
//! are resumed, which the hook does not see.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

thread_local! {
    /// What the hook has seen on this thread, if somebody wants to know.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs something that must not panic, not even where the panic is caught; says what the first one
/// was about.
pub(crate) fn watch(run: impl FnOnce()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !note(info) {
                before(info);
            }
        }));
    });
    SEEN.set(Some(Vec::new()));
    let result = catch_unwind(AssertUnwindSafe(run));
    let seen = SEEN.take().unwrap_or_default();
    match (seen.into_iter().next(), result) {
        (Some(first), _) => Err(first),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) => Err("a panic that was planned got out".into()),
    }
}

/// False if nobody watches this thread.
fn note(info: &PanicHookInfo<'_>) -> bool {
    SEEN.with_borrow_mut(|seen| {
        let Some(seen) = seen else {
            return false;
        };
        let place = info.location().map(ToString::to_string);
        let text = info.payload().downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| info.payload().downcast_ref::<&str>().copied());
        let what = text.unwrap_or("no message");
        seen.push(format!("{what} ({})", place.unwrap_or_default()));
        // The second may be the end of the process, and then there is nobody to tell of the first.
        if seen.len() > 1 {
            eprintln!("after another panic: {seen:#?}");
        }
        true
    })
}

#[test]
fn contained_panic_is_noticed() {
    let contained = || drop(catch_unwind(|| panic!("an invariant is broken")));
    let first = watch(contained).unwrap_err();
    assert!(first.starts_with("an invariant is broken ("), "{first}");
}

#[test]
fn planned_panic_is_no_failure_unless_it_gets_out() {
    let planned = || panic::resume_unwind(Box::new("as planned"));
    assert_eq!(watch(|| drop(catch_unwind(planned))), Ok(()));
    assert!(watch(planned).is_err());
}
