//! What the operating system says about this process: from `/proc`, so on Linux only.

use std::fs;
use std::io;

/// This process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vitals {
    /// Bytes of memory that are resident.
    pub(crate) rss: u64,
    /// Open file descriptors.
    pub(crate) fds: usize,
    pub(crate) threads: usize,
    /// Child processes, zombies included.
    pub(crate) children: usize,
}

/// Can this system be asked?
pub(crate) const AVAILABLE: bool = cfg!(target_os = "linux");

impl Vitals {
    /// Takes them. Where the system cannot be asked they are all zero.
    pub(crate) fn take() -> io::Result<Vitals> {
        if !AVAILABLE {
            return Ok(Vitals::default());
        }
        let status = fs::read_to_string("/proc/self/status")?;
        Ok(Vitals {
            rss: field(&status, "VmRSS:").unwrap_or(0) * 1024,
            // The directory that is being read is one of them.
            fds: fs::read_dir("/proc/self/fd")?.count().saturating_sub(1),
            threads: field(&status, "Threads:")
                .and_then(|threads| usize::try_from(threads).ok())
                .unwrap_or(0),
            children: count_children()?,
        })
    }
}

/// Every process whose parent this is, counted one by one.
pub(crate) fn count_children() -> io::Result<usize> {
    if !AVAILABLE {
        return Ok(0);
    }
    let own = std::process::id();
    let count = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        // A process may be gone by the time that it is looked at.
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok())
        .filter(|stat| parent(stat) == Some(own))
        .count();
    Ok(count)
}

/// The parent in `pid (name) state parent ...`, where the name may contain anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
