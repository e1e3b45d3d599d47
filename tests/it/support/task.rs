//! Tasks of the tests' own.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::FutureExt;
use watertight::BoxFuture;

use super::script::Gate;

/// A task that was spawned. Await it for its result; a panic in it goes on here. Dropping it lets
/// the task run on.
pub(crate) struct Task<T> {
    result: Pin<Box<dyn Future<Output = Option<Outcome<T>>> + Send>>,
    aborted: Gate,
}

/// `Ok(None)` if it was aborted, `Err` if it panicked.
type Outcome<T> = std::thread::Result<Option<T>>;

impl<T: Send + 'static> Task<T> {
    /// The handle of a task, and what is to be run.
    pub(super) fn of(task: impl Future<Output = T> + Send + 'static) -> (Self, BoxFuture<()>) {
        let (send, result) = async_channel::bounded(1);
        let aborted = Gate::new();
        let gate = aborted.clone();
        let body = async move {
            let run = AssertUnwindSafe(async { Some(task.await) }).catch_unwind();
            let abort = async {
                gate.passed().await;
                Ok(None)
            };
            let outcome = futures_lite::future::or(abort, run).await;
            let _ = send.send(outcome).await;
        };
        let result = Box::pin(async move { result.recv().await.ok() });
        (Task { result, aborted }, Box::pin(body))
    }

    /// Drops the task where it stands; resolves when that has been done.
    pub(crate) async fn abort(self) {
        self.aborted.open();
        self.result.await;
    }
}

// Nothing in it is pinned in place.
impl<T> Unpin for Task<T> {}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.result.as_mut().poll(cx).map(|result| match result {
            Some(Ok(Some(value))) => value,
            Some(Err(panic)) => resume_unwind(panic),
            Some(Ok(None)) | None => panic!("the task was dropped"),
        })
    }
}

/// Awaits all of them, in order.
pub(crate) async fn join<T>(tasks: impl IntoIterator<Item = Task<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await);
    }
    results
}
