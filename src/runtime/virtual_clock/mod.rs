//! A runtime for tests: single-threaded, deterministic, on a clock that the test owns.

mod core;
mod faults;
mod sleep;
mod turn;

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use self::core::{Alarm, Core, TaskId};
pub use self::faults::Faults;
use self::sleep::Sleep;
use self::turn::Turn;
use super::{BoxFuture, Spawner, Timer};
use crate::primitives::{Arc, Mutex};

/// A future that is still busy after a virtual day will never end.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A deterministic, single-threaded runtime on a virtual clock, for tests. Cloning it makes
/// another handle to the same runtime.
///
/// Time stands still but in [`advance`](VirtualRuntime::advance) and its like
/// ([`skip`](VirtualRuntime::skip) goes to the next timer, and in [`stall`](VirtualRuntime::stall)
/// nobody gets to run meanwhile) and, when nothing else can run, in
/// [`block_on`](VirtualRuntime::block_on), where it jumps to the next timer. So a test of a
/// time-out of thirty seconds takes microseconds, ends at the very nanosecond, and does the same
/// on every machine.
///
/// A runtime that is [`seeded`](VirtualRuntime::seeded) picks the next task at random, and through
/// a handle [`with_faults`](VirtualRuntime::with_faults) it also drops tasks, delays wake-ups and
/// polls in vain: the same seed does the same again, so a failure that it finds can be replayed.
///
/// # Examples
///
/// A service that has to answer 503 in time when its pool is exhausted:
///
/// ```
/// use std::time::Duration;
/// use watertight::{FromFn, Manager, Pool, VirtualRuntime};
///
/// /// The code under test.
/// async fn handle<M: Manager>(pool: &Pool<M>) -> u16 {
///     match pool.acquire_timeout(Duration::from_millis(250)).await {
///         Ok(_session) => 200,
///         Err(_) => 503,
///     }
/// }
///
/// let runtime = VirtualRuntime::new();
/// let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>("session") })
///     .max_size(1)
///     .runtime(runtime.clone())
///     .build()?;
///
/// runtime.block_on(async {
///     let held = pool.acquire().await.unwrap();
///     let start = runtime.elapsed();
///     assert_eq!(handle(&pool).await, 503);
///     assert_eq!(runtime.elapsed() - start, Duration::from_millis(250)); // to the nanosecond
///     drop(held);
///     assert_eq!(handle(&pool).await, 200);
/// });
/// # Ok::<(), watertight::BuildError>(())
/// ```
///
/// # Blocking
///
/// Everything runs on the thread that drives the runtime, inside one of its methods, but for blocking
/// calls that it [drops](Faults): those run where they are dropped. So a verb of a
/// [`SyncPool`](crate::SyncPool) that waits would wait for ever; test the async handle.
///
/// # Leftovers
///
/// A task keeps what it has captured, and a pool's tasks keep the pool, which keeps its runtime. So
/// what is not over when the test ends stays in memory until the process ends.
/// [`kill`](VirtualRuntime::kill) drops it, for those who look for leaks.
#[derive(Clone)]
pub struct VirtualRuntime {
    core: Arc<Mutex<Core>>,
    start: Instant,
    faults: Faults,
}

impl VirtualRuntime {
    /// Makes a runtime that runs tasks in the order in which they became ready.
    pub fn new() -> Self {
        VirtualRuntime::with(None)
    }

    /// Makes a runtime that picks the next of the ready tasks at random, decided by `seed`.
    pub fn seeded(seed: u64) -> Self {
        VirtualRuntime::with(Some(fastrand::Rng::with_seed(seed)))
    }

    fn with(rng: Option<fastrand::Rng>) -> Self {
        let start = Instant::now();
        VirtualRuntime {
            core: Arc::new(Mutex::new(Core::new(start, rng))),
            start,
            faults: Faults::none(),
        }
    }

