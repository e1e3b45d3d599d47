//! What the tests share: a virtual clock, a scripted manager, a ledger, and a way to try one body
//! in every mode.
//!
//! A law is an `async fn` that takes a [`World`], listed once in [`laws!`]:
//!
//! ```text
//! use crate::support::{World, hang, laws, ok};
//!
//! /// Law 21.
//! async fn hung_connect_costs_the_caller_no_more_than_its_deadline(w: World) {
//!     w.connects().always(hang());
//!     let pool = w.pool(|b| b.max_size(1));
//!     let watch = w.stopwatch();
//!     let error = pool.acquire_timeout(w.ms(200)).await.unwrap_err();
//!     assert!(error.is_timed_out());
//!     watch.assert_at(200);
//! }
//!
//! laws! { every_mode: hung_connect_costs_the_caller_no_more_than_its_deadline }
//! ```
//!
//! - Lists: `every_mode`; `tasks_only`, for bodies that drop or poll a future of the pool's by
//!   hand, which threads cannot; `virtual_only`, for those that need exact times or polls.
//! - [`World::connects`], `checks`, `inspects`, `recycles`, `closes` are scripts: `.next([err(),
//!   ok().after(w.ms(500))])` for the next calls, `.always(hang())` for all others, `.calls()` to
//!   count. Everything succeeds at once unless it is told otherwise. `ok().at(&gate)` waits until
//!   the test opens the [`Gate`], which is better than a time on real clocks.
//! - A holder sets `conn.condition` to what `inspect` shall find.
//! - Time: `w.ms(n)`, `w.sleep(n)`, `w.stopwatch()`. On the virtual clock they are exact and cost
//!   nothing; time passes only when nothing can run.
//! - Order: [`World::until`] settles and asserts (virtual clock) or waits for the condition (real
//!   ones). Concurrent work goes through [`World::spawn`], which makes threads for the sync facade:
//!   in that mode [`LawPool::acquire`] blocks, so no two acquires in one task.
//! - When the body is over, the ledger and the pool must agree (laws L1 to L6); then every pool is
//!   closed, and no connection, task, timer or manager may be left. So let the body join what it
//!   spawned. A pool that the body itself wants to end is made by [`World::lone_pool`].
//! - For a test that drives the executor itself: [`World::by_hand`] lends a [`Virtual`] with
//!   `settle`, `advance`, `block_on`, `kill` and `drop_spawned`.

// Each topic uses its own part of this.
#![allow(dead_code, unused_imports, unused_macros)]

mod keyed;
mod ledger;
mod manager;
mod mode;
mod mortal;
mod pool;
mod script;
mod task;
mod world;

#[cfg(not(any(feature = "smol", feature = "tokio")))]
pub(crate) use self::mode::Custom;

pub(crate) use watertight::VirtualRuntime as Virtual;

pub(crate) use self::{
    keyed::KeyedLawPool,
    ledger::{At, AtHand, Count, Generation, Ledger},
    manager::{Conn, Lent, Refused, Scripted},
    mode::Mode,
    mortal::Mortal,
    pool::{Acquired, LawPool},
    script::{Gate, Script, Step, err, hang, ok, panics, permanent},
    task::{Task, join},
    world::{Stopwatch, World},
};

/// Makes a test of each law for each mode that its list allows.
macro_rules! laws {
    ($($list:ident: $($law:ident),+ $(,)?;)+) => {
        $($(
            mod $law {
                use super::$law as law;
                use crate::support::Mode;
                crate::support::laws!(@ $list);
            }
        )+)+
    };
    (@ every_mode) => {
        #[test]
        fn on_plain_threads() {
            Mode::SyncFacade.run(law);
        }
        crate::support::laws!(@ tasks_only);
    };
    (@ tasks_only) => {
        #[cfg(feature = "tokio")]
        #[test]
        fn on_tokio_multi_thread() {
            Mode::TokioMultiThread.run(law);
        }
        #[cfg(feature = "tokio")]
        #[test]
        fn on_tokio_current_thread() {
            Mode::TokioCurrentThread.run(law);
        }
        #[cfg(feature = "smol")]
        #[test]
        fn on_smol() {
            Mode::Smol.run(law);
        }
        crate::support::laws!(@ virtual_only);
    };
    (@ virtual_only) => {
        #[test]
        fn on_the_virtual_clock() {
            Mode::VirtualClock.run(law);
        }
    };
}
pub(crate) use laws;

/// Runs something that might hang.
pub(crate) fn comes_to_its_end(test: impl FnOnce() + Send + 'static) {
    let (done, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        test();
        done.send(()).expect("somebody waits");
    });
    end.recv_timeout(std::time::Duration::from_secs(30))
        .expect("it comes to its end");
}
