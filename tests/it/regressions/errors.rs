//! Errors have destructors, too.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use watertight::{BoxFuture, ConnectPolicy, FromFn, Pool, VirtualRuntime};

use crate::support::{Gate, comes_to_its_end};

type Manager = FromFn<fn() -> BoxFuture<Result<(), Nosy>>>;
type Asked = Mutex<Option<Weak<OnceLock<Pool<Manager>>>>>;

/// The pool that errors ask as they go.
static POOL: Asked = Mutex::new(None);
static GATE: Mutex<Option<Gate>> = Mutex::new(None);

/// Asks the pool how it is as it goes.
struct Nosy;

impl fmt::Debug for Nosy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nosy")
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        let pool = POOL.lock().unwrap().as_ref().and_then(Weak::upgrade);
        let _ = pool.and_then(|pool| Some(pool.get()?.status()));
    }
}

/// Of attempts of before a reset, and of others, under each policy: nothing is dropped under the lock.
#[test]
fn error_that_asks_the_pool_as_it_goes_locks_nobody_out() {
    comes_to_its_end(|| {
        let connect: fn() -> BoxFuture<Result<(), Nosy>> = || {
            let gate = GATE.lock().unwrap().clone();
            Box::pin(async {
                gate.expect("there is one").passed().await;
                Err(Nosy)
            })
        };
        for policy in [ConnectPolicy::default(), ConnectPolicy::FailFast] {
            let runtime = VirtualRuntime::new();
            let gate = Gate::new();
            *GATE.lock().unwrap() = Some(gate.clone());
            let pool = Arc::new(OnceLock::new());
            *POOL.lock().unwrap() = Some(Arc::downgrade(&pool));
            let built = Pool::builder(FromFn::new(connect))
                .min_idle(2)
                .connect_policy(policy)
                .runtime(runtime.clone())
                .build();
            assert!(pool.set(built.unwrap()).is_ok());
            runtime.settle();
            let pool = pool.get().unwrap();
            assert_eq!(pool.status().connecting, 2);
            pool.reset();
            gate.open();
            runtime.advance(std::time::Duration::from_secs(1));
            assert!(pool.statistics().failed_connects > 2);
            runtime.block_on(pool.close());
            runtime.kill();
        }
    });
}
