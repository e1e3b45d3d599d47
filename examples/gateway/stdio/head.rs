//! What the headers of a request say about the protocol.

use super::reply::Reply;
use super::revision::Revision;
use super::rpc;

pub(crate) const SESSION: &str = "mcp-session-id";
const REVISION: &str = "mcp-protocol-version";

/// The headers that matter, every one as often as it came.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    accept: Vec<&'a [u8]>,
    revision: Vec<&'a [u8]>,
    session: Vec<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// Reads them by their names.
    pub(crate) fn read(get: impl Fn(&'static str) -> Vec<&'a [u8]>) -> Self {
        Head {
            accept: get("accept"),
            revision: get(REVISION),
            session: get(SESSION),
        }
    }

    /// True unless the client says that it does not take JSON. The protocol wants it to name event
    /// streams as well, but it is never sent one.
    pub(crate) fn takes_json(&self) -> bool {
        let mut kinds = self
            .accept
            .iter()
            .flat_map(|line| line.split(|&b| b == b','));
        self.accept.is_empty() || kinds.any(includes_json)
    }

    /// The revision that the client speaks; `None` if it does not say. A reply if it is none that
    /// the gateway knows.
    pub(crate) fn revision(&self) -> Result<Option<Revision>, Reply> {
        let Some(first) = self.revision.first() else {
            return Ok(None);
        };
        let revision = Revision::parse(first.trim_ascii());
        match revision.filter(|_| self.revision.len() == 1) {
            Some(revision) => Ok(Some(revision)),
            None => {
                let known = Revision::SUPPORTED.map(|revision| revision.to_string());
                let message = format!("MCP-Protocol-Version must be one of {}", known.join(", "));
                Err(Reply::error(400, None, rpc::INVALID_REQUEST, &message))
            }
        }
    }

    /// The token of its session; `None` if it does not name one.
    pub(crate) fn session(&self) -> Option<&str> {
        let token = self.session.first()?;
        // What is not ASCII, or not one, is no token that was ever given.
        let token = std::str::from_utf8(token).unwrap_or_default();
        Some(if self.session.len() == 1 { token } else { "" })
    }
}

/// A media range, perhaps with parameters.
fn includes_json(range: &[u8]) -> bool {
    let mut parts = range.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let refused = parts.any(|part| {
        let weight = part.strip_prefix(b"q=").or(part.strip_prefix(b"Q="));
        weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
    });
    matches!(&kind[..], b"*/*" | b"application/*" | b"application/json") && !refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, values: &[&'static str]) -> Head<'static> {
        Head::read(|asked| match asked == name {
            true => values.iter().map(|value| value.as_bytes()).collect(),
            false => Vec::new(),
        })
    }

    #[test]
    fn a_client_takes_json_unless_it_says_otherwise() {
        for lines in [
            &[][..],
            &["*/*"],
            &["application/json, text/event-stream"],
            &["text/event-stream", "application/json;q=0.5"],
            &["Application/*; charset=utf-8"],
        ] {
            assert!(head("accept", lines).takes_json(), "{lines:?}");
        }
        for lines in [
            &["text/event-stream"][..],
            &[""],
            &["text/html", "application/jsonx"],
            &["application/json;q=0"],
            &["*/*; q=0.0"],
        ] {
            assert!(!head("accept", lines).takes_json(), "{lines:?}");
        }
    }

    #[test]
    fn a_revision_is_one_that_is_known() {
        assert!(matches!(head(REVISION, &[]).revision(), Ok(None)));
        let known = head(REVISION, &[" 2025-06-18"]).revision();
        assert!(matches!(known, Ok(Some(Revision::NEWEST))));
        for lines in [&["2031-01-01"][..], &[""], &["2025-06-18", "2025-06-18"]] {
            let reply = head(REVISION, lines).revision().err();
            assert_eq!(reply.map(|reply| reply.status), Some(400), "{lines:?}");
        }
    }

    #[test]
    fn a_session_is_named_once() {
        assert_eq!(head(SESSION, &[]).session(), None);
        assert_eq!(head(SESSION, &["abc"]).session(), Some("abc"));
        assert_eq!(head(SESSION, &["abc", "abc"]).session(), Some(""));
    }
}
