//! The gateway itself: requests in, replies out, and a pool of servers between.

use std::net::IpAddr;
use std::time::Duration;

use futures_lite::future::or;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use watertight::{BuildError, Builder, CloseReason, Pool, PooledConnection, Statistics, Status};

use super::fault::Fault;
use super::options::Options;
use super::process::{CommandLine, Process, kill_group};
use super::reply::{Failure, Reply, chain};
use super::rpc::{self, Answer, FromClient, Outcome};
use super::servers::Servers;

/// How long the servers may take to end when the gateway does. Enough for every goodbye.
const CLOSING: Duration = Duration::from_secs(3);

/// How long they may take once they were killed.
const REAPING: Duration = Duration::from_secs(1);

/// A pool of servers with a request's life around it.
pub(crate) struct Gateway<P: Process> {
    pub(super) pool: Pool<Servers<P>>,
    pub(super) request_timeout: Duration,
}

impl<P: Process> Gateway<P> {
    /// Builds the pool on the runtime that this is called in, with `more` settings than the options
    /// have. Starts no server yet.
    pub(crate) fn new(
        options: &Options,
        command: CommandLine,
        more: impl FnOnce(Builder<Servers<P>>) -> Builder<Servers<P>>,
    ) -> Result<Self, BuildError> {
        let pool = more(Pool::builder(Servers::new(command)))
            .max_size(options.max)
            .min_idle(options.min_idle)
            .acquire_timeout(options.acquire_timeout)
            .connect_timeout(options.connect_timeout)
            .idle_timeout(options.idle_timeout)
            .build()?;
        Ok(Gateway {
            pool,
            request_timeout: options.request_timeout,
        })
    }

    /// Waits until the first servers are ready. The error is for the user to read.
    pub(crate) async fn warm_up(&self) -> Result<(), String> {
        self.pool.fill().await.map_err(|error| chain(&error))
    }

    /// Ends the servers, and the requests that still wait for them.
    pub(crate) async fn close(&self) {
        self.pool.close_within(CLOSING).await;
        // What is left is most likely a server that will not be initialised.
        let roster = self.pool.manager().roster();
        roster.ids().into_iter().for_each(kill_group);
        let runtime = self.pool.runtime();
        let too_late = runtime.sleep_until(runtime.now() + REAPING);
        or(roster.emptied(), too_late).await;
    }

    /// `POST /mcp`: one message from a client.
    pub(crate) async fn post(&self, origin: Option<&[u8]>, body: &[u8]) -> Reply {
        if !origin.is_none_or(is_local) {
            return Reply::foreign_origin();
        }
        match rpc::read_client(body) {
            Err(rejected) => Reply::rejected(&rejected),
            // Which server would it be for? Those that matter, the gateway sends itself.
            Ok(FromClient::Notification) => Reply::empty(202),
            Ok(FromClient::Request { id, method, params }) => {
                match self.answer(&method, params).await {
                    Ok(outcome) => Reply::json(200, &Answer::new(Some(id), &outcome)),
                    Err(failure) => failure.reply_to(id),
                }
            }
        }
    }

    /// `GET /test`: one round trip. What a server without the tool `echo` says to it is as good.
    pub(crate) async fn test(&self) -> Reply {
        #[derive(Serialize)]
        struct Echo<'a> {
            pid: u32,
            #[serde(flatten)]
            outcome: &'a Outcome,
        }
        let params = rpc::raw(&json!({ "name": "echo", "arguments": { "message": "test" } }));
        match self.forward("tools/call", Some(&params)).await {
            Ok((pid, outcome)) => {
                let outcome = &outcome;
                Reply::json(200, &Echo { pid, outcome })
            }
            Err(failure) => failure.reply(),
        }
    }

    /// `GET /status`: the pool in numbers.
    pub(crate) fn status(&self) -> Reply {
        Reply::json(
            200,
            &json!({
                "status": status_json(&self.pool.status()),
                "statistics": statistics_json(&self.pool.statistics()),
                "children": self.pool.manager().roster().ids(),
            }),
        )
    }

    async fn answer(&self, method: &str, params: Option<&RawValue>) -> Result<Outcome, Failure> {
        if method == "initialize" {
            return self.greeting().await;
        }
        Ok(self.forward(method, params).await?.1)
    }

    /// The servers have been initialised, once each; a client is told what they said then.
    async fn greeting(&self) -> Result<Outcome, Failure> {
        let session = self.pool.acquire().await?;
        let greeting = session.greeting().ok_or(Fault::Ended)?;
        Ok(Outcome::Result(greeting.to_owned()))
    }

    /// Has a server answer, and tells which. Dropping this half-way costs the server, for its
    /// session then stays marked, and nothing else.
    async fn forward(
        &self,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<(u32, Outcome), Failure> {
        let mut session = self.pool.acquire().await?;
        let runtime = self.pool.runtime();
        let too_late = runtime.sleep_until(runtime.now() + self.request_timeout);
        let hung = async {
            too_late.await;
            Err(Fault::Hung)
        };
        let closed = async {
            self.pool.closed().await;
            Err(Fault::CutOff)
        };
        match or(session.call(method, params), or(hung, closed)).await {
            Ok(outcome) => Ok((session.id(), outcome)),
            Err(fault) => {
                // `inspect` would find out, but why leave it to guess.
                PooledConnection::discard(session);
                Err(fault.into())
            }
        }
    }
}

/// True for the origin of a page that was served by this machine. Browsers name the origin of a
/// page with what it sends; anything else on the web has no business with local servers.
pub(super) fn is_local(origin: &[u8]) -> bool {
    let Some((_, host)) = std::str::from_utf8(origin)
        .ok()
        .and_then(|origin| origin.split_once("://"))
    else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

pub(super) fn status_json(status: &Status) -> Value {
    json!({
        "max_size": status.max_size,
        "size": status.size,
        "idle": status.idle,
        "in_use": status.in_use,
        "connecting": status.connecting,
        "checking": status.checking,
        "recycling": status.recycling,
        "closing": status.closing,
        "waiting": status.waiting,
        "oldest_waiter_seconds": status.oldest_waiter.map(|age| age.as_secs_f64()),
        "paused": status.paused,
        "closed": status.closed,
    })
}

fn statistics_json(statistics: &Statistics) -> Value {
    let closes: Map<String, Value> = CloseReason::ALL
        .iter()
        .map(|&reason| (reason.to_string(), statistics.closes.get(reason).into()))
        .collect();
    json!({
        "acquires": statistics.acquires,
        "waits": statistics.waits,
        "timeouts": {
            "wait": statistics.timeouts.wait,
            "check": statistics.timeouts.check,
            "connect": statistics.timeouts.connect,
        },
        "cancellations": statistics.cancellations,
        "rejections": statistics.rejections.total(),
        "connects": statistics.connects,
        "failed_connects": statistics.failed_connects,
        "adopted": statistics.adopted,
        "closes": closes,
    })
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_pages_of_this_machine_are_local() {
        for origin in [
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:80",
        ] {
            assert!(is_local(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "null",
            "https://example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com:8080",
            "http://",
        ] {
            assert!(!is_local(origin.as_bytes()), "{origin}");
        }
    }
}
