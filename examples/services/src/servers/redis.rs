//! A private Redis.

use std::sync::{Mutex, PoisonError};

use redis::{Client, Connection, RedisResult};
use tempfile::TempDir;

use super::process::{Process, command, folder};
use super::{Server, free_port, insist};

/// What connections that are not under test are called.
const ADMINISTRATOR: &str = "administrator";

/// A Redis server of one's own, which keeps nothing over a restart.
pub struct RedisServer {
    port: u16,
    process: Mutex<Option<Process>>,
    home: TempDir,
}

impl RedisServer {
    /// What it needs on this machine.
    pub const PROGRAMS: &[&str] = &["redis-server"];

    /// Starts one.
    pub fn start() -> Self {
        let server = RedisServer {
            port: free_port(),
            process: Mutex::new(None),
            home: folder("redis"),
        };
        server.restart();
        server
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection for the administrator.
    fn administrator(&self) -> RedisResult<Connection> {
        let mut connection = Client::open(self.url())?.get_connection()?;
        let mut set_name = redis::cmd("CLIENT");
        set_name
            .arg("SETNAME")
            .arg(ADMINISTRATOR)
            .query::<()>(&mut connection)?;
        Ok(connection)
    }

    /// The numbers of all clients but the administrator's, who may still have one of before.
    fn clients(connection: &mut Connection) -> Vec<u64> {
        let list = redis::cmd("CLIENT").arg("LIST").query::<String>(connection);
        let list = list.expect("it answers");
        let field = |line: &str, name: &str| -> Option<String> {
            let value = line.split(' ').find_map(|field| field.strip_prefix(name))?;
            Some(value.to_owned())
        };
        list.lines()
            .filter(|line| field(line, "name=").as_deref() != Some(ADMINISTRATOR))
            .filter_map(|line| field(line, "id=")?.parse().ok())
            .collect()
    }

    fn with(&self, act: impl FnOnce(&mut Process)) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        act(process.as_mut().expect("it has been started"));
    }
}

impl Server for RedisServer {
    fn kill(&self) {
        self.with(Process::kill);
    }

    fn restart(&self) {
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
        let mut command = command("redis-server");
        command.arg("--port").arg(self.port.to_string());
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let mut process = Process::start(&mut command, self.home.path()).expect("it can be run");
        insist("the start of Redis", || {
            assert!(!process.has_ended(), "{}", process.log());
            self.administrator().ok()
        });
        *slot = Some(process);
    }

    fn freeze(&self) {
        self.with(|process| drop(process.freeze()));
    }

    fn thaw(&self) {
        self.with(Process::thaw);
    }

    fn sessions(&self, _: &str) -> usize {
        let connection = self.administrator();
        RedisServer::clients(&mut connection.expect("the server is there")).len()
    }

    fn terminate(&self, _: &str) -> usize {
        let mut connection = self.administrator().expect("the server is there");
        let ids = RedisServer::clients(&mut connection);
        for id in &ids {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("ID").arg(*id);
            kill.query::<u64>(&mut connection).expect("it is known");
        }
        ids.len()
    }
}
