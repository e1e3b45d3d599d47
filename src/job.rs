//! A blocking call: it is run whether or not the runtime would, and its result or panic is told.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// A piece of work, and who is told of its result.
pub(crate) struct Job<T> {
    pub(crate) work: Option<Box<dyn FnOnce() -> T + Send>>,
    pub(crate) deliver: Option<Box<dyn FnOnce(thread::Result<T>) + Send>>,
}

impl<T> Job<T> {
    fn run(mut self) {
        if let (Some(work), Some(deliver)) = (self.work.take(), self.deliver.take()) {
            deliver(catch_unwind(AssertUnwindSafe(work)));
        }
    }
}

/// A job that a runtime may run or drop. One that is dropped, because the runtime is gone, is run
/// all the same, on a thread of its own.
pub(crate) struct Unrun<T: Send + 'static>(pub(crate) Option<Job<T>>);

impl<T: Send + 'static> Unrun<T> {
    pub(crate) fn run(mut self) {
        if let Some(job) = self.0.take() {
            job.run();
        }
    }
}

impl<T: Send + 'static> Drop for Unrun<T> {
    fn drop(&mut self) {
        if let Some(job) = self.0.take() {
            let thread = thread::Builder::new().name("watertight-blocking".into());
            // If there is no thread to be had, the job is dropped, and whoever awaits it learns.
            let _ = thread.spawn(move || job.run());
        }
    }
}

/// The result of a job, or its panic.
pub(crate) fn pass_on<T>(result: Option<thread::Result<T>>) -> T {
    match result {
        Some(Ok(value)) => value,
        Some(Err(panic)) => resume_unwind(panic),
        None => panic!("no thread could be had for a blocking call"),
    }
}
