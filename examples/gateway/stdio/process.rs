//! What the gateway asks of a child process, and the command that starts one.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A running server: the part that differs between runtimes.
///
/// Dropping it must kill the server and see that it is reaped: whatever else goes wrong, that is
/// what leaves no child behind.
pub(crate) trait Process: Send + Sized + 'static {
    type Stdin: Input;
    type Stdout: Output;

    /// Starts a server, with its standard input and output as pipes. `name` is what it is called.
    fn spawn(command: Command, name: &str) -> io::Result<Self>;

    /// Its process id.
    fn id(&self) -> u32;

    /// True if it has ended; then it has been reaped, and what it had started is killed. Never blocks.
    fn has_exited(&mut self) -> bool;

    /// Its two ends, which are used at the same time. No input any more once it was hung up on.
    fn pipes(&mut self) -> (Option<&mut Self::Stdin>, &mut Self::Stdout);

    /// Closes its standard input: the polite way to say goodbye.
    fn hang_up(&mut self);

    /// Resolves when it has ended and has been reaped, and what it had started is killed.
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
    /// What they are called in logs and metrics.
    pub(crate) name: String,
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// Variables beyond those of the gateway's own environment.
    pub(crate) environment: Vec<(String, String)>,
    /// The working directory, if it is not the gateway's.
    pub(crate) directory: Option<PathBuf>,
}

impl CommandLine {
    pub(crate) fn to_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            // The way to the service manager is the gateway's alone.
            .env_remove("NOTIFY_SOCKET")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Passed through: a pipe that nobody empties would block the server one day.
            .stderr(Stdio::inherit());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        // A terminal sends its Ctrl-C to the whole group. The gateway has requests to finish
        // first, so its servers are in groups of their own.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
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

/// False if the server with this id still runs. Otherwise kills what it had started, and leaves it to
/// be reaped: until then its id, which is that of its group too, is nobody else's.
#[cfg(unix)]
pub(crate) fn kill_orphans(id: u32) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let Some(child) = i32::try_from(id).ok().and_then(Pid::from_raw) else {
        return true;
    };
    match waitid(WaitId::Pid(child), options) {
        Ok(None) => return false,
        Ok(Some(_)) => kill_group(id),
        // Somebody else has reaped it: the id may have been given away.
        Err(_) => {}
    }
    true
}

/// True if whoever started this program does not want it to end with the terminal, as `nohup` does:
/// it has SIGHUP ignored. Where that cannot be told, false.
#[cfg(unix)]
pub(crate) fn outlives_its_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|signals| u64::from_str_radix(signals.trim(), 16).ok());
    // SIGHUP is the first.
    ignored.is_some_and(|signals| signals & 1 != 0)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_server_has_its_own_variables_and_no_way_to_the_service_manager() {
        let line = CommandLine {
            name: "time".to_owned(),
            program: "python3".into(),
            arguments: vec!["-m".into(), "time".into()],
            environment: vec![("TZ".to_owned(), "UTC".to_owned())],
            directory: Some("/srv".into()),
        };
        let command = line.to_command();
        let args: Vec<_> = command.get_args().collect();
        assert_eq!(
            (command.get_program(), &args[..]),
            (
                OsStr::new("python3"),
                &[OsStr::new("-m"), OsStr::new("time")][..]
            )
        );
        let variables: Vec<_> = command.get_envs().collect();
        assert_eq!(
            variables,
            [
                (OsStr::new("NOTIFY_SOCKET"), None),
                (OsStr::new("TZ"), Some(OsStr::new("UTC"))),
            ]
        );
        assert_eq!(command.get_current_dir(), Some(Path::new("/srv")));
    }
}
