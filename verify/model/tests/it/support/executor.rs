//! A runtime for a model: whichever thread has nothing else to do polls the tasks.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Plain};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use checker::clock::{self, Alarm, Clock};
use checker::sync::{Condvar, Mutex};
use watertight::{BoxFuture, Spawner, Timer};

#[derive(Clone)]
pub(crate) struct Executor(Arc<Core>);

struct Core {
    clock: Arc<Clock>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Every task that has been spawned and is not over.
    tasks: Plain<Vec<Arc<Task>>>,
    /// The scenario's callers count as being on this runtime.
    at_home: AtomicBool,
}

#[derive(Default)]
struct Queue {
    ready: std::collections::VecDeque<Arc<Task>>,
    /// Tasks that are being polled.
    polling: usize,
    /// Threads of the scenario that have not ended.
    threads: usize,
    /// The runtime has shut down: tasks are dropped.
    down: bool,
    /// No more work for helping hands.
    over: bool,
}

struct Task {
    future: Plain<Option<BoxFuture<()>>>,
    /// How often it has been polled: only the waker of the last poll wakes it.
    polls: AtomicUsize,
    queued: AtomicBool,
    /// It is being polled: to be queued afterwards, if it is woken meanwhile.
    polling: AtomicBool,
    again: AtomicBool,
}

/// The waker of one poll of a task.
struct TaskWaker {
    core: Arc<Core>,
    task: Arc<Task>,
    poll: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.task.polls.load(Ordering::Relaxed) == self.poll {
            self.core.ready(&self.task);
        }
    }
}

impl Core {
    fn ready(&self, task: &Arc<Task>) {
        let mut queue = self.queue.lock().expect("no panic in here");
        if task.polling.load(Ordering::Relaxed) {
            task.again.store(true, Ordering::Relaxed);
        } else if !task.queued.swap(true, Ordering::Relaxed) {
            queue.ready.push_back(Arc::clone(task));
        }
        drop(queue);
        self.changed.notify_all();
    }

    fn forget(&self, task: &Arc<Task>) {
        let mut tasks = self.tasks.lock().expect("no panic in here");
        tasks.retain(|other| !Arc::ptr_eq(other, task));
    }
}

/// How long to poll tasks.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// Until the scenario's threads have ended and nothing is left that could run.
    Quiet,
    /// Until another thread says so.
    Over,
}

impl Executor {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Executor(Arc::new(Core {
            clock,
            queue: Mutex::new(Queue::default()),
            changed: Condvar::new(),
            tasks: Plain::default(),
            at_home: AtomicBool::new(false),
        }))
    }

    /// From now on whoever calls the pool is on this runtime, if anybody asks.
    pub(crate) fn is_home_to_callers(&self) {
        self.0.at_home.store(true, Ordering::Relaxed);
    }

    /// Polls tasks. If none can run and threads wait for one, this deadlocks, and the model
    /// checker says so.
    pub(crate) fn work(&self, until: Until) {
        while let Some(task) = self.next(until) {
            self.poll(&task);
            let mut queue = self.0.queue.lock().expect("no panic in here");
            queue.polling -= 1;
            task.polling.store(false, Ordering::Relaxed);
            if task.again.swap(false, Ordering::Relaxed) {
                task.queued.store(true, Ordering::Relaxed);
                queue.ready.push_back(task);
            }
            drop(queue);
            self.0.changed.notify_all();
        }
    }

    fn next(&self, until: Until) -> Option<Arc<Task>> {
        let mut queue = self.0.queue.lock().expect("no panic in here");
        loop {
            if let Some(task) = queue.ready.pop_front() {
                task.queued.store(false, Ordering::Relaxed);
                task.polling.store(true, Ordering::Relaxed);
                queue.polling += 1;
                return Some(task);
            }
            let over = match until {
                Until::Quiet => queue.polling == 0 && queue.threads == 0,
                Until::Over => queue.over,
            };
            if over {
                return None;
            }
            queue = self.0.changed.wait(queue).expect("no panic in here");
        }
    }

    fn poll(&self, task: &Arc<Task>) {
        // It is over.
        let Some(mut future) = task.future.lock().expect("no panic in here").take() else {
            return;
        };
        let poll = task.polls.fetch_add(1, Ordering::Relaxed) + 1;
        let waker = Waker::from(Arc::new(TaskWaker {
            core: Arc::clone(&self.0),
            task: Arc::clone(task),
            poll,
        }));
        let pending = future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending();
        if pending && !self.is_down() {
            *task.future.lock().expect("no panic in here") = Some(future);
            return;
        }
        self.0.forget(task);
        drop(future);
    }

    fn is_down(&self) -> bool {
        self.0.queue.lock().expect("no panic in here").down
    }

    /// From now on the runtime drops its tasks, and those it is given.
    pub(crate) fn shut_down(&self) {
        self.0.queue.lock().expect("no panic in here").down = true;
        let tasks = std::mem::take(&mut *self.0.tasks.lock().expect("no panic in here"));
        for task in tasks {
            let future = task.future.lock().expect("no panic in here").take();
            drop(future);
        }
    }

    /// Lets the helping hands go.
    pub(crate) fn over(&self) {
        self.0.queue.lock().expect("no panic in here").over = true;
        self.0.changed.notify_all();
    }

    pub(crate) fn tasks(&self) -> usize {
        self.0.tasks.lock().expect("no panic in here").len()
    }

    /// A thread of the scenario begins.
    pub(crate) fn thread_begins(&self) {
        self.0.queue.lock().expect("no panic in here").threads += 1;
    }

    pub(crate) fn thread_ends(&self) {
        self.0.queue.lock().expect("no panic in here").threads -= 1;
        self.0.changed.notify_all();
    }
}

impl Spawner for Executor {
    fn spawn(&self, task: BoxFuture<()>) {
        if self.is_down() {
            return drop(task);
        }
        let task = Arc::new(Task {
            future: Plain::new(Some(task)),
            polls: AtomicUsize::new(0),
            queued: AtomicBool::new(false),
            polling: AtomicBool::new(false),
            again: AtomicBool::new(false),
        });
        self.0
            .tasks
            .lock()
            .expect("no panic in here")
            .push(Arc::clone(&task));
        self.0.ready(&task);
        // It may have shut down meanwhile.
        if self.is_down() {
            self.0.forget(&task);
            let future = task.future.lock().expect("no panic in here").take();
            drop(future);
        }
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.spawn(Box::pin(async move { work() }));
    }

    fn is_current(&self) -> bool {
        self.0.at_home.load(Ordering::Relaxed)
    }
}

impl Timer for Executor {
    fn now(&self) -> Instant {
        clock::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        let clock = Arc::clone(&self.0.clock);
        let mut alarm: Option<Alarm> = None;
        Box::pin(std::future::poll_fn(move |cx| {
            if clock::now() >= at {
                return Poll::Ready(());
            }
            let fresh = clock.wake_at(at, cx.waker().clone());
            drop(alarm.replace(fresh));
            Poll::Pending
        }))
    }
}

/// Polls a future for the first time, and forgets who wanted to know: it has its place in the queue
/// then, and needs to be polled again.
pub(crate) fn begin<T>(future: impl Future<Output = T> + Send + 'static) -> BoxFuture<T> {
    let mut future: BoxFuture<T> = Box::pin(future);
    let begun = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending(), "there is something to wait for");
    future
}

/// Parks the thread until the future is ready. Each poll has a waker of its own, and only the last
/// one wakes: all that a future may count on.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        let (parker, unparker) = checker::parking::pair();
        let waker = Waker::from(unparker);
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => parker.park(),
        }
    }
}
