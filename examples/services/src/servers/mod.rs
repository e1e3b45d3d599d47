//! Private servers, on free loopback ports, with their data in a temporary folder. Dropping one kills it
//! and removes the folder, while panicking too. Never run as root: a test run by root starts them as
//! another user.

mod pgbouncer;
mod postgres;
mod process;
mod redis;

use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::ops::Range;
use std::path::PathBuf;
use std::process::id;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use self::pgbouncer::PgBouncer;
pub use self::postgres::PostgreSql;
pub use self::redis::RedisServer;

/// A server that can be mistreated.
pub trait Server: Send + Sync + 'static {
    /// Ends it and all its processes at once, without a chance to say goodbye.
    fn kill(&self);
    /// Starts it again, on the same port.
    fn restart(&self);
    /// Stops all its processes in their tracks: the system still accepts connections for it, and
    /// nobody answers.
    fn freeze(&self);
    /// Ends that.
    fn thaw(&self);
    /// How many sessions of a client's there are, as the server sees it.
    fn sessions(&self, client: &str) -> usize;
    /// Ends those sessions, and no others; returns how many they were.
    fn terminate(&self, client: &str) -> usize;
}

/// Where a program is: in the path, or where Debian keeps PostgreSQL's.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
    // The newest first, so that all of them are of one version.
    versions.sort_unstable_by(|one, other| other.cmp(one));
    folders.extend(versions.iter().map(|version| version.join("bin")));
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether these programs are here. If not, says what is skipped; but panics if the environment has
/// `WATERTIGHT_SERVICES=required`.
pub fn available(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|it| find(it).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let who = thread::current().name().unwrap_or("this").to_owned();
    let required = env::var("WATERTIGHT_SERVICES").is_ok_and(|value| value == "required");
    assert!(!required, "{who}: there is no {missing:?} on this machine");
    // Not through the macro, whose output a test run hides.
    let _ = writeln!(
        io::stderr(),
        "{who}: skipped, there is no {missing:?} on this machine"
    );
    false
}

/// Ports below those that the system gives to outgoing connections. One of those might, while the
/// server is down, be taken by a client: in the worst case by one that tries to reach the server, and
/// then reaches itself.
const PORTS: Range<u16> = 12_000..32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody uses.
fn free_port() -> u16 {
    let begin = (id() % 500) as u16 * 40;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (begin + step % 20_000) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Tries something until it succeeds, for half a minute at most.
fn insist<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < end, "{what} takes more than half a minute");
        thread::sleep(Duration::from_millis(5));
    }
}
