/// A runtime on which time stands still, or takes a step whenever somebody looks, and tasks run
/// only when they are told to.
#[derive(Clone)]
pub(crate) struct Still(Arc<World>);

struct World {
    now: Mutex<Instant>,
    step: Duration,
    tasks: Mutex<Vec<BoxFuture<()>>>,
}

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use watertight::{BoxFuture, Spawner, Timer};

impl Still {
    pub(crate) fn new() -> Self {
        Still::stepping(Duration::ZERO)
    }

    pub(crate) fn stepping(step: Duration) -> Self {
        Still(Arc::new(World {
            now: Mutex::new(Instant::now()),
            step,
            tasks: Mutex::default(),
        }))
    }

    /// Polls every task once.
    pub(crate) fn run(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.0.tasks));
        let mut cx = Context::from_waker(Waker::noop());
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        self.0
            .tasks
            .lock()
            .expect("no task panics")
            .append(&mut tasks);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spawner for Still {
    fn spawn(&self, task: BoxFuture<()>) {
        lock(&self.0.tasks).push(task);
    }
}

impl Timer for Still {
    fn now(&self) -> Instant {
        let mut now = lock(&self.0.now);
        *now += self.0.step;
        *now
    }

    /// Never comes, and is no block of memory.
    fn sleep_until(&self, _: Instant) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}
