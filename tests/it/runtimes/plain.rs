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
