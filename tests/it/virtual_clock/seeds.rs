//! What a seed decides: the order of things that are left to chance elsewhere.

use std::collections::HashSet;
use std::thread::{self, ThreadId};

use watertight::{Blocking, BlockingManager, KeyedPool, Manager};

use super::*;

/// Notes what it closes.
struct Noting(u64, Log);

impl Manager for Noting {
    type Connection = u64;
    type Error = ();

    async fn connect(&self) -> Result<u64, ()> {
        Ok(self.0)
    }

    async fn close(&self, connection: u64) {
        self.1.note(connection);
    }
}

/// They are closed all at once, which is left to the seed, but from a fixed order.
#[test]
fn keys_are_closed_in_the_order_in_which_their_pools_were_made() {
    let keys = [5, 3, 8, 1, 9, 2, 7, 4, 6, 0];
    let (runtime, log) = (VirtualRuntime::new(), Log::default());
    let noting = log.clone();
    let pool = KeyedPool::builder(move |&key| Noting(key, noting.clone()))
        .each(|pool| pool.runtime(runtime.clone()))
        .build()
        .unwrap();
    runtime.block_on(async {
        for key in keys {
            drop(pool.acquire(&key).await.unwrap());
        }
        assert_eq!(pool.keys(), keys);
        pool.close().await;
    });
    assert_eq!(log.take(), keys);
    // What was woken last has not run, and has the pool.
    runtime.kill();
}

/// Notes on which threads it is asked to connect.
#[derive(Clone, Default)]
struct OnThreads(Arc<Mutex<Vec<ThreadId>>>);

impl BlockingManager for OnThreads {
    type Connection = ();
    type Error = ();

    fn connect(&self) -> Result<(), ()> {
        self.0.lock().unwrap().push(thread::current().id());
        Ok(())
    }
}

/// What another thread does, no seed decides.
#[test]
fn blocking_calls_that_the_runtime_drops_are_made_on_its_thread() {
    let manager = OnThreads::default();
    for seed in 0..20 {
        let runtime = VirtualRuntime::seeded(seed);
        let faults = Faults::none().drop_unpolled(0.3).drop_midway(0.3);
        let pool = Pool::builder(Blocking::new(manager.clone()))
            .runtime(runtime.with_faults(faults))
            .build()
            .unwrap();
        runtime.block_on(async {
            for _ in 0..5 {
                let conn = pool.acquire().await.unwrap();
                watertight::PooledConnection::discard(conn);
            }
        });
        runtime.kill();
    }
    let threads: HashSet<_> = manager.0.lock().unwrap().iter().copied().collect();
    assert_eq!(threads, HashSet::from([thread::current().id()]));
}

/// Work that is dropped in place of a turn, on the way there, or with the runtime.
#[test]
fn blocking_work_whose_turn_never_comes_is_done_when_that_is_clear() {
    let log = Log::default();
    let spawn_blocking = |runtime: &VirtualRuntime, what| {
        let log = log.clone();
        runtime.spawn_blocking(Box::new(move || log.note(what)));
    };
    let runtime = VirtualRuntime::new();
    let unpolled = runtime.with_faults(Faults::none().drop_unpolled(1.0));
    spawn_blocking(&unpolled, 1);
    assert_eq!(log.take(), [1]);
    let midway = runtime.with_faults(Faults::none().drop_midway(1.0));
    spawn_blocking(&midway, 2);
    assert_eq!(log.take(), [0; 0]);
    runtime.settle();
    assert_eq!(log.take(), [2]);
    spawn_blocking(&runtime, 3);
    runtime.kill();
    assert_eq!(log.take(), [3]);
    spawn_blocking(&runtime, 4);
    assert_eq!(log.take(), [4]);
    assert_eq!(runtime.tasks(), 0);
}
