//! A server as a child process of tokio's.

use std::io;
use std::process::{Command, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

#[cfg(unix)]
use crate::stdio::process::kill_orphans;
use crate::stdio::process::{Input, Output, Process, kill_group};

/// A child process, which does not outlive this.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    id: u32,
    stdin: Option<Stdin>,
    stdout: Stdout,
}

#[derive(Debug)]
pub(crate) struct Stdin(ChildStdin);

#[derive(Debug)]
pub(crate) struct Stdout(BufReader<ChildStdout>);

impl Process for Server {
    type Stdin = Stdin;
    type Stdout = Stdout;

    fn spawn(command: Command, name: &str) -> io::Result<Self> {
        let mut child = tokio::process::Command::from(command)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the child has no pipes");
        let id = child.id().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        tokio::spawn(log(stderr, name.to_owned(), id));
        Ok(Server {
            id,
            stdin: Some(Stdin(child.stdin.take().ok_or_else(missing)?)),
            stdout: Stdout(BufReader::new(child.stdout.take().ok_or_else(missing)?)),
            child,
        })
    }

    fn id(&self) -> u32 {
        self.id
    }

    #[cfg(unix)]
    fn has_exited(&mut self) -> bool {
        // It has no id once it has been reaped.
        if self.child.id().is_none() {
            return true;
        }
        let ended = kill_orphans(self.id);
        if ended {
            let _ = self.child.try_wait();
        }
        ended
    }

    #[cfg(not(unix))]
    fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn pipes(&mut self) -> (Option<&mut Stdin>, &mut Stdout) {
        (self.stdin.as_mut(), &mut self.stdout)
    }

    fn hang_up(&mut self) {
        self.stdin = None;
    }

    async fn ended(&mut self) {
        // First listen, then look, so that no end goes unnoticed.
        #[cfg(unix)]
        if let Ok(mut ends) = signal(SignalKind::child()) {
            while !self.has_exited() {
                ends.recv().await;
            }
        }
        // An error would mean that there is no such child, so that it has ended.
        let _ = self.child.wait().await;
    }

    fn kill(&mut self) {
        // Once it has been reaped, the id may be somebody else's.
        if self.child.id().is_some() {
            kill_group(self.id);
            let _ = self.child.start_kill();
        }
    }
}

/// The longest piece of what a server says that becomes one entry in the log, in bytes.
const ENTRY_LIMIT: u64 = 8 << 10;

/// Logs what a server says on its standard error, until nobody has that open any more.
async fn log(stderr: ChildStderr, server: String, pid: u32) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut piece = (&mut stderr).take(ENTRY_LIMIT);
        match piece.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(line.trim_ascii_end());
                info!(target: "server", server, pid, "{text}");
            }
        }
    }
}

impl Drop for Server {
    /// For the rest of the group; `kill_on_drop` sees to it that the child itself is reaped.
    fn drop(&mut self) {
        self.kill();
    }
}

impl Input for Stdin {
    async fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line).await
    }
}

impl Output for Stdout {
    async fn read_line(&mut self, line: &mut Vec<u8>, limit: u64) -> io::Result<()> {
        (&mut self.0).take(limit).read_until(b'\n', line).await?;
        Ok(())
    }
}
