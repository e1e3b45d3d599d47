//! A child process that cannot end, or be forgotten, without the books noticing.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::ledger::{Ledger, Standing};
use crate::roster::Roster;

/// How long a process may take to end once its stdin is closed.
const POLITENESS: Duration = Duration::from_millis(250);

/// Where processes are started, counted and buried.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) roster: Arc<Roster>,
    /// Killed processes whose owner could not wait for them.
    bereaved: mpsc::UnboundedSender<Child>,
}

impl Registry {
    /// Makes a registry, and starts the task that reaps what nobody else can wait for. It ends
    /// with the last clone of the registry.
    pub(crate) fn open() -> Registry {
        let (bereaved, mut incoming) = mpsc::unbounded_channel::<Child>();
        let ledger = Arc::new(Ledger::default());
        let books = Arc::clone(&ledger);
        tokio::spawn(async move {
            while let Some(mut child) = incoming.recv().await {
                // Killed before it was sent here, so this does not take long.
                let _ = child.wait().await;
                books.reaped();
            }
        });
        Registry {
            ledger,
            roster: Arc::default(),
            bereaved,
        }
    }

    /// Starts `program` as an echo server.
    pub(crate) fn start(&self, program: &Path) -> io::Result<(Process, ChildStdin, ChildStdout)> {
        let mut command = Command::new(program);
        command
            .arg("--echo-server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        // Out of reach of the terminal's Ctrl-C: it is for the parent to end them.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let pid = child.id().unwrap_or_default();
        self.ledger.started();
        let process = Process {
            pid,
            child: Some(child),
            standing: Standing::HalfMade,
            killed: self.roster.enlist(pid),
            registry: self.clone(),
        };
        match (stdin, stdout) {
            (Some(stdin), Some(stdout)) => Ok((process, stdin, stdout)),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// A process that has been started. Dropping it kills it; either way it is counted.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    /// `None` once it has been reaped.
    child: Option<Child>,
    standing: Standing,
    killed: Arc<AtomicBool>,
    registry: Registry,
}

impl Process {
    /// From now on it is a connection of the pool's.
    pub(crate) fn join_pool(&mut self) {
        self.standing = Standing::Pooled;
        self.registry.ledger.connected();
    }

    /// From now on it is not.
    pub(crate) fn leave_pool(&mut self) {
        self.standing = Standing::Detached;
        self.registry.ledger.detached();
    }

    /// Was it killed by one of the injected faults?
    pub(crate) fn was_killed(&self) -> bool {
        self.killed.load(SeqCst)
    }

    /// Waits for it to end by itself, then sees to it that it does.
    pub(crate) async fn end(mut self) {
        self.registry.roster.strike(self.pid);
        let Some(child) = &mut self.child else {
            return;
        };
        // Should this future be dropped half-way, the destructor takes over.
        let over = match timeout(POLITENESS, child.wait()).await {
            Ok(status) => status.is_ok(),
            Err(_) => child.kill().await.is_ok(),
        };
        if over {
            self.child = None;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.registry.roster.strike(self.pid);
        let child = self.child.take();
        self.registry.ledger.ended(self.standing, child.is_none());
        if let Some(mut child) = child {
            let _ = child.start_kill();
            // Nobody reaps any more once the load generator is on its way out; tokio does then.
            let _ = self.registry.bereaved.send(child);
        }
    }
}
