//! A blocking call: it is run whether or not the runtime would, and its result or panic is told.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::primitives::contain;
use crate::runtime::on_a_thread_of_its_own;

/// The result of a job, or its panic; `None` if it was never run, for want of a thread.
pub(crate) type Outcome<T> = Option<thread::Result<T>>;

/// A piece of work, and who is told what came of it, even if that is nothing.
pub(crate) struct Job<T> {
    work: Option<Box<dyn FnOnce() -> T + Send>>,
    deliver: Option<Box<dyn FnOnce(Outcome<T>) + Send>>,
}

impl<T> Job<T> {
    pub(crate) fn new(
        work: impl FnOnce() -> T + Send + 'static,
        deliver: impl FnOnce(Outcome<T>) + Send + 'static,
    ) -> Self {
        Job {
            work: Some(Box::new(work)),
            deliver: Some(Box::new(deliver)),
        }
    }

    fn run(mut self) {
        if let (Some(work), Some(deliver)) = (self.work.take(), self.deliver.take()) {
            tell(deliver, Some(catch_unwind(AssertUnwindSafe(work))));
        }
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        let work = self.work.take();
        contain(|| drop(work));
        if let Some(deliver) = self.deliver.take() {
            tell(deliver, None);
        }
    }
}

/// Whoever is told has a waker, and what nobody wants, a destructor.
fn tell<T>(deliver: impl FnOnce(Outcome<T>), outcome: Outcome<T>) {
    contain(|| deliver(outcome));
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
            // If there is no thread to be had, the job is dropped, and whoever awaits it is told.
            on_a_thread_of_its_own(move || job.run());
        }
    }
}

/// The result of a job, or its panic.
pub(crate) fn pass_on<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Some(Ok(value)) => value,
        Some(Err(panic)) => resume_unwind(panic),
        None => panic!("no thread could be had for a blocking call"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn job(panics: bool) -> (Job<u8>, mpsc::Receiver<Outcome<u8>>) {
        let (report, outcome) = mpsc::channel();
        let work = move || match panics {
            true => resume_unwind(Box::new("as planned")),
            false => 7,
        };
        let job = Job::new(work, move |result| {
            report.send(result).expect("somebody listens")
        });
        (job, outcome)
    }

    #[test]
    fn result_or_panic_is_told_once() {
        for panics in [false, true] {
            let (job, outcome) = job(panics);
            Unrun(Some(job)).run();
            let told: Vec<_> = outcome.iter().collect();
            assert_eq!(told.len(), 1);
            let result = told[0].as_ref().expect("it was run");
            assert_eq!(result.as_ref().ok(), (!panics).then_some(&7));
        }
    }

    #[test]
    fn job_that_a_runtime_drops_is_run_all_the_same() {
        let (job, outcome) = job(false);
        drop(Unrun(Some(job)));
        let told: Vec<_> = outcome.iter().collect();
        assert!(matches!(told[..], [Some(Ok(7))]));
    }

    #[test]
    fn loss_of_a_job_is_told_though_its_work_panics_as_it_goes() {
        struct Fragile;
        impl Drop for Fragile {
            fn drop(&mut self) {
                resume_unwind(Box::new("fragile"));
            }
        }
        let (report, outcome) = mpsc::channel();
        let fragile = Fragile;
        let job = Job::<()>::new(
            move || drop(fragile),
            move |result| report.send(result).expect("somebody listens"),
        );
        assert!(catch_unwind(AssertUnwindSafe(|| drop(job))).is_ok());
        let told: Vec<_> = outcome.iter().collect();
        assert!(matches!(told[..], [None]));
    }

    #[test]
    fn loss_of_a_job_is_told() {
        let (job, outcome) = job(false);
        drop(job);
        let told: Vec<_> = outcome.iter().collect();
        assert!(matches!(told[..], [None]));
    }
}
