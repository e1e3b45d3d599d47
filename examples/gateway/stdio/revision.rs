//! The revisions of the Model Context Protocol.

use std::fmt;

/// A revision that the gateway can follow. What it forwards it does not look into, so they only
/// differ in what is said about HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revision(&'static str);

impl Revision {
    /// All of them. (Of 2024-11-05, servers that know no other are followed; its transport over HTTP,
    /// which was another, is not.)
    pub(crate) const SUPPORTED: [Revision; 3] = [
        Revision("2025-06-18"),
        Revision("2025-03-26"),
        Revision("2024-11-05"),
    ];

    /// What the gateway offers the servers.
    pub(crate) const NEWEST: Revision = Self::SUPPORTED[0];

    /// What a client speaks that does not say.
    pub(crate) const ASSUMED: Revision = Self::SUPPORTED[1];

    pub(crate) fn parse(text: &[u8]) -> Option<Revision> {
        let mut supported = Self::SUPPORTED.into_iter();
        supported.find(|revision| revision.0.as_bytes() == text)
    }

    /// True if several messages may come in one request.
    pub(crate) fn has_batches(self) -> bool {
        self == Self::ASSUMED
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
