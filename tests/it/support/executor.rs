//! A runtime whose clock and whose tasks the test drives by hand. It knows only the crate's public
//! traits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use watertight::{BoxFuture, Spawner, Timer};

/// A test that is still busy after a virtual day will never end.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// So many polls without time passing are a loop without end.
const MANY: usize = 2_000_000;

/// A deterministic single-threaded runtime on a virtual clock. Cloning it makes another handle.
///
/// Time stands still but in [`advance`](Virtual::advance) and, when nothing else can run, in
/// [`block_on`](Virtual::block_on).
#[derive(Clone)]
pub(crate) struct Virtual {
    core: Arc<Mutex<Core>>,
    start: Instant,
}

struct Core {
    now: Instant,
    /// `None` while it is being polled.
    tasks: HashMap<u64, Option<BoxFuture<()>>>,
    ready: VecDeque<u64>,
    timers: BTreeMap<(Instant, u64), Waker>,
    settling: Vec<(Waker, Arc<AtomicBool>)>,
    next_id: u64,
    drops_spawned: bool,
    lost_tasks: bool,
    /// Since time last passed.
    polls: usize,
    /// Picks the next task at random; without it, first come, first served.
    rng: Option<fastrand::Rng>,
}

impl Virtual {
    /// Runs tasks in the order in which they became ready.
    pub(crate) fn new() -> Self {
        Virtual::with(None)
    }

    /// Runs ready tasks in an order that `seed` decides.
    pub(crate) fn seeded(seed: u64) -> Self {
        Virtual::with(Some(fastrand::Rng::with_seed(seed)))
    }

    fn with(rng: Option<fastrand::Rng>) -> Self {
        let start = Instant::now();
        let core = Core {
            now: start,
            tasks: HashMap::new(),
            ready: VecDeque::new(),
            timers: BTreeMap::new(),
            settling: Vec::new(),
            next_id: 0,
            drops_spawned: false,
            lost_tasks: false,
            polls: 0,
            rng,
        };
        Virtual {
            core: Arc::new(Mutex::new(core)),
            start,
        }
    }

