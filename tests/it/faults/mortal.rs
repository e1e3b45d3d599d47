//! Runtimes that end when they are told to, in the way they are told.

use std::sync::{Arc, Weak};
use std::thread;
#[cfg(feature = "tokio")]
use std::time::Duration;
use std::time::Instant;

use futures_lite::future::block_on;
use smol::Executor;
use watertight::{BoxFuture, Runtime, Spawner, Timer};

/// A runtime that will end before its pool does.
pub(super) struct Mortal {
    pub(super) runtime: Arc<dyn Runtime>,
    end: Box<dyn FnOnce()>,
}

impl Mortal {
    /// Ends it, and returns when that is over or under way, as the way of ending has it.
    pub(super) fn end(self) {
        (self.end)();
    }

    /// smol's own kind of runtime: an executor that somebody runs. When it goes, its tasks go.
    pub(super) fn executor() -> Self {
        let executor = Arc::new(Executor::new());
        let runtime = Arc::new(OnExecutor(Arc::downgrade(&executor)));
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let thread = thread::spawn(move || {
            let _ = block_on(executor.run(stopped.recv()));
        });
        Mortal {
            runtime,
            end: Box::new(move || {
                drop(stop);
                thread.join().unwrap();
            }),
        }
    }
}

struct OnExecutor(Weak<Executor<'static>>);

impl Spawner for OnExecutor {
    fn spawn(&self, task: BoxFuture<()>) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(task).detach();
        }
    }
}

impl Timer for OnExecutor {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Box::pin(async move {
            smol::Timer::at(at).await;
        })
    }
}

#[cfg(feature = "tokio")]
pub(super) mod on_tokio {
    use tokio::runtime::{Builder, Runtime};
    use watertight::TokioRuntime;

    use super::*;

    pub(in crate::faults) type Flavor = fn() -> Builder;
    pub(in crate::faults) type Ending = fn(Runtime);

    pub(in crate::faults) const FLAVORS: [Flavor; 2] = [multi_thread, current_thread];

    pub(in crate::faults) fn multi_thread() -> Builder {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2);
        builder
    }

    pub(in crate::faults) fn current_thread() -> Builder {
        Builder::new_current_thread()
    }

    pub(in crate::faults) const ENDINGS: [Ending; 4] = [
        drop,
        Runtime::shutdown_background,
        |runtime| runtime.shutdown_timeout(Duration::from_millis(20)),
        in_spawn_blocking,
    ];

    fn in_spawn_blocking(runtime: Runtime) {
        let other = current_thread().build().unwrap();
        other.block_on(async {
            let dropped = tokio::task::spawn_blocking(|| drop(runtime));
            dropped.await.unwrap();
        });
    }

    impl Mortal {
        pub(in crate::faults) fn tokio(flavor: Flavor, ending: Ending) -> Self {
            let runtime = flavor().enable_all().build().unwrap();
            let ours = TokioRuntime::new(runtime.handle().clone());
            let (stop, stopped) = async_channel::bounded::<()>(1);
            let thread = thread::spawn(move || {
                let _ = runtime.block_on(stopped.recv());
                ending(runtime);
            });
            Mortal {
                runtime: Arc::new(ours),
                end: Box::new(move || {
                    drop(stop);
                    thread.join().unwrap();
                }),
            }
        }
    }
}
