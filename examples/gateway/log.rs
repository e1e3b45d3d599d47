//! What the gateway logs, to standard error.

use std::error::Error;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

/// The most entries that wait to be written. The longest have some 8 KiB.
const BACKLOG: usize = 2048;

/// How long the end may wait for them.
const LAST_WORDS: Duration = Duration::from_millis(1200);

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// A line for people
    Text,
    /// An object a line
    Json,
}

/// What is logged is written for as long as this is there.
pub(crate) struct Log(Option<WorkerGuard>);

/// To be called once, first of all.
///
/// A thread of its own does the writing: whoever reads standard error may stop to, and a pipe that is
/// full holds up whoever writes to it. It holds up nobody else; what is too much is lost.
pub(crate) fn init(
    format: Format,
    level: LevelFilter,
) -> Result<Log, Box<dyn Error + Send + Sync>> {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(BACKLOG)
        .lossy(true)
        .thread_name("log")
        .finish(io::stderr());
    let written = Log(Some(guard));
    let log = tracing_subscriber::fmt()
        .with_writer(writer)
        // It would complain to standard error, past the thread and with a macro that panics.
        .log_internal_errors(false)
        .with_max_level(level);
    match format {
        Format::Text => log.with_ansi(false).try_init(),
        Format::Json => {
            let log = log.json().flatten_event(true).with_span_list(false);
            log.try_init()
        }
    }?;
    Ok(written)
}

impl Drop for Log {
    /// Waits for what is still to be written, but not for a standard error that takes nothing. Nor for
    /// the guard itself, which says so on standard output, where that may well be the same pipe.
    fn drop(&mut self) {
        let (ended, end) = mpsc::channel::<()>();
        let guard = self.0.take();
        let waiting = thread::Builder::new().spawn(move || {
            drop(guard);
            drop(ended);
        });
        // Without a thread the guard is dropped right here.
        if waiting.is_ok() {
            let _ = end.recv_timeout(LAST_WORDS);
        }
    }
}
