//! What goes back to a client over HTTP, whichever library sends it.

use std::error::Error;
use std::fmt::Write;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use watertight::AcquireError;

use super::fault::Fault;
use super::rpc::{self, Answer, Outcome, Rejected};

/// The largest body that is read, in bytes.
pub(crate) const BODY_LIMIT: usize = 1 << 20;

/// A status, headers, and a body, which is JSON unless it is empty.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Those that are not about the body.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        let mut body = serde_json::to_vec(body)
            .unwrap_or_else(|error| unreachable!("text under string keys is JSON: {error}"));
        body.push(b'\n');
        Reply {
            status,
            headers: Vec::new(),
            body,
        }
    }

    /// The status says it all.
    pub(crate) fn empty(status: u16) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The body is over [`BODY_LIMIT`].
    pub(crate) fn too_large() -> Self {
        let message = format!("a request may have {BODY_LIMIT} bytes");
        Reply::error(413, None, rpc::INVALID_REQUEST, &message)
    }

    /// The body did not arrive whole.
    pub(crate) fn cut_short() -> Self {
        Reply::error(400, None, rpc::PARSE_ERROR, "the request was cut short")
    }

    /// The body did not arrive in time.
    pub(crate) fn too_slow() -> Self {
        Reply::error(408, None, rpc::INVALID_REQUEST, "the request took too long")
    }

    /// A page from elsewhere wants to use the servers of whoever looks at it.
    pub(crate) fn foreign(whom: &str) -> Self {
        let message = format!("requests from {whom} are not served");
        Reply::error(403, None, rpc::INVALID_REQUEST, &message)
    }

    /// There is no server of that name.
    pub(crate) fn unknown(name: &str) -> Self {
        let message = match name {
            "" => "the servers have names: /mcp/NAME".to_owned(),
            name => format!("there is no server {name:?}"),
        };
        Reply::error(404, None, rpc::INVALID_REQUEST, &message)
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub(crate) fn rejected(rejected: &Rejected) -> Self {
        let id = rejected.id.as_deref();
        Reply::error(400, id, rejected.code, &rejected.message)
    }

    pub(crate) fn error(status: u16, id: Option<&RawValue>, code: i32, message: &str) -> Self {
        Reply::json(status, &Answer::new(id, &rpc::failure(code, message)))
    }
}

/// Why a request got no answer from a server.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u16,
    retry_after: Option<u32>,
    reason: String,
}

impl Failure {
    /// As the answer to a JSON-RPC request.
    pub(crate) fn reply_to(&self, id: &RawValue) -> Reply {
        self.dated(Reply::json(
            self.status,
            &Answer::new(Some(id), &self.outcome()),
        ))
    }

    /// As plain JSON.
    pub(crate) fn reply(&self) -> Reply {
        self.dated(Reply::json(self.status, &json!({ "error": self.reason })))
    }

    pub(crate) fn outcome(&self) -> Outcome {
        rpc::failure(rpc::SERVER_ERROR, &self.reason)
    }

    fn dated(&self, reply: Reply) -> Reply {
        match self.retry_after {
            Some(seconds) => reply.with("retry-after", seconds.to_string()),
            None => reply,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let (status, retry_after) = match fault {
            Fault::Hung => (504, None),
            Fault::CutOff => (503, Some(1)),
            _ => (502, None),
        };
        Failure {
            status,
            retry_after,
            reason: chain(&fault),
        }
    }
}

impl From<AcquireError<Fault>> for Failure {
    /// Servers that cannot be started are an upstream's fault; servers that are busy, or on their
    /// way out, are worth another try.
    fn from(error: AcquireError<Fault>) -> Self {
        let (status, retry_after) = match error.connect_error() {
            Some(_) => (502, None),
            None => (503, Some(1)),
        };
        Failure {
            status,
            retry_after,
            reason: chain(&error),
        }
    }
}

/// An error and what is behind it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a string does not fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
