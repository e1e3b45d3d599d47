//! The harness itself: what it must not overlook.

use watertight::{Condition, Manager};

use crate::support::explore;

/// A manager that panics when a connection comes back, which the pool contains.
struct Panicky;

impl Manager for Panicky {
    type Connection = ();
    type Error = ();

    async fn connect(&self) -> Result<(), ()> {
        Ok(())
    }

    fn inspect(&self, _: &mut ()) -> Condition {
        panic!("the pool does not let this through");
    }
}

#[test]
#[should_panic(expected = "something panicked")]
fn panic_that_the_pool_contains_is_not_overlooked() {
    explore(|world| {
        let pool = world.build(1, Panicky, |pool| pool);
        let caller = pool.clone();
        world.blocked(async move { drop(caller.acquire().await.expect("served")) });
        world.ledger.pool_ends();
        world.finish(pool, 0);
    });
}

// loom says so as well, but in a destructor, which ends the whole program.
#[cfg(shuttle)]
#[test]
#[should_panic(expected = "deadlock")]
fn caller_who_is_never_served_is_not_overlooked() {
    explore(|world| {
        let pool = world.pool(1, |pool| pool);
        let held = crate::support::block_on(pool.acquire());
        drop(held);
        world.finish(pool, 1);
    });
}
