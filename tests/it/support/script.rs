//! What the manager is to do when it is called.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use watertight::{Runtime, Timer};

/// One outcome of a call of the manager's, made by [`ok`], [`err`], [`permanent`], [`panics`] and
/// [`hang`].
#[derive(Clone, Debug)]
pub(crate) struct Step {
    wait: Wait,
    end: End,
}

#[derive(Clone, Debug)]
enum Wait {
    No,
    For(Duration),
    At(Gate),
    ForEver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Ok,
    Err,
    Permanent,
    Panic,
}

/// The call succeeds.
pub(crate) fn ok() -> Step {
    Step::new(End::Ok)
}

/// The call fails.
pub(crate) fn err() -> Step {
    Step::new(End::Err)
}

/// The call fails, and it is of no use to repeat it.
pub(crate) fn permanent() -> Step {
    Step::new(End::Permanent)
}

/// The call panics.
pub(crate) fn panics() -> Step {
    Step::new(End::Panic)
}

/// The call never ends. (It fails when the test is over.)
pub(crate) fn hang() -> Step {
    Step {
        wait: Wait::ForEver,
        end: End::Err,
    }
}

impl Step {
    fn new(end: End) -> Self {
        let wait = Wait::No;
        Step { wait, end }
    }

    /// The call takes so long, on the pool's clock.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.wait = Wait::For(delay);
        self
    }

    /// The call ends when the gate is opened.
    pub(crate) fn at(mut self, gate: &Gate) -> Self {
        self.wait = Wait::At(gate.clone());
        self
    }

    /// Waits as long as the step says, or until the test is over.
    pub(super) async fn play(self, runtime: Option<&Arc<dyn Runtime>>, over: &Gate) -> End {
        let wait = async {
            match (&self.wait, runtime) {
                (Wait::No, _) | (Wait::For(_), None) => {}
                (Wait::For(delay), Some(runtime)) => {
                    runtime.sleep_until(runtime.now() + *delay).await;
                }
                (Wait::At(gate), _) => gate.passed().await,
                (Wait::ForEver, _) => std::future::pending().await,
            }
        };
        futures_lite::future::or(wait, over.passed()).await;
        self.end
    }

    pub(super) fn end(&self) -> End {
        self.end
    }
}

/// The outcomes of one kind of call: a queue, and what to do when it is empty.
#[derive(Debug)]
pub(crate) struct Script {
    lines: Mutex<Lines>,
}

#[derive(Debug)]
struct Lines {
    queue: VecDeque<Step>,
    rest: Step,
    calls: Vec<Instant>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Script {
            lines: Mutex::new(Lines {
                queue: VecDeque::new(),
                rest: ok(),
                calls: Vec::new(),
            }),
        }
    }

    /// The next calls end like this, in this order, after those that were named before.
    pub(crate) fn next(&self, steps: impl IntoIterator<Item = Step>) {
        self.lock().queue.extend(steps);
    }

    /// Calls that nothing else is said about end like this; at first they succeed at once.
    pub(crate) fn always(&self, step: Step) {
        self.lock().rest = step;
    }

    /// From now on, calls succeed at once again.
    pub(crate) fn forget(&self) {
        self.end();
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.lock().calls.len()
    }

    /// When it was called.
    pub(crate) fn call_times(&self) -> Vec<Instant> {
        self.lock().calls.clone()
    }

    pub(super) fn called(&self, now: Instant) -> Step {
        let mut lines = self.lock();
        lines.calls.push(now);
        let next = lines.queue.pop_front();
        next.unwrap_or_else(|| lines.rest.clone())
    }

    /// The test is over: everything succeeds.
    pub(super) fn end(&self) {
        let mut lines = self.lock();
        lines.queue.clear();
        lines.rest = ok();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something to wait for until a test opens it. Once open it stays open.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    // Nothing is ever sent: closing the channel is what wakes everybody.
    bar: async_channel::Receiver<()>,
    _keep: async_channel::Sender<()>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let (keep, bar) = async_channel::bounded(1);
        Gate { bar, _keep: keep }
    }

    pub(crate) fn open(&self) {
        self.bar.close();
    }

    pub(crate) async fn passed(&self) {
        let _ = self.bar.recv().await;
    }
}
