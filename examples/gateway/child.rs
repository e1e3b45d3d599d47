//! A server as a child process of tokio's.

use std::io;
use std::process::Command;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

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

    fn spawn(command: Command) -> io::Result<Self> {
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the child has no pipes");
        Ok(Server {
            id: child.id().ok_or_else(missing)?,
            stdin: Some(Stdin(child.stdin.take().ok_or_else(missing)?)),
            stdout: Stdout(BufReader::new(child.stdout.take().ok_or_else(missing)?)),
            child,
        })
    }

    fn id(&self) -> u32 {
        self.id
    }

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
