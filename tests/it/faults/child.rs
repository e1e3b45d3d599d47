//! Child processes as connections, spoken to over stdin and stdout: by an asynchronous manager, and
//! by one that blocks.

use std::io::{self, BufRead, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, test_kill_process};
use smol::io::{AsyncBufReadExt, AsyncWriteExt};
use watertight::{Blocking, BlockingManager, Condition, Manager, Metrics};

/// Answers every line with that line.
const SERVER: &str = r#"while IFS= read -r line; do echo "$line"; done"#;

/// Every child that was ever made.
#[derive(Clone, Default)]
pub(super) struct Register(Arc<Mutex<Vec<Pid>>>);

impl Register {
    fn enter(&self, pid: u32) -> Pid {
        let pid = pid.try_into().ok().and_then(Pid::from_raw).unwrap();
        self.0.lock().unwrap().push(pid);
        pid
    }

    pub(super) fn all(&self) -> Vec<Pid> {
        self.0.lock().unwrap().clone()
    }

    /// A zombie is still there: only one that was reaped is not.
    pub(super) fn are_all_reaped(&self) -> bool {
        self.all()
            .into_iter()
            .all(|pid| test_kill_process(pid).is_err())
    }
}

/// What a child is asked, and what is known of it.
pub(super) trait Child: Send + 'static {
    fn pid(&self) -> Pid;
    fn set_dirty(&mut self);
    fn ask(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// A manager of children.
pub(super) trait Nursery: Manager<Connection: Child> {
    fn new(register: Register) -> Self;
}

fn wrong_answer(answer: &str) -> io::Result<()> {
    match answer {
        "ping\n" => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn condition(broken: bool, dirty: bool) -> Condition {
    match (broken, dirty) {
        (true, _) => Condition::Broken,
        (_, true) => Condition::Dirty,
        _ => Condition::Clean,
    }
}

pub(super) struct Asynchronous(Register);

pub(super) struct AsyncChild {
    pid: Pid,
    process: smol::process::Child,
    stdin: smol::process::ChildStdin,
    stdout: smol::io::BufReader<smol::process::ChildStdout>,
    broken: bool,
    dirty: bool,
}

impl Child for AsyncChild {
    fn pid(&self) -> Pid {
        self.pid
    }

    fn set_dirty(&mut self) {
        self.dirty = true;
    }

    async fn ask(&mut self) -> io::Result<()> {
        self.broken = true;
        self.stdin.write_all(b"ping\n").await?;
        self.stdin.flush().await?;
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).await?;
        wrong_answer(&answer)?;
        self.broken = false;
        Ok(())
    }
}

impl Nursery for Asynchronous {
    fn new(register: Register) -> Self {
        Asynchronous(register)
    }
}

impl Manager for Asynchronous {
    type Connection = AsyncChild;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<AsyncChild> {
        let mut process = smol::process::Command::new("sh")
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(AsyncChild {
            pid: self.0.enter(process.id()),
            stdin: process.stdin.take().unwrap(),
            stdout: smol::io::BufReader::new(process.stdout.take().unwrap()),
            process,
            broken: false,
            dirty: false,
        })
    }

    async fn check(&self, child: &mut AsyncChild, _: &Metrics) -> io::Result<()> {
        child.ask().await
    }

    fn inspect(&self, child: &mut AsyncChild) -> Condition {
        condition(child.broken, child.dirty)
    }

    async fn recycle(&self, child: &mut AsyncChild) -> io::Result<()> {
        child.dirty = false;
        child.ask().await
    }

    /// Asks it to go; the time-out kills it.
    async fn close(&self, child: AsyncChild) {
        let AsyncChild {
            mut process, stdin, ..
        } = child;
        drop(stdin);
        let _ = process.status().await;
    }
}

pub(super) struct Plodding(Register);

pub(super) struct BlockingChild {
    pid: Pid,
    process: std::process::Child,
    stdin: Option<std::process::ChildStdin>,
    stdout: io::BufReader<std::process::ChildStdout>,
    broken: bool,
    dirty: bool,
}

impl BlockingChild {
    fn ask(&mut self) -> io::Result<()> {
        self.broken = true;
        if let Some(stdin) = &mut self.stdin {
            writeln!(stdin, "ping")?;
        }
        let mut answer = String::new();
        self.stdout.read_line(&mut answer)?;
        wrong_answer(&answer)?;
        self.broken = false;
        Ok(())
    }
}

impl Drop for BlockingChild {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait();
    }
}

impl Child for watertight::BlockingConnection<BlockingChild> {
    fn pid(&self) -> Pid {
        self.pid
    }

    fn set_dirty(&mut self) {
        self.dirty = true;
    }

    async fn ask(&mut self) -> io::Result<()> {
        BlockingChild::ask(self)
    }
}

impl Nursery for Blocking<Plodding> {
    fn new(register: Register) -> Self {
        Blocking::new(Plodding(register))
    }
}

impl BlockingManager for Plodding {
    type Connection = BlockingChild;
    type Error = io::Error;

    fn connect(&self) -> io::Result<BlockingChild> {
        let mut process = std::process::Command::new("sh")
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(BlockingChild {
            pid: self.0.enter(process.id()),
            stdin: process.stdin.take(),
            stdout: io::BufReader::new(process.stdout.take().unwrap()),
            process,
            broken: false,
            dirty: false,
        })
    }

    fn check(&self, child: &mut BlockingChild, _: &Metrics) -> io::Result<()> {
        child.ask()
    }

    fn inspect(&self, child: &mut BlockingChild) -> Condition {
        condition(child.broken, child.dirty)
    }

    fn recycle(&self, child: &mut BlockingChild) -> io::Result<()> {
        child.dirty = false;
        child.ask()
    }
}
