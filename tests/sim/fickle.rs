//! The runtime of a pool: one that does things wrong, until it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use watertight::{BoxFuture, Faults, Spawner, Timer, VirtualRuntime};

/// Cloning it makes another handle.
#[derive(Clone, Debug)]
pub(crate) struct Fickle {
    faulty: VirtualRuntime,
    sound: VirtualRuntime,
    is_sound: Arc<AtomicBool>,
    /// How often it was asked whether a caller is on it.
    asked: Arc<AtomicUsize>,
}

impl Fickle {
    pub(crate) fn new(sound: &VirtualRuntime, faults: Faults) -> Self {
        Fickle {
            faulty: sound.with_faults(faults),
            sound: sound.clone(),
            is_sound: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// Nothing goes wrong any more with the tasks that are spawned from now on.
    pub(crate) fn come_to_its_senses(&self) {
        self.is_sound.store(true, Ordering::SeqCst);
    }

    fn now_used(&self) -> &VirtualRuntime {
        match self.is_sound.load(Ordering::SeqCst) {
            true => &self.sound,
            false => &self.faulty,
        }
    }
}

impl Spawner for Fickle {
    fn spawn(&self, task: BoxFuture<()>) {
        self.now_used().spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.now_used().spawn_blocking(work);
    }

    /// Every other time, so that some checks are begun by their callers and some are not.
    fn is_current(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst) % 2 == 0
    }

    fn entropy(&self) -> u64 {
        self.sound.entropy()
    }
}

impl Timer for Fickle {
    fn now(&self) -> Instant {
        self.sound.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        self.sound.sleep_until(at)
    }
}
