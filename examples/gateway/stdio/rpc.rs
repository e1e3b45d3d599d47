//! JSON-RPC 2.0 messages, as text in and text out. No I/O, so every odd case is a unit test.
//!
//! Whatever only passes through (ids, parameters, results) is kept as the text that it came as:
//! a gateway that parsed numbers would change the large ones.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

/// Not JSON.
pub(crate) const PARSE_ERROR: i32 = -32700;
/// JSON, but not a request.
pub(crate) const INVALID_REQUEST: i32 = -32600;
/// A request for something that nobody here does.
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
/// The gateway could not get an answer; the first of the codes that are left to implementations.
pub(crate) const SERVER_ERROR: i32 = -32000;
/// The session is not, or no longer, known.
pub(crate) const NO_SESSION: i32 = -32001;

/// What a client of the gateway sent.
#[derive(Debug)]
pub(crate) enum FromClient<'a> {
    /// It expects an answer with this id.
    Request {
        id: &'a RawValue,
        method: Cow<'a, str>,
        params: Option<&'a RawValue>,
    },
    /// It expects none.
    Notification,
    /// It is one itself, although nobody has asked.
    Answer,
}

/// Why a client's message goes no further.
#[derive(Debug)]
pub(crate) struct Rejected {
    /// The id, if there was a usable one.
    pub(crate) id: Option<Box<RawValue>>,
    pub(crate) code: i32,
    pub(crate) message: String,
}

/// What a server printed.
#[derive(Debug)]
pub(crate) enum FromServer<'a> {
    /// An answer; without an id if it is an error and the server could not even read that of what
    /// it is about.
    Answer { id: Option<u64>, outcome: Outcome },
    /// It wants something from its client, that is from us.
    Request {
        id: &'a RawValue,
        method: Cow<'a, str>,
    },
    /// Progress, a log message and the like.
    Notification,
}

/// The part of an answer that concerns whoever asked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Result(Box<RawValue>),
    Error(Box<RawValue>),
}

/// Any message at all: which kind it is depends on the members that are there.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

impl Envelope<'_> {
    fn is_answer(&self) -> bool {
        self.jsonrpc.as_deref() == Some("2.0")
            && self.method.is_none()
            && self.id.is_some_and(is_id)
            && self.result.is_some() != self.error.is_some()
    }
}

/// Tells `"id": null` from no id at all, which an `Option` by itself does not.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads what a client sent.
pub(crate) fn read_client(body: &[u8]) -> Result<FromClient<'_>, Rejected> {
    // The syntax first, for the whole of it: the envelope stops at the first thing it dislikes.
    serde_json::from_slice::<&RawValue>(body)
        .map_err(|error| rejected(PARSE_ERROR, format!("parse error: {error}")))?;
    read_message(body)
}

/// True if it is an array, or wants to be one.
pub(crate) fn is_batch(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"[")
}

/// The most messages that may come in one array.
const MOST_MESSAGES: usize = 100;

/// Reads what a client sent in one array. What is wrong with one message is no matter of the others.
pub(crate) fn read_batch(body: &[u8]) -> Result<Vec<Result<FromClient<'_>, Rejected>>, Rejected> {
    let messages = serde_json::from_slice::<Vec<&RawValue>>(body)
        .map_err(|error| rejected(PARSE_ERROR, format!("parse error: {error}")))?;
    if messages.is_empty() {
        let message = "invalid request: there is nothing in it";
        return Err(rejected(INVALID_REQUEST, message.to_owned()));
    }
    if messages.len() > MOST_MESSAGES {
        let message = format!("invalid request: a batch may have {MOST_MESSAGES} messages");
        return Err(rejected(INVALID_REQUEST, message));
    }
    let messages = messages.into_iter();
    Ok(messages
        .map(|message| read_message(message.get().as_bytes()))
        .collect())
}

fn read_message(text: &[u8]) -> Result<FromClient<'_>, Rejected> {
    let envelope = read_envelope(text)
        .map_err(|flaw| rejected(INVALID_REQUEST, format!("invalid request: {flaw}")))?;
    if envelope.is_answer() {
        return Ok(FromClient::Answer);
    }
    let fit_to_echo = envelope.id.filter(|id| is_id(id));
    check_request(&envelope).map_err(|flaw| Rejected {
        id: fit_to_echo.map(ToOwned::to_owned),
        ..rejected(INVALID_REQUEST, format!("invalid request: {flaw}"))
    })?;
    Ok(match (envelope.id, envelope.method) {
        (Some(id), Some(method)) => FromClient::Request {
            id,
            method,
            params: envelope.params,
        },
        _ => FromClient::Notification,
    })
}

