//! One conversation with one server: the connection that the pool keeps.

use std::io;
use std::time::Duration;

use futures_lite::future::{or, yield_now};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use watertight::Runtime;

use super::fault::Fault;
use super::leash::Leash;
use super::process::{Input, Output, Process};
use super::revision::Revision;
use super::rpc::{self, FromServer, Outcome};

/// The longest line that a server may print, in bytes: garbage without a line break must not fill
/// the memory.
const LINE_LIMIT: u64 = 4 << 20;

/// A server that has been initialised. It has at most one request to answer at a time.
pub(crate) struct Session<P: Process> {
    process: Leash<P>,
    last_id: u64,
    /// Set before the first byte of a request is sent, and cleared when its answer has been read.
    /// A future that is dropped in between, for whatever reason, leaves it set, and with it the
    /// server unfit: the next one would read the answer to somebody else's question.
    in_flight: bool,
    greeting: Option<Box<RawValue>>,
    revision: Option<Revision>,
}

/// What the gateway reads of what a server says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Greeting {
    protocol_version: Option<String>,
}

impl<P: Process> Session<P> {
    /// Takes the server through its initialisation.
    pub(crate) async fn open(process: Leash<P>) -> Result<Self, Fault> {
        let mut session = Session {
            process,
            last_id: 0,
            in_flight: false,
            greeting: None,
            revision: None,
        };
        let params = rpc::raw(&json!({
            "protocolVersion": Revision::NEWEST.to_string(),
            "capabilities": {},
            "clientInfo": { "name": "watertight-gateway", "version": env!("CARGO_PKG_VERSION") },
        }));
        match session.call("initialize", Some(&params)).await? {
            Outcome::Result(greeting) => {
                session.revision = read_revision(&greeting)?;
                session.greeting = Some(greeting);
            }
            Outcome::Error(error) => return Err(Fault::Refused(error.get().to_owned())),
        }
        session.notify("notifications/initialized").await?;
        Ok(session)
    }

    /// The server's process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What the server said of itself when it was initialised.
    pub(crate) fn greeting(&self) -> Option<&RawValue> {
        self.greeting.as_deref()
    }

    /// The revision of the protocol that it speaks; `None` if it did not say.
    pub(crate) fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// True if it can take a request. Never blocks.
    pub(crate) fn is_fit(&mut self) -> bool {
        !self.in_flight && !self.process.has_exited()
    }

    /// Sends a request and reads its answer. After a fault, or if this is dropped half-way, the
    /// session is not fit to be used again.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Outcome, Fault> {
        self.in_flight = true;
        self.last_id += 1;
        let request = rpc::request(self.last_id, method, params);
        let outcome = self.exchange(&request, self.last_id).await?;
        self.in_flight = false;
        Ok(outcome)
    }

    /// Asks for a sign of life, which leaves the session fit.
    pub(crate) async fn ping(&mut self) -> Result<(), Fault> {
        // Not every server knows `ping`; to say so is a sign of life as well.
        self.call("ping", None).await.map(drop)
    }

    async fn notify(&mut self, method: &str) -> Result<(), Fault> {
        self.in_flight = true;
        let (Some(stdin), _) = self.process.pipes() else {
            return Err(Fault::Ended);
        };
        stdin.write_line(&rpc::notification(method)).await?;
        self.in_flight = false;
        Ok(())
    }

    /// Writes and reads at the same time: a server that has filled its output with notifications
    /// reads no further until somebody takes them.
    async fn exchange(&mut self, request: &[u8], id: u64) -> Result<Outcome, Fault> {
        let (Some(stdin), stdout) = self.process.pipes() else {
            return Err(Fault::Ended);
        };
        let (replies, outbox) = async_channel::bounded::<Vec<u8>>(4);
        let mut all_sent = false;
        let write = async {
            match send_all(stdin, request, &outbox, &mut all_sent).await {
                Err(error) => Err(error.into()),
                // Cannot be: `replies` outlives this.
                Ok(()) => std::future::pending().await,
            }
        };
        let answer = or(write, read_answer(stdout, id, &replies)).await?;
        if !all_sent {
            // The rest of it would run into the next request.
            return Err(Fault::Unasked);
        }
        while let Ok(reply) = outbox.try_recv() {
            stdin.write_line(&reply).await?;
        }
        Ok(answer)
    }

    /// Says goodbye: closes the server's input, gives it `grace` to end by itself, and kills it.
    /// One that owes an answer had its time.
    pub(crate) async fn close(mut self, runtime: &dyn Runtime, grace: Duration) {
        if !self.in_flight {
            self.process.hang_up();
            let too_late = runtime.sleep_until(runtime.now() + grace);
            or(self.process.ended(), too_late).await;
        }
        self.process.kill();
        self.process.ended().await;
    }
}

fn read_revision(greeting: &RawValue) -> Result<Option<Revision>, Fault> {
    let Ok(greeting) = serde_json::from_str::<Greeting>(greeting.get()) else {
        return Ok(None);
    };
    let version = greeting.protocol_version;
    match version.map(|version| (Revision::parse(version.as_bytes()), version)) {
        Some((None, version)) => Err(Fault::Revision(version)),
        Some((revision, _)) => Ok(revision),
        None => Ok(None),
    }
}

/// Sends a request, and then replies for as long as there may be any. `done` is false while
/// something is half sent.
async fn send_all<W: Input>(
    stdin: &mut W,
    request: &[u8],
    replies: &async_channel::Receiver<Vec<u8>>,
    done: &mut bool,
) -> io::Result<()> {
    stdin.write_line(request).await?;
    *done = true;
    while let Ok(reply) = replies.recv().await {
        *done = false;
        stdin.write_line(&reply).await?;
        *done = true;
    }
    Ok(())
}

/// Reads until the answer comes. What the server asks meanwhile is answered through `replies`.
async fn read_answer<R: Output>(
    stdout: &mut R,
    asked: u64,
    replies: &async_channel::Sender<Vec<u8>>,
) -> Result<Outcome, Fault> {
    let mut line = Vec::new();
    loop {
        read_line(stdout, &mut line).await?;
        let said = match line.trim_ascii().is_empty() {
            true => FromServer::Notification,
            false => rpc::read_server(&line).ok_or_else(|| Fault::garbage(&line))?,
        };
        match said {
            FromServer::Answer { id, outcome } if id == Some(asked) => return Ok(outcome),
            FromServer::Answer { id: None, .. } => return Err(Fault::Anonymous),
            FromServer::Answer { .. } => return Err(Fault::Unasked),
            FromServer::Request { id, method } => {
                // Nobody else has the other end, so this only waits for room.
                let _ = replies.send(rpc::reply(id, &method)).await;
            }
            FromServer::Notification => {}
        }
        // There may be more of that than anybody can read: let the clock have its turn.
        yield_now().await;
    }
}

async fn read_line<R: Output>(stdout: &mut R, line: &mut Vec<u8>) -> Result<(), Fault> {
    line.clear();
    stdout.read_line(line, LINE_LIMIT).await?;
    if line.ends_with(b"\n") {
        return Ok(());
    }
    if line.len() as u64 >= LINE_LIMIT {
        return Err(Fault::EndlessLine);
    }
    Err(Fault::Ended)
}

#[cfg(test)]
mod tests;
