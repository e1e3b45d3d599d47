//! A server as a child process of smol's.

use std::io;

use async_signal::{Signal, Signals};
use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use futures_lite::stream::StreamExt;
use smol::process::{Child, ChildStdin, ChildStdout};

#[cfg(unix)]
use crate::stdio::process::kill_orphans;
use crate::stdio::process::{Input, Output, Process, kill_group};

/// A child process, which does not outlive this.
pub(crate) struct Server {
    child: Child,
    id: u32,
    reaped: bool,
    stdin: Option<Stdin>,
    stdout: Stdout,
}

pub(crate) struct Stdin(ChildStdin);

pub(crate) struct Stdout(BufReader<ChildStdout>);

impl Process for Server {
    type Stdin = Stdin;
    type Stdout = Stdout;

    fn spawn(command: std::process::Command, _name: &str) -> io::Result<Self> {
        use smol::process::{Command, Stdio};

        // smol's command does not see what was set on the one that it is made from.
        let mut child = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the child has no pipes");
        Ok(Server {
            id: child.id(),
            reaped: false,
            stdin: Some(Stdin(child.stdin.take().ok_or_else(missing)?)),
            stdout: Stdout(BufReader::new(child.stdout.take().ok_or_else(missing)?)),
            child,
        })
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn has_exited(&mut self) -> bool {
        if self.reaped {
            return true;
        }
        #[cfg(unix)]
        if !kill_orphans(self.id) {
            return false;
        }
        self.reaped = !matches!(self.child.try_status(), Ok(None));
        self.reaped
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
        if let Ok(mut ends) = Signals::new([Signal::Child]) {
            while !self.has_exited() {
                ends.next().await;
            }
        }
        // An error would mean that there is no such child, so that it has ended.
        let _ = self.child.status().await;
    }

    fn kill(&mut self) {
        // Once it has been reaped, the id may be somebody else's.
        if !self.has_exited() {
            kill_group(self.id);
            let _ = self.child.kill();
        }
    }
}

impl Drop for Server {
    /// For the rest of the group; smol sees to it that the child itself is reaped.
    fn drop(&mut self) {
        self.kill();
    }
}

impl Input for Stdin {
    async fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line).await?;
        self.0.flush().await
    }
}

impl Output for Stdout {
    async fn read_line(&mut self, line: &mut Vec<u8>, limit: u64) -> io::Result<()> {
        (&mut self.0).take(limit).read_until(b'\n', line).await?;
        Ok(())
    }
}