    /// Another handle to the same runtime, which does these things wrong to the tasks that are
    /// spawned through it: to be given to a pool, say, while the test keeps the plain one.
    ///
    /// Chance is that of the seed. On a runtime that has [none](VirtualRuntime::new), only that
    /// goes wrong which always does: what has a probability of 1.
    pub fn with_faults(&self, faults: Faults) -> Self {
        VirtualRuntime {
            faults,
            ..self.clone()
        }
    }

    /// How much virtual time has passed since the runtime was made.
    pub fn elapsed(&self) -> Duration {
        self.now() - self.start
    }

    /// A future that completes when this much virtual time has passed.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        let at = self.now().checked_add(duration);
        let sleep = at.map(|at| self.sleep_until(at));
        async move {
            match sleep {
                Some(sleep) => sleep.await,
                None => std::future::pending().await,
            }
        }
    }

    /// How many tasks there are, ready or not: none, if everything that was started has been
    /// cleaned up.
    pub fn tasks(&self) -> usize {
        self.core.lock().tasks()
    }

    /// How many timers somebody waits for.
    pub fn timers(&self) -> usize {
        self.core.lock().timers()
    }

    /// True if a task was dropped before its end: by a fault, by [`kill`](VirtualRuntime::kill) or
    /// by [`drop_spawned`](VirtualRuntime::drop_spawned).
    pub fn lost_tasks(&self) -> bool {
        self.core.lock().lost_tasks
    }

    /// From now on, drop tasks unpolled as they are spawned, as a runtime does that has shut down;
    /// or stop doing so.
    pub fn drop_spawned(&self, on: bool) {
        self.core.lock().drops_spawned = on;
    }

    /// The runtime dies: every task is dropped, and every later one unpolled. Timers still work.
    pub fn kill(&self) {
        let tasks = self.core.lock().kill();
        drop(tasks);
        // Nothing else can run, and what it has kept of the dead must go.
        self.release_settled();
    }

    /// Runs everything that is ready until nothing is. No time passes.
    ///
    /// # Panics
    ///
    /// Panics when tasks keep each other busy without end, and when a task panics.
    pub fn settle(&self) {
        while self.run_one() || self.fire_next(self.now()) || self.release_settled() {}
    }

    /// Lets time pass, and [settles](VirtualRuntime::settle) at every timer on the way.
    ///
    /// # Panics
    ///
    /// As [`settle`](VirtualRuntime::settle), and past the end of time that an [`Instant`] can
    /// tell.
    pub fn advance(&self, by: Duration) {
        let target = self.now() + by;
        self.settle();
        while self.fire_next(target) {
            self.settle();
        }
        self.core.lock().move_on(target);
        self.settle();
    }

    /// Lets time pass in which nobody gets to run: a runtime that is busy, or a machine asleep.
    ///
    /// # Panics
    ///
    /// Panics past the end of time that an [`Instant`] can tell.
    pub fn stall(&self, by: Duration) {
        let target = self.now() + by;
        self.core.lock().move_on(target);
    }

    /// Runs one task once, if any is ready; else fires one timer that is due, or all that are on a
    /// seeded runtime; else lets those go on who wait to be [settled](VirtualRuntime::settled).
    /// Returns false if there is nothing to run unless time passes.
    ///
    /// # Panics
    ///
    /// As [`settle`](VirtualRuntime::settle).
    pub fn step(&self) -> bool {
        self.step_on() || self.release_settled()
    }

    fn step_on(&self) -> bool {
        self.run_one() || self.fire_next(self.now())
    }

    /// Lets time pass to the next timer, and fires it. Returns false if there is none.
    pub fn skip(&self) -> bool {
        let next = self.core.lock().next_alarm();
        next.is_some_and(|at| self.fire_next(at))
    }

    /// Runs `future` and everything else to the end of `future`. Time passes when all is quiet.
    ///
    /// # Panics
    ///
    /// Panics when nothing can happen any more within a virtual day from the start, when `future` or
    /// tasks are busy for ever without time passing, and when one of them panics.
    #[track_caller]
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut future = pin!(future);
        let end = self.now() + DAY;
        loop {
            let woken = flag.0.swap(false, Ordering::SeqCst);
            if woken {
                self.core.lock().count_poll();
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
            // One that wakes itself lets the others run, too.
            if !self.step_on() && !woken && !self.release_settled() {
                assert!(
                    self.fire_next(end),
                    "nothing can run any more, not within a day"
                );
            }
        }
    }

    /// Resolves once nothing else can run without time passing:
    /// [`settle`](VirtualRuntime::settle), for those who run on this runtime themselves.
    pub fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        let core = Arc::clone(&self.core);
        let released = Arc::new(AtomicBool::new(false));
        std::future::poll_fn(move |cx| {
            if released.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            // A later poll may come from another task.
            let entry = (cx.waker().clone(), Arc::clone(&released));
            core.lock().settling.push(entry);
            Poll::Pending
        })
    }

    fn run_one(&self) -> bool {
        let Some((id, task)) = self.core.lock().take_next() else {
            return false;
        };
        let Some(mut task) = task else {
            return true;
        };
        if self.core.lock().draws(task.faults.drops_midway) {
            self.core.lock().forget(id);
            drop(task);
            return true;
        }
        let waker = Waker::from(Arc::new(TaskWaker {
            core: Arc::clone(&self.core),
            id,
        }));
        let poll = AssertUnwindSafe(|| task.future.as_mut().poll(&mut Context::from_waker(&waker)));
        let polled = catch_unwind(poll);
        if let Ok(Poll::Pending) = polled {
            // Comes back if the runtime was killed from within.
            let homeless = self.core.lock().put_back(id, task);
            drop(homeless);
            return true;
        }
        self.core.lock().remove(id);
        // A destructor may spawn.
        drop(task);
        match polled {
            Err(panic) => resume_unwind(panic),
            Ok(_) => true,
        }
    }

    fn release_settled(&self) -> bool {
        let settling = std::mem::take(&mut self.core.lock().settling);
        let any = !settling.is_empty();
        for (waker, released) in settling {
            released.store(true, Ordering::SeqCst);
            waker.wake();
        }
        any
    }

    /// Moves on to the earliest timer, if it is not after `limit`. On a seeded runtime all those of
    /// that instant go off together, so that it is left to chance who runs first.
    fn fire_next(&self, limit: Instant) -> bool {
        let fired = self.fire_one(limit);
        while fired && self.core.lock().is_seeded() && self.fire_one(self.now()) {}
        fired
    }

    fn fire_one(&self, limit: Instant) -> bool {
        let alarm = self.core.lock().take_alarm(limit);
        match alarm {
            Some(Alarm::Wake(waker)) => waker.wake(),
            Some(Alarm::Ready(id)) => self.core.lock().make_ready(id),
            None => return false,
        }
        true
    }
}

