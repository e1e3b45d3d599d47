//! What the gateway asks of a child process, and the command that starts one.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io;
use std::process::{Command, Stdio};

/// A running server: the part that differs between runtimes.
///
/// Dropping it must kill the server and see that it is reaped: whatever else goes wrong, that is
/// what leaves no child behind.
pub(crate) trait Process: Send + Sized + 'static {
    type Stdin: Input;
    type Stdout: Output;

    /// Starts a server, with its standard input and output as pipes.
    fn spawn(command: Command) -> io::Result<Self>;

    /// Its process id.
    fn id(&self) -> u32;

    /// True if it has ended. Never blocks.
    fn has_exited(&mut self) -> bool;

    /// Its two ends, which are used at the same time. No input any more once it was hung up on.
    fn pipes(&mut self) -> (Option<&mut Self::Stdin>, &mut Self::Stdout);

    /// Closes its standard input: the polite way to say goodbye.
    fn hang_up(&mut self);

    /// Resolves when it has ended and has been reaped.
    fn ended(&mut self) -> impl Future<Output = ()> + Send;

    /// Kills it, without waiting for the end.
    fn kill(&mut self);
}

/// The pipe into a server.
pub(crate) trait Input: Send {
    fn write_line(&mut self, line: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

/// The pipe out of a server.
pub(crate) trait Output: Send {
    /// Appends what it prints up to the end of the line, but at most `limit` bytes. Appends
    /// nothing at the end of file.
    fn read_line(
        &mut self,
        line: &mut Vec<u8>,
        limit: u64,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// The command line of the servers.
#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
}

impl CommandLine {
    pub(crate) fn to_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Passed through: a pipe that nobody empties would block the server one day.
            .stderr(Stdio::inherit());
        // A terminal sends its Ctrl-C to the whole group. The gateway has requests to finish
        // first, so its servers are in groups of their own.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.to_string_lossy())?;
        self.arguments
            .iter()
            .try_for_each(|argument| write!(f, " {}", argument.to_string_lossy()))
    }
}

/// Kills the server with this id and what it has started: `npx` or `sh -c` are only the parents
/// of the real server. Call it before the server is reaped, while the id is still its own.
#[cfg(unix)]
pub(crate) fn kill_group(id: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};

    let group = i32::try_from(id).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // The only failure is that they are all gone already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(not(unix))]
pub(crate) fn kill_group(_id: u32) {}