fn read_envelope(text: &[u8]) -> Result<Envelope<'_>, String> {
    // To serde, an array of the right length would do as well.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err("not an object".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn rejected(code: i32, message: String) -> Rejected {
    Rejected {
        id: None,
        code,
        message,
    }
}

fn check_request(envelope: &Envelope<'_>) -> Result<(), &'static str> {
    if envelope.jsonrpc.as_deref() != Some("2.0") {
        return Err("\"jsonrpc\" must be \"2.0\"");
    }
    if envelope.method.is_none() {
        return Err("there is no \"method\"");
    }
    if envelope.id.is_some_and(|id| !is_id(id)) {
        return Err("\"id\" must be a string or a number");
    }
    if envelope.params.is_some_and(|params| !is_structured(params)) {
        return Err("\"params\" must be an object or an array");
    }
    Ok(())
}

/// A string or a number. The Model Context Protocol rules out null.
fn is_id(value: &RawValue) -> bool {
    value
        .get()
        .starts_with(|first: char| matches!(first, '"' | '-') || first.is_ascii_digit())
}

fn is_structured(value: &RawValue) -> bool {
    value.get().starts_with(['{', '['])
}

/// Reads one line that a server printed; `None` if it is not a message.
pub(crate) fn read_server(line: &[u8]) -> Option<FromServer<'_>> {
    let envelope = read_envelope(line).ok()?;
    envelope.jsonrpc.filter(|version| version == "2.0")?;
    // Some servers put a null where there is no error.
    let error = envelope.error.filter(|error| error.get() != "null");
    let outcome = match (envelope.result, error) {
        (Some(result), None) => Outcome::Result(result.to_owned()),
        (None, Some(error)) => Outcome::Error(error.to_owned()),
        (Some(_), Some(_)) => return None,
        (None, None) => {
            return envelope.method.map(|method| match envelope.id {
                Some(id) => FromServer::Request { id, method },
                None => FromServer::Notification,
            });
        }
    };
    let id = match (envelope.id?.get(), &outcome) {
        ("null", Outcome::Error(_)) => None,
        (number, _) => Some(number.parse().ok()?),
    };
    Some(FromServer::Answer { id, outcome })
}

/// A request to a server, as the line to send.
pub(crate) fn request(id: u64, method: &str, params: Option<&RawValue>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Request<'a> {
        jsonrpc: &'static str,
        id: u64,
        method: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        params: Option<&'a RawValue>,
    }
    line(&Request {
        jsonrpc: "2.0",
        id,
        method,
        params,
    })
}

/// A notification to a server, as the line to send.
pub(crate) fn notification(method: &str) -> Vec<u8> {
    line(&json!({ "jsonrpc": "2.0", "method": method }))
}

/// What the gateway answers when a server asks something of it, as the line to send.
pub(crate) fn reply(id: &RawValue, method: &str) -> Vec<u8> {
    let outcome = match method {
        "ping" => Outcome::Result(raw(&json!({}))),
        _ => failure(METHOD_NOT_FOUND, &format!("this client has no {method:?}")),
    };
    line(&Answer::new(Some(id), &outcome))
}

/// An error that is the gateway's own.
pub(crate) fn failure(code: i32, message: &str) -> Outcome {
    Outcome::Error(raw(&json!({ "code": code, "message": message })))
}

/// An answer, ready to be written.
#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

impl<'a> Answer<'a> {
    /// Puts `outcome` under the id that the one who asked has chosen.
    pub(crate) fn new(id: Option<&'a RawValue>, outcome: &'a Outcome) -> Self {
        Answer {
            jsonrpc: "2.0",
            id,
            outcome,
        }
    }
}

/// Keeps `value` as text.
pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|error| unreachable!("a value is JSON: {error}"))
}

/// One message, one line. A client may have pretty-printed its parameters; in JSON a line break
/// can only be white space (in a string it is escaped), so a blank means the same. What else ends a
/// line to Unicode, and to the `readline` of Node and of others, can only be in a string, where it
/// may be escaped.
fn line(message: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(message)
        .unwrap_or_else(|error| unreachable!("text under string keys is JSON: {error}"));
    let mut line = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        match character {
            '\n' | '\r' => line.push(' '),
            '\u{85}' => line.push_str("\\u0085"),
            '\u{2028}' => line.push_str("\\u2028"),
            '\u{2029}' => line.push_str("\\u2029"),
            _ => line.push(character),
        }
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests;