impl Default for VirtualRuntime {
    fn default() -> Self {
        VirtualRuntime::new()
    }
}

impl fmt::Debug for VirtualRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualRuntime")
            .field("elapsed", &self.elapsed())
            .field("tasks", &self.tasks())
            .field("timers", &self.timers())
            .field("faults", &self.faults)
            .finish()
    }
}

impl Spawner for VirtualRuntime {
    fn spawn(&self, task: BoxFuture<()>) {
        let refused = self.core.lock().spawn(task, self.faults);
        drop(refused);
    }

    /// Runs `work` in its turn, on this thread: nothing else happens meanwhile, and no time passes. If
    /// the task is dropped, that is its turn: [`Blocking`](crate::Blocking) would have it done on a
    /// thread otherwise, of which no seed knows.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let turn = Turn::of(work);
        self.spawn(Box::pin(async move { drop(turn) }));
    }

    /// Decided by the runtime's own seed, so that a pool on it does the same again.
    fn entropy(&self) -> u64 {
        self.core.lock().entropy()
    }
}

impl Timer for VirtualRuntime {
    fn now(&self) -> Instant {
        self.core.lock().now
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Box::pin(Sleep::new(Arc::clone(&self.core), at))
    }
}

struct TaskWaker {
    core: Arc<Mutex<Core>>,
    id: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.core.lock().woken(self.id);
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
