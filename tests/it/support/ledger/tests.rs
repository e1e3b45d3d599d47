//! A ledger that noticed nothing would make every test pass.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use futures_lite::future::poll_once;
use watertight::Condition;

use super::{At, Ledger};
use crate::support::{Lent, World, hang};

/// What the panic says that this ends in.
fn complaint(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it went unnoticed");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"").to_string(),
    }
}

fn ledger_of(limit: usize) -> Ledger {
    let ledger = Ledger::default();
    ledger.set_limit(limit);
    ledger
}

/// Law L1.
#[test]
fn lost_connection_is_noticed() {
    let ledger = ledger_of(2);
    let _lost = ledger.made(At::Pool);
    assert!(complaint(|| ledger.assert_all_gone(true)).contains("connection 0 leaked"));
}

/// Law L1.
#[test]
fn connection_that_was_dropped_rather_than_closed_is_noticed() {
    let ledger = ledger_of(1);
    let dropped = ledger.made(At::Pool);
    ledger.destroyed(dropped);
    ledger.assert_all_gone(false);
    assert!(complaint(|| ledger.assert_all_gone(true)).contains("dropped, not closed"));
}

/// Law L1.
#[test]
fn guard_that_is_never_given_back_is_noticed() {
    let left = complaint(|| {
        World::by_hand(|w, runtime| {
            let pool = w.pool(|b| b.max_size(1));
            std::mem::forget(runtime.block_on(pool.acquire()).unwrap().into_guard());
        });
    });
    assert!(left.contains("nothing can run any more"), "{left}");
}

/// Law L2.
#[test]
fn second_close_is_noticed() {
    let ledger = ledger_of(1);
    let twice = ledger.made(At::Pool);
    ledger.pass(twice, &[At::Pool], At::Closing);
    ledger.assert_clean();
    ledger.pass(twice, &[At::Closing], At::Closing);
    assert!(complaint(|| ledger.assert_clean()).contains("closed twice"));
}

/// Law L3.
#[test]
fn second_holder_is_noticed() {
    let ledger = ledger_of(1);
    let shared = ledger.made(At::Pool);
    ledger.pass(shared, &[At::Pool], At::Holder);
    ledger.assert_clean();
    ledger.pass(shared, &[At::Pool], At::Holder);
    assert!(complaint(|| ledger.assert_clean()).contains("went from Holder to Holder"));
}

/// Law L4.
#[test]
fn connect_beyond_the_limit_is_noticed() {
    let ledger = ledger_of(2);
    ledger.made(At::Pool);
    ledger.connect_begun();
    ledger.assert_clean();
    ledger.connect_begun();
    assert!(complaint(|| ledger.assert_clean()).contains("3 places are taken, of 2"));
}

/// Law L5.
#[test]
fn loan_after_the_close_began_is_noticed() {
    for end in [At::Closing, At::Detached, At::Gone] {
        let ledger = ledger_of(1);
        let over = ledger.made(At::Pool);
        ledger.pass(over, &[At::Pool], end);
        ledger.pass(over, &[At::Pool], At::Holder);
        assert!(!complaint(|| ledger.assert_clean()).is_empty(), "{end:?}");
    }
}

/// Law L5.
#[test]
fn loan_of_a_condemned_connection_is_noticed() {
    let ledger = ledger_of(1);
    let doubtful = ledger.made(At::Pool);
    ledger.condemn(doubtful);
    ledger.pass(doubtful, &[At::Pool], At::Holder);
    assert!(complaint(|| ledger.assert_clean()).contains("it is condemned"));
}

/// Law L5.
#[test]
fn loan_of_what_is_dirty_is_noticed() {
    let complaint = complaint(|| {
        World::by_hand(|w, runtime| {
            let pool = w.pool(|b| b.max_size(1));
            let mut adopted = w.connection_from_elsewhere();
            adopted.condition = Condition::Dirty;
            pool.adopt(adopted).unwrap();
            drop(runtime.block_on(pool.acquire()));
        });
    });
    assert!(complaint.contains("lent though it is Dirty"), "{complaint}");
}

/// Law L5.
#[test]
fn loan_that_ends_badly_condemns_its_connection() {
    let ends: [fn(Lent); 3] = [
        Lent::discard,
        |mut conn| conn.condition = Condition::Broken,
        |conn| {
            let panics = AssertUnwindSafe(|| {
                let _conn = conn;
                resume_unwind(Box::new("as planned"));
            });
            assert!(catch_unwind(panics).is_err());
        },
    ];
    for end in ends {
        World::by_hand(|w, runtime| {
            let pool = w.pool(|b| b.max_size(1));
            let conn = runtime.block_on(pool.acquire()).unwrap();
            end(conn);
            assert!(w.ledger().is_condemned(0));
        });
    }
}

/// Law L6.
#[test]
fn waiter_that_is_left_in_the_queue_is_noticed() {
    let left = complaint(|| {
        World::by_hand(|w, runtime| {
            w.connects().always(hang());
            let pool = w.pool(|b| b.max_size(1));
            let mut waiter = Box::pin(async { pool.acquire().await });
            assert!(runtime.block_on(poll_once(&mut waiter)).is_none());
            std::mem::forget(waiter);
        });
    });
    assert!(left.contains("books differ"), "{left}");
}
