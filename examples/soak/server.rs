//! What is pooled: a conversation with an echo server; and its manager.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{sleep, sleep_until};
use watertight::{Condition, Manager, Metrics};

use crate::process::{Process, Registry};
use crate::weather::Weather;

/// What a panic that was made on purpose carries.
#[derive(Debug)]
pub(crate) struct OnPurpose;

/// Panics without calling the panic hook, which would fill the terminal.
pub(crate) fn panic_on_purpose() -> ! {
    resume_unwind(Box::new(OnPurpose))
}

/// What recycling is to do, as its last holder wished.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AfterCare {
    /// Take this long.
    Slow(Duration),
    /// Fail.
    Fail,
    /// Panic.
    Panic,
}

/// A connection: a process and how far the conversation with it has got.
#[derive(Debug)]
pub(crate) struct Server {
    // Before the process: a server whose stdin is closed ends by itself.
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    line: String,
    /// True from before a request is sent until the whole answer is there. A request that is
    /// dropped half-way leaves it true.
    mid_request: bool,
    after_care: Option<AfterCare>,
    process: Process,
}

impl Server {
    /// Sends `text` and waits for it to come back.
    pub(crate) async fn request(&mut self, text: &str, work: Duration) -> Result<(), Failure> {
        self.mid_request = true;
        let request = format!("{} {text}\n", work.as_micros());
        self.stdin.write_all(request.as_bytes()).await?;
        self.stdin.flush().await?;
        self.line.clear();
        self.stdout.read_line(&mut self.line).await?;
        if self.line == request {
            self.mid_request = false;
            return Ok(());
        }
        match self.line.ends_with('\n') {
            true => Err(Failure::Crossed),
            false => Err(Failure::Ended),
        }
    }

    /// Makes it dirty: it will need recycling.
    pub(crate) fn soil(&mut self, care: AfterCare) {
        self.after_care = Some(care);
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.process.was_killed()
    }

    /// To be called just before it is detached.
    pub(crate) fn leave_pool(&mut self) {
        self.process.leave_pool();
    }

    /// Closes its stdin and waits until it is gone.
    pub(crate) async fn end(self) {
        let Server { stdin, process, .. } = self;
        drop(stdin);
        process.end().await;
    }
}

/// Makes echo servers, in whatever weather.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) program: PathBuf,
    pub(crate) registry: Registry,
    pub(crate) weather: Arc<Weather>,
}

impl Manager for Servers {
    type Connection = Server;
    type Error = Failure;

    async fn connect(&self) -> Result<Server, Failure> {
        if self.weather.refuses() {
            return Err(Failure::Refused);
        }
        let (process, stdin, stdout) = self.registry.start(&self.program)?;
        let mut server = Server {
            stdin,
            stdout: BufReader::new(stdout),
            line: String::new(),
            mid_request: false,
            after_care: None,
            process,
        };
        // With the process already there, so that a time-out leaves one half made.
        if let Some(end) = self.weather.hangs_until() {
            sleep_until(end).await;
        }
        server.request("hello", Duration::ZERO).await?;
        server.process.join_pool();
        Ok(server)
    }

    async fn check(&self, server: &mut Server, _metrics: &Metrics) -> Result<(), Failure> {
        server.request("still there?", Duration::ZERO).await
    }

    fn inspect(&self, server: &mut Server) -> Condition {
        if server.mid_request {
            Condition::Broken
        } else if server.after_care.is_some() {
            Condition::Dirty
        } else {
            Condition::Clean
        }
    }

    async fn recycle(&self, server: &mut Server) -> Result<(), Failure> {
        match server.after_care.take() {
            Some(AfterCare::Slow(length)) => sleep(length).await,
            Some(AfterCare::Fail) => return Err(Failure::Soiled),
            Some(AfterCare::Panic) => panic_on_purpose(),
            None => {}
        }
        server.request("reset", Duration::ZERO).await
    }

    async fn close(&self, server: Server) {
        self.registry.ledger.close_called();
        server.end().await;
    }
}

/// Why a server could not be reached, or did not answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// By the weather.
    Refused,
    /// The process has ended.
    Ended,
    /// The answer was somebody else's.
    Crossed,
    /// It could not be cleaned, as its last holder wished.
    Soiled,
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Refused => "the connection was refused",
            Failure::Ended => "the process has ended",
            Failure::Crossed => "the answer belongs to another request",
            Failure::Soiled => "the session cannot be reset",
            Failure::Io(_) => "the pipe to the process failed",
        })
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Io(error) => Some(error),
            _ => None,
        }
    }
}
