//! What can be wrong with a server.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a server did not start or did not answer. Any of these costs the process.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It could not be started. Its arguments are not told: there may be secrets among them.
    Spawn { program: String, source: io::Error },
    /// It closed its input or output, most likely because it ended.
    Ended,
    /// The pipe to or from it failed in some other way.
    Pipe(io::Error),
    /// It printed something that is not a message; this is the beginning of it.
    Garbage(String),
    /// It printed a line that never ends.
    EndlessLine,
    /// It answered what it was not asked.
    Unasked,
    /// It answered with an error that does not say what it is about. That may be what somebody else
    /// has asked, so the error is nobody's to read.
    Anonymous,
    /// It would not be initialised; this is its error.
    Refused(String),
    /// It speaks a revision of the protocol that the gateway does not know.
    Revision(String),
    /// It did not answer in time.
    Hung,
    /// It did not answer before the gateway had to end.
    CutOff,
}

impl Fault {
    pub(crate) fn garbage(line: &[u8]) -> Self {
        const EXCERPT: usize = 60;
        let text = String::from_utf8_lossy(line);
        Fault::Garbage(text.trim_end().chars().take(EXCERPT).collect())
    }

    /// True if the next attempt to start the server would fail in the same way.
    pub(crate) fn is_permanent(&self) -> bool {
        use io::ErrorKind::{NotFound, PermissionDenied};
        match self {
            Fault::Spawn { source, .. } => matches!(source.kind(), NotFound | PermissionDenied),
            Fault::Revision(_) => true,
            _ => false,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Fault::Ended,
            _ => Fault::Pipe(error),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Spawn { program, .. } => write!(f, "could not start {program:?}"),
            Fault::Ended => f.write_str("the server ended before it answered"),
            Fault::Pipe(_) => f.write_str("the pipe to the server failed"),
            Fault::Garbage(line) => {
                write!(
                    f,
                    "the server printed what is no JSON-RPC message: {line:?}"
                )
            }
            Fault::EndlessLine => f.write_str("the server printed a line that is too long"),
            Fault::Unasked => f.write_str("the server answered what it was not asked"),
            Fault::Anonymous => {
                f.write_str("the server answered with an error that does not say to what")
            }
            Fault::Refused(error) => write!(f, "the server refused to be initialised: {error}"),
            Fault::Revision(revision) => {
                write!(f, "the server wants to speak the protocol of {revision:?}")
            }
            Fault::Hung => f.write_str("the server did not answer in time"),
            Fault::CutOff => f.write_str("the gateway is ending"),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Fault::Spawn { source, .. } | Fault::Pipe(source) => Some(source),
            _ => None,
        }
    }
}
