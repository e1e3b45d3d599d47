//! What the traits do by themselves.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;

#[test]
fn runtime_says_nothing_of_what_it_does_not_know() {
    assert!(!Threads.is_current());
    assert_eq!(Threads.current_task(), None);
    let drawn: BTreeSet<_> = (0..4).map(|_| Threads.entropy()).collect();
    assert!(drawn.len() > 1, "{drawn:?}");
}

/// Notes down what it is asked, and has an answer of its own to everything.
#[derive(Default)]
struct Told(Mutex<Vec<&'static str>>);

impl Told {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }
}

impl Spawner for Told {
    fn spawn(&self, _: BoxFuture<()>) {
        self.note("spawn");
    }

    fn is_current(&self) -> bool {
        self.note("is_current");
        true
    }

    fn current_task(&self) -> Option<String> {
        self.note("current_task");
        Some("mine".into())
    }

    fn about_to_block(&self) {
        self.note("about_to_block");
    }

    fn spawn_blocking(&self, _: Box<dyn FnOnce() + Send>) {
        self.note("spawn_blocking");
    }

    fn entropy(&self) -> u64 {
        self.note("entropy");
        42
    }
}

#[test]
fn shared_runtime_is_asked_itself() {
    let shared: Arc<Told> = Arc::default();
    let asked: &dyn Spawner = &shared;
    asked.spawn(Box::pin(async {}));
    assert!(asked.is_current());
    assert_eq!(asked.current_task().as_deref(), Some("mine"));
    asked.about_to_block();
    asked.spawn_blocking(Box::new(|| ()));
    assert_eq!(asked.entropy(), 42);
    let told = shared.0.lock().unwrap();
    let all = [
        "spawn",
        "is_current",
        "current_task",
        "about_to_block",
        "spawn_blocking",
        "entropy",
    ];
    assert_eq!(*told, all);
}

/// Counts how often it is asked which task this is.
struct Curious(Arc<AtomicUsize>);

impl Spawner for Curious {
    fn spawn(&self, task: BoxFuture<()>) {
        Threads.spawn(task);
    }

    fn current_task(&self) -> Option<String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        None
    }
}

impl Timer for Curious {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        Threads.sleep_until(at)
    }
}

#[test]
fn runtime_is_asked_for_tasks_only_where_leaks_are_looked_for() {
    struct Nobody;
    impl Observer for Nobody {}
    let asked = Arc::<AtomicUsize>::default();
    let pool = Pool::from_fn(|| async { Ok::<_, io::Error>(()) })
        .runtime(Curious(Arc::clone(&asked)))
        .observer(Nobody)
        .build()
        .unwrap();
    drop(block_on(pool.acquire()).unwrap());
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    pool.set_leak_threshold(Duration::from_secs(60)).unwrap();
    drop(block_on(pool.acquire()).unwrap());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[cfg(feature = "smol")]
#[test]
fn smol_does_blocking_work() {
    let (done, outcome) = std::sync::mpsc::channel();
    let work = move || done.send(7).unwrap();
    watertight::SmolRuntime::new().spawn_blocking(Box::new(work));
    assert_eq!(outcome.recv(), Ok(7), "it is not dropped");
}
