//! One server for clients: requests in, replies out, and a pool of its processes between.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use watertight::PooledConnection;

use super::fault::Fault;
use super::head::{Head, SESSION};
use super::health::Health;
use super::process::Process;
use super::reply::{Failure, Reply};
use super::report::{statistics_json, status_json};
use super::revision::Revision;
use super::roster::Roster;
use super::rpc::{self, Answer, FromClient, Outcome};
use super::session::Session;
use super::sessions::Sessions;
use super::signal::Signal;
use super::source::Source;

/// The most bytes of all the answers to a batch; one by itself is limited as a line of its server's.
const ANSWERS_LIMIT: usize = 4 << 20;

/// What is known of the processes of a server, whatever pool they are in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Those that have not been reaped.
    pub(crate) roster: Roster,
    pub(crate) health: Health,
}

/// A pool of processes of one server, with a request's life around it.
pub(crate) struct Gateway<P: Process> {
    pub(super) source: Source<P>,
    pub(super) record: Record,
    pub(super) request_timeout: Duration,
    /// The most processes that there may be.
    pub(super) max: usize,
    pub(super) sessions: Sessions,
    /// Raised when no request can be waited for any more.
    pub(super) ending: Arc<Signal>,
}

impl<P: Process> Gateway<P> {
    /// `POST /mcp`: one message from a client, or several where the revision has that.
    pub(crate) async fn post(&self, head: &Head<'_>, body: &[u8]) -> Reply {
        self.respond(head, body).await.unwrap_or_else(|reply| reply)
    }

    async fn respond(&self, head: &Head<'_>, body: &[u8]) -> Result<Reply, Reply> {
        if !head.takes_json() {
            let message = "the answer would be application/json, which \"Accept\" excludes";
            return Err(Reply::error(406, None, rpc::INVALID_REQUEST, message));
        }
        let named = head.revision()?;
        if rpc::is_batch(body) {
            let agreed = self.session(head)?;
            let revision = named.or(agreed).unwrap_or(Revision::ASSUMED);
            return self.respond_to_all(revision, body).await;
        }
        let message = rpc::read_client(body).map_err(|rejected| Reply::rejected(&rejected))?;
        if let FromClient::Request { id, method, .. } = &message {
            if method == "initialize" {
                return self.initialize(id).await;
            }
        }
        self.session(head)?;
        match message {
            // Which process would it be for? Those that matter, the gateway sends itself. And it
            // never asks a client anything.
            FromClient::Notification | FromClient::Answer => Ok(Reply::empty(202)),
            FromClient::Request { id, method, params } => {
                let answered = self.forward(&method, params).await;
                let (_, outcome) = answered.map_err(|failure| failure.reply_to(id))?;
                Ok(Reply::json(200, &Answer::new(Some(id), &outcome)))
            }
        }
    }

    /// One after the other, so that a batch takes up one process, like anybody else, and no longer
    /// than a single request may. What there is no time or no room for is not asked any more.
    async fn respond_to_all(&self, revision: Revision, body: &[u8]) -> Result<Reply, Reply> {
        if !revision.has_batches() {
            let message = format!("revision {revision} has no batches");
            return Err(Reply::error(400, None, rpc::INVALID_REQUEST, &message));
        }
        let runtime = self.source.runtime();
        let end = runtime.now() + self.request_timeout;
        let too_large = rpc::failure(rpc::SERVER_ERROR, "the batch has too large an answer");
        let mut room = ANSWERS_LIMIT;
        let mut answers: Vec<Box<RawValue>> = Vec::new();
        for message in rpc::read_batch(body).map_err(|rejected| Reply::rejected(&rejected))? {
            let (id, outcome) = match message {
                Ok(FromClient::Notification | FromClient::Answer) => continue,
                Ok(FromClient::Request { id, method, .. }) if method == "initialize" => {
                    let message = "a batch cannot begin a session";
                    let outcome = rpc::failure(rpc::INVALID_REQUEST, message);
                    (Some(id.to_owned()), outcome)
                }
                Ok(FromClient::Request { id, .. }) if room == 0 => {
                    answers.push(rpc::raw(&Answer::new(Some(id), &too_large)));
                    continue;
                }
                Ok(FromClient::Request { id, method, params }) => {
                    let too_late = async {
                        runtime.sleep_until(end).await;
                        Err(Fault::Hung.into())
                    };
                    let answered = or(too_late, self.forward(&method, params)).await;
                    let outcome = answered.map_or_else(|failure| failure.outcome(), |(_, one)| one);
                    (Some(id.to_owned()), outcome)
                }
                Err(rejected) => (rejected.id, rpc::failure(rejected.code, &rejected.message)),
            };
            let mut answer = rpc::raw(&Answer::new(id.as_deref(), &outcome));
            match room.checked_sub(answer.get().len()) {
                Some(left) => room = left,
                None => {
                    room = 0;
                    answer = rpc::raw(&Answer::new(id.as_deref(), &too_large));
                }
            }
            answers.push(answer);
        }
        Ok(match answers.is_empty() {
            true => Reply::empty(202),
            false => Reply::json(200, &answers),
        })
    }

