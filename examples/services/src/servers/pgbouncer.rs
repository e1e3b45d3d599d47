//! A private PgBouncer, between clients and a PostgreSQL.

use std::fs;
use std::thread;

use postgres::{Client, NoTls};
use tempfile::TempDir;

use super::process::{Process, command, folder};
use super::{PostgreSql, free_port, insist};

/// A PgBouncer of one's own, which pools transactions.
pub struct PgBouncer {
    port: u16,
    _process: Process,
    _home: TempDir,
}

impl PgBouncer {
    /// What it needs on this machine.
    pub const PROGRAMS: &[&str] = &["pgbouncer"];

    /// Starts one before `server`, with at most so many sessions with it.
    pub fn start(server: &PostgreSql, sessions: usize) -> Self {
        let home = folder("pgbouncer");
        let (port, behind) = (free_port(), server.port());
        let users = home.path().join("users");
        fs::write(&users, "\"guest\" \"\"\n\"app\" \"\"\n").expect("it can be written");
        let settings = format!(
            "[databases]\n\
             postgres = host=127.0.0.1 port={behind}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = trust\n\
             auth_file = {}\n\
             admin_users = app\n\
             ignore_startup_parameters = extra_float_digits\n\
             pool_mode = transaction\n\
             ; a login that a pause interrupts counts as failed: do not wait before the next\n\
             server_login_retry = 0\n\
             default_pool_size = {sessions}\n",
            users.display()
        );
        let file = home.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("it can be written");
        let mut process =
            Process::start(command("pgbouncer").arg(file), home.path()).expect("it can be run");
        let url = url(port, "guest", "postgres");
        insist("the start of PgBouncer", || {
            assert!(!process.has_ended(), "{}", process.log());
            thread::scope(|scope| scope.spawn(|| Client::connect(&url, NoTls).is_ok()).join())
                .unwrap_or(false)
                .then_some(())
        });
        PgBouncer {
            port,
            _process: process,
            _home: home,
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        url(self.port, "guest", "postgres")
    }

    /// Has its administrator say something: `PAUSE`, `RESUME`, `RECONNECT`. Returns when it has been
    /// done.
    pub fn tell(&self, command: &str) {
        let url = url(self.port, "app", "pgbouncer");
        let told = thread::scope(|scope| {
            scope
                .spawn(|| Client::connect(&url, NoTls)?.simple_query(command))
                .join()
        });
        told.expect("it is said")
            .unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

fn url(port: u16, role: &str, database: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{port}/{database}")
}
