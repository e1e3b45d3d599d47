//! The same on tokio.

use tokio::runtime::{Builder, Runtime};
use watertight::TokioRuntime;

use super::*;

fn flavors() -> [Runtime; 2] {
    [Builder::new_multi_thread(), Builder::new_current_thread()]
        .map(|mut builder| builder.enable_all().build().unwrap())
}

#[test]
fn caller_within_is_at_home_and_one_outside_is_not() {
    for runtime in flavors() {
        let checker = Checker::new();
        let background = flavors();
        let [ours, _] = &background;
        let pool = checker.pool_on(TokioRuntime::new(ours.handle().clone()), 1);
        let here = thread::current().id();
        ours.block_on(async { drop(pool.acquire().await.unwrap()) });
        assert_eq!(checker.polled_on(), here, "on its own");
        runtime.block_on(async { drop(pool.acquire().await.unwrap()) });
        assert_ne!(checker.polled_on(), here, "on another");
        drop(block_on(pool.acquire()).unwrap());
        assert_ne!(checker.polled_on(), here, "on none");
        let _entered = ours.enter();
        drop(block_on(pool.acquire()).unwrap());
        assert_eq!(checker.polled_on(), here, "it has entered");
        assert_eq!(checker.checks(), 4);
    }
}

#[test]
fn check_that_is_not_over_at_once_goes_on_in_a_task() {
    for runtime in flavors() {
        let checker = Checker::new();
        let spawned = TokioRuntime::new(runtime.handle().clone());
        let pool = runtime.block_on(async { checker.clone().ready(spawned).await });
        checker.does(Does::Wait);
        runtime.block_on(async {
            let mut acquire = Box::pin(pool.acquire());
            assert!(poll_once(&mut acquire).await.is_none());
            let opens = async {
                while !checker.waits_in_a_task() {
                    tokio::task::yield_now().await;
                }
                checker.open();
            };
            let (conn, ()) = tokio::join!(acquire, opens);
            assert_eq!(*conn.unwrap(), 0);
        });
        assert_eq!(checker.checks(), 1);
    }
}

impl Checker {
    /// A pool of one idle connection, made from within its runtime.
    async fn ready(self, runtime: TokioRuntime) -> Pool<Checker> {
        let builder = Pool::builder(self).runtime(runtime).max_size(1);
        let pool = builder.check_policy(CheckPolicy::Always).build().unwrap();
        drop(pool.acquire().await.unwrap());
        futures_lite::future::yield_now().await;
        pool
    }

    fn waits_in_a_task(&self) -> bool {
        let waker = self.0.waker.lock().unwrap();
        waker
            .as_ref()
            .is_some_and(|one| !one.will_wake(Waker::noop()))
    }
}

/// A blocking thread of the runtime's has its timers and its I/O.
#[test]
fn blocking_thread_of_the_runtime_is_at_home() {
    for runtime in flavors() {
        let checker = Checker::new();
        let ours = TokioRuntime::new(runtime.handle().clone());
        let pool = runtime.block_on(async { checker.clone().ready(ours).await });
        let pool = pool.sync();
        let thread = runtime.block_on(async {
            let work = move || {
                drop(pool.acquire().unwrap());
                thread::current().id()
            };
            tokio::task::spawn_blocking(work).await.unwrap()
        });
        assert_eq!(checker.polled_on(), thread);
    }
}