    /// The revision that was agreed on in the client's session, if it is in one. A reply if it
    /// believes to be in one that there is not.
    fn session(&self, head: &Head<'_>) -> Result<Option<Revision>, Reply> {
        let Some(token) = head.session() else {
            return Ok(None);
        };
        let known = self.sessions.find(token);
        known.ok_or_else(|| Reply::error(404, None, rpc::NO_SESSION, "there is no such session"))
    }

    /// `DELETE /mcp`: ends a session.
    pub(crate) fn end_session(&self, head: &Head<'_>) -> Reply {
        if let Err(reply) = head.revision() {
            return reply;
        }
        match head.session() {
            Some(token) if self.sessions.end(token) => Reply::empty(204),
            Some(_) => Reply::error(404, None, rpc::NO_SESSION, "there is no such session"),
            None => Reply::error(400, None, rpc::INVALID_REQUEST, "which session?"),
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

    /// The pool in numbers.
    pub(crate) fn status(&self) -> serde_json::Value {
        json!({
            "pool": self.source.name(),
            "status": status_json(self.source.status().as_ref(), self.max),
            "statistics": statistics_json(&self.source.statistics()),
            "children": self.record.roster.ids(),
        })
    }

    /// True if there is no process and the last attempt to start one failed.
    pub(crate) fn is_down(&self) -> bool {
        let now = self.source.runtime().now();
        let status = self.source.status();
        let live = status.map_or(0, |one| {
            one.idle + one.in_use + one.checking + one.recycling
        });
        live == 0 && self.record.health.is_failing(now)
    }

    /// The processes have been initialised, once each; a client is told what they said then.
    async fn initialize(&self, id: &RawValue) -> Result<Reply, Reply> {
        let greeted = self.greeting().await;
        let (greeting, revision) = greeted.map_err(|failure| failure.reply_to(id))?;
        let token = self.sessions.open(revision).map_err(|error| {
            let message = format!("cannot begin a session: {error}");
            Reply::error(500, Some(id), rpc::SERVER_ERROR, &message)
        })?;
        let outcome = Outcome::Result(greeting);
        Ok(Reply::json(200, &Answer::new(Some(id), &outcome)).with(SESSION, token))
    }

    async fn greeting(&self) -> Result<(Box<RawValue>, Option<Revision>), Failure> {
        let session = self.source.acquire().await?;
        let greeting = session.greeting().ok_or(Fault::Ended)?;
        Ok((greeting.to_owned(), session.revision()))
    }

    /// Has a process answer, and tells which. Dropping this half-way costs the process, for its
    /// session then stays marked, and nothing else.
    async fn forward(
        &self,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<(u32, Outcome), Failure> {
        let mut session = self.source.acquire().await?;
        match self.call(&mut session, method, params).await {
            Ok(outcome) => Ok((session.id(), outcome)),
            Err(fault) => {
                // `inspect` would find out, but why leave it to guess.
                PooledConnection::discard(session);
                Err(fault.into())
            }
        }
    }

    async fn call(
        &self,
        session: &mut Session<P>,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Outcome, Fault> {
        let runtime = self.source.runtime();
        let too_late = runtime.sleep_until(runtime.now() + self.request_timeout);
        let hung = async {
            too_late.await;
            Err(Fault::Hung)
        };
        let ending = async {
            self.ending.raised().await;
            Err(Fault::CutOff)
        };
        // The clock first: a server that never stops talking may use up what the task may do before
        // it has to make way for others, and tokio's clock stands still for one that has.
        or(or(hung, ending), session.call(method, params)).await
    }
}
