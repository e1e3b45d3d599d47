//! A server's processes, and signals to them.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::{find, insist};

/// A user and a group.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

/// Whom servers belong to: to whoever runs the test, unless that is root.
fn owner() -> Option<Owner> {
    if !geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there is a list of users");
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            Some(Owner {
                user: fields.nth(1)?.parse().ok()?,
                group: fields.next()?.parse().ok()?,
            })
        })
    };
    Some(
        find("postgres")
            .or_else(|| find("nobody"))
            .expect("some user has no rights"),
    )
}

/// A command that runs as whom servers belong to.
pub(super) fn command(program: &str) -> Command {
    let file = find(program).unwrap_or_else(|| panic!("there is no {program}"));
    let mut command = Command::new(file);
    command.stdin(Stdio::null());
    if let Some(owner) = owner() {
        command.uid(owner.user).gid(owner.group);
    }
    command
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

/// A temporary folder for a server.
pub(super) fn folder(name: &str) -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix(&format!("watertight-{name}-"))
        .tempdir()
        .expect("there is room for temporary files");
    if let Some(owner) = owner() {
        chown(folder.path(), Some(owner.user), Some(owner.group)).expect("root may do that");
    }
    folder
}

/// A server's first process, and with it those that it has started.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it. What it says goes to the file `log` in the folder.
    pub(super) fn start(command: &mut Command, folder: &Path) -> io::Result<Self> {
        let log = folder.join("log");
        let file = fs::File::options().create(true).append(true).open(&log)?;
        let child = command
            .current_dir(folder)
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Process { child, log })
    }

    /// What it has said.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it and its children, and waits until all are gone.
    pub(super) fn kill(&mut self) {
        // Stopped first, it can start none while they are counted.
        let family = self.freeze();
        for &pid in &family {
            signal(pid, Signal::KILL);
        }
        let _ = self.child.wait();
        for pid in family {
            insist("the death of a server", || (!is_alive(pid)).then_some(()));
        }
    }

    /// Stops it and its children; returns all of them.
    pub(super) fn freeze(&mut self) -> Vec<i32> {
        let first = self.pid();
        signal(first, Signal::STOP);
        insist("stopping a server", || has_stopped(first).then_some(()));
        // Servers may give each child a process group of its own, so no group has them all.
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
        let mut family = vec![first];
        for pid in children.unwrap_or_default().split_whitespace() {
            let pid = pid.parse().expect("these are numbers");
            signal(pid, Signal::STOP);
            family.push(pid);
        }
        for &pid in &family {
            insist("stopping a server", || has_stopped(pid).then_some(()));
        }
        family
    }

    /// Stops its first process, and none of its children.
    pub(super) fn freeze_first(&mut self) {
        let first = self.pid();
        signal(first, Signal::STOP);
        insist("stopping a server", || has_stopped(first).then_some(()));
    }

    /// Lets them go on.
    pub(super) fn thaw(&mut self) {
        let first = self.pid();
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
        for pid in children.unwrap_or_default().split_whitespace() {
            signal(pid.parse().expect("these are numbers"), Signal::CONT);
        }
        signal(first, Signal::CONT);
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process numbers are small")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills one process.
pub(super) fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}

/// The letter that tells what a process does; `None` if there is none.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in brackets, and may contain any.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// An orphan that nobody reaps stays on as a zombie, which is as good as gone.
fn is_alive(pid: i32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

fn has_stopped(pid: i32) -> bool {
    matches!(state(pid), None | Some('T' | 'Z' | 'X'))
}
