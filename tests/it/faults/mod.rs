//! Real faults in real time: runtimes that end, holders that die, processes that stop, servers
//! that are silent, reset or gone.
//!
//! A lower bound of a time is exact. An upper bound is so far away ([`PATIENCE`]) that only
//! something that never happens exceeds it. Set `WATERTIGHT_LONG` for the long variants.

#[cfg(unix)]
mod child;
#[cfg(unix)]
mod children;
mod forgotten;
mod holders;
mod mortal;
#[cfg(unix)]
mod network;
mod runtime_end;
#[cfg(unix)]
mod server;
mod tally;

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use watertight::{AcquireError, Manager, Pool, PooledConnection, Runtime};

use crate::support::{Task, World};

/// What has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// True if the long variants are wanted.
fn is_long() -> bool {
    std::env::var_os("WATERTIGHT_LONG").is_some_and(|value| value != "0")
}

/// Waits, on this thread, until the condition holds.
#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it never came");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Measures real time.
struct Stopwatch(Instant);

impl Stopwatch {
    fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// It is not earlier than this, and not absurdly later.
    #[track_caller]
    fn assert_at(&self, at: Duration) {
        let elapsed = self.0.elapsed();
        assert!(elapsed >= at, "too early: {elapsed:?}, not {at:?}");
        assert!(elapsed < at + PATIENCE, "late: {elapsed:?}, not {at:?}");
    }

    /// It is earlier than this.
    #[track_caller]
    fn assert_before(&self, limit: Duration) {
        let elapsed = self.0.elapsed();
        assert!(elapsed < limit, "late: {elapsed:?}, not before {limit:?}");
    }
}

/// Where a fault is tried: a runtime, and whether those who use the pool are tasks on it or plain
/// threads.
#[derive(Clone)]
struct Site {
    world: World,
    blocking: bool,
}

impl Site {
    fn runtime(&self) -> Arc<dyn Runtime> {
        self.world.runtime()
    }

    async fn acquire<M: Manager>(
        &self,
        pool: &Pool<M>,
    ) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        match self.blocking {
            true => pool.sync().acquire(),
            false => pool.acquire().await,
        }
    }

    async fn acquire_timeout<M: Manager>(
        &self,
        pool: &Pool<M>,
        timeout: Duration,
    ) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        match self.blocking {
            true => pool.sync().acquire_timeout(timeout),
            false => pool.acquire_timeout(timeout).await,
        }
    }

    /// A task, or for the sync facade a thread.
    fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        self.world.spawn(task)
    }

    async fn sleep(&self, duration: Duration) {
        let runtime = self.runtime();
        runtime.sleep_until(runtime.now() + duration).await;
    }

    /// Waits until the condition holds.
    #[track_caller]
    fn until(&self, condition: impl Fn() -> bool + Send) -> impl Future<Output = ()> + Send {
        self.world.until(condition)
    }
}

/// Makes a test of each fault on each real runtime and through the sync facade.
macro_rules! faults {
    ($($fault:ident),+ $(,)?) => {
        $(mod $fault {
            use super::$fault as fault;
            use crate::faults::Site;
            use crate::support::Mode;

            #[test]
            fn on_plain_threads() {
                Mode::SyncFacade.run(|world| fault(Site { world, blocking: true }));
            }

            #[cfg(feature = "tokio")]
            #[test]
            fn on_tokio_multi_thread() {
                Mode::TokioMultiThread.run(|world| fault(Site { world, blocking: false }));
            }

            #[cfg(feature = "tokio")]
            #[test]
            fn on_tokio_current_thread() {
                Mode::TokioCurrentThread.run(|world| fault(Site { world, blocking: false }));
            }

            #[cfg(feature = "smol")]
            #[test]
            fn on_smol() {
                Mode::Smol.run(|world| fault(Site { world, blocking: false }));
            }
        })+
    };
}
use faults;
