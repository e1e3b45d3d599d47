//! What an operator may do while the gateway runs. It has an address of its own, which only this
//! machine can reach.

use std::future::{Future, ready};

use futures_lite::future::or;
use serde_json::json;

use super::gateway::Gateway;
use super::process::Process;
use super::reply::Reply;
use super::report::status_json;
use super::source::Source;

impl<P: Process> Gateway<P> {
    /// `POST /admin/pause`, `resume` or `reset`. The answer is the pool's status, when that is done;
    /// with 202 instead of 200 if it takes longer than a request may, and will be done later.
    pub(crate) async fn operate(&self, action: &str) -> Reply {
        match (action, &self.source) {
            // Done when no request is in progress. Those that come wait, up to their deadlines.
            ("pause", Source::Own(pool)) => self.report(pool.pause()).await,
            ("resume", Source::Own(pool)) => {
                pool.resume();
                self.report(ready(())).await
            }
            // Done when the last of the processes that were there has ended.
            ("reset", Source::Own(pool)) => {
                pool.reset();
                self.report(pool.wait_reset()).await
            }
            ("reset", Source::Shared(pools, name)) => {
                let there = self.record.roster.ids();
                pools.remove(name);
                self.report(self.record.roster.without(&there)).await
            }
            ("pause" | "resume", Source::Shared(..)) => {
                let reason = "servers that share `max_processes` cannot be paused";
                Reply::json(501, &json!({ "error": reason }))
            }
            _ => Reply::empty(404),
        }
    }

    async fn report(&self, done: impl Future<Output = ()>) -> Reply {
        let runtime = self.source.runtime();
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
        Reply::json(code, &status_json(self.source.status().as_ref(), self.max))
    }
}