    /// How much virtual time has passed.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now() - self.start
    }

    /// How many tasks there are, ready or not.
    pub(crate) fn tasks(&self) -> usize {
        self.lock().tasks.len()
    }

    /// How many timers somebody waits for.
    pub(crate) fn timers(&self) -> usize {
        self.lock().timers.len()
    }

    /// True if it has dropped a task before its end.
    pub(crate) fn lost_tasks(&self) -> bool {
        self.lock().lost_tasks
    }

    /// From now on, drop tasks unpolled as they are spawned; or stop doing so.
    pub(crate) fn drop_spawned(&self, on: bool) {
        self.lock().drops_spawned = on;
    }

    /// The runtime dies: every task is dropped, and every later one unpolled. Timers still work.
    pub(crate) fn kill(&self) {
        let tasks = {
            let mut core = self.lock();
            core.drops_spawned = true;
            core.lost_tasks = true;
            core.ready.clear();
            std::mem::take(&mut core.tasks)
        };
        drop(tasks);
    }

    /// Runs everything that is ready until nothing is. No time passes.
    pub(crate) fn settle(&self) {
        while self.run_one() || self.fire_next(self.now()) || self.release_settled() {}
    }

    /// Lets time pass, and settles at every timer on the way.
    pub(crate) fn advance(&self, by: Duration) {
        let target = self.now() + by;
        self.settle();
        while self.fire_next(target) {
            self.settle();
        }
        self.lock().now = target;
        self.settle();
    }

    /// Lets time pass in which nobody gets to run.
    pub(crate) fn stall(&self, by: Duration) {
        self.lock().now += by;
    }

    /// Runs `future` and everything else to the end of `future`. Time passes when all is quiet.
    ///
    /// # Panics
    ///
    /// Panics when nothing can ever happen any more, when a virtual day has passed, and when
    /// tasks keep each other busy without time passing.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut future = pin!(future);
        loop {
            if flag.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            } else if !self.run_one() && !self.fire_next(self.now()) && !self.release_settled() {
                assert!(self.fire_next(self.start + DAY), "nothing can run any more");
            }
        }
    }

    /// Resolves once nothing else can run without time passing: [`settle`](Virtual::settle), for
    /// those who run on this runtime themselves.
    pub(crate) fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        let core = Arc::clone(&self.core);
        let released = Arc::new(AtomicBool::new(false));
        let mut asked = false;
        std::future::poll_fn(move |cx| {
            if released.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            if !asked {
                asked = true;
                let entry = (cx.waker().clone(), Arc::clone(&released));
                lock(&core).settling.push(entry);
            }
            Poll::Pending
        })
    }

    fn run_one(&self) -> bool {
        let (id, task) = {
            let mut core = self.lock();
            let Some(id) = core.pick() else {
                return false;
            };
            core.polls += 1;
            assert!(core.polls < MANY, "this goes round in circles");
            (id, core.tasks.get_mut(&id).and_then(Option::take))
        };
        let Some(mut task) = task else {
            return true;
        };
        let waker = Waker::from(Arc::new(TaskWaker {
            core: Arc::clone(&self.core),
            id,
        }));
        let over = task
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        let mut core = self.lock();
        if over {
            core.tasks.remove(&id);
        } else if let Some(slot) = core.tasks.get_mut(&id) {
            *slot = Some(task);
            return true;
        }
        // A destructor may spawn.
        drop(core);
        drop(task);
        true
    }

    fn release_settled(&self) -> bool {
        let settling = std::mem::take(&mut self.lock().settling);
        let any = !settling.is_empty();
        for (waker, released) in settling {
            released.store(true, Ordering::SeqCst);
            waker.wake();
        }
        any
    }

    /// Moves on to the earliest timer, if it is not after `limit`.
    fn fire_next(&self, limit: Instant) -> bool {
        let waker = {
            let mut core = self.lock();
            let Some(entry) = core.timers.first_entry() else {
                return false;
            };
            let (at, _) = *entry.key();
            if at > limit {
                return false;
            }
            let waker = entry.remove();
            if at > core.now {
                core.now = at;
                core.polls = 0;
            }
            waker
        };
        waker.wake();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }
}

fn lock(core: &Mutex<Core>) -> MutexGuard<'_, Core> {
    core.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    fn pick(&mut self) -> Option<u64> {
        match &mut self.rng {
            Some(rng) if self.ready.len() > 1 => {
                let index = rng.usize(..self.ready.len());
                self.ready.swap_remove_back(index)
            }
            _ => self.ready.pop_front(),
        }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl Spawner for Virtual {
    fn spawn(&self, task: BoxFuture<()>) {
        let mut core = self.lock();
        if core.drops_spawned {
            core.lost_tasks = true;
            drop(core);
            drop(task);
            return;
        }
        let id = core.new_id();
        core.tasks.insert(id, Some(task));
        core.ready.push_back(id);
    }
}

impl Timer for Virtual {
    fn now(&self) -> Instant {
        self.lock().now
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Box::pin(Sleep {
            core: Arc::clone(&self.core),
            at,
            key: None,
        })
    }
}

struct Sleep {
    core: Arc<Mutex<Core>>,
    at: Instant,
    key: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut core = lock(&this.core);
        if core.now >= this.at {
            return Poll::Ready(());
        }
        let key = *this.key.get_or_insert_with(|| (this.at, core.new_id()));
        let old = core.timers.insert(key, cx.waker().clone());
        drop(core);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = lock(&self.core).timers.remove(&key);
            drop(waker);
        }
    }
}

struct TaskWaker {
    core: Arc<Mutex<Core>>,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut core = lock(&self.core);
        if core.tasks.contains_key(&self.id) && !core.ready.contains(&self.id) {
            core.ready.push_back(self.id);
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
