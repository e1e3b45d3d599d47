//! What an operator may do while the gateway runs. It has an address of its own, which only this
//! machine can reach.

use std::future::Future;

use futures_lite::future::or;

use super::gateway::{Gateway, is_local, status_json};
use super::process::Process;
use super::reply::Reply;

impl<P: Process> Gateway<P> {
    /// `POST /admin/pause`, `resume` or `reset`. The answer is the pool's status, when that is done;
    /// with 202 instead of 200 if it takes longer than a request may, and will be done later.
    pub(crate) async fn operate(&self, origin: Option<&[u8]>, action: &str) -> Reply {
        if !origin.is_none_or(is_local) {
            return Reply::foreign_origin();
        }
        match action {
            // Done when no request is in progress. Those that come wait, up to their deadlines.
            "pause" => self.report(self.pool.pause()).await,
            "resume" => {
                self.pool.resume();
                self.report(std::future::ready(())).await
            }
            // Done when the last of the servers that were there has ended.
            "reset" => {
                self.pool.reset();
                self.report(self.pool.wait_reset()).await
            }
            _ => Reply::empty(404),
        }
    }

    async fn report(&self, done: impl Future<Output = ()>) -> Reply {
        let runtime = self.pool.runtime();
        let too_late = runtime.sleep_until(runtime.now() + self.request_timeout);
        let in_time = async {
            done.await;
            200
        };
        let later = async {
            too_late.await;
            202
        };
        let code = or(in_time, later).await;
        Reply::json(code, &status_json(&self.pool.status()))
    }
}
