//! A private PostgreSQL.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use postgres::{Client, NoTls, SimpleQueryMessage};
use tempfile::TempDir;

use super::process::{Process, command, folder, kill, run};
use super::{Server, free_port, insist};

/// Who may do everything, and who may only log in and work. `locked` needs the password `secret`.
const ROLES: &str = "create role guest login; create role locked login password 'secret'";

const ACCESS: &str = "\
host all locked 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
";

/// A PostgreSQL server of one's own.
pub struct PostgreSql {
    port: u16,
    options: Vec<String>,
    // In this order: first the process ends, then the folder is removed.
    process: Mutex<Option<Process>>,
    home: TempDir,
    _template: Arc<TempDir>,
}

impl PostgreSql {
    /// What it needs on this machine.
    pub const PROGRAMS: &[&str] = &["initdb", "postgres"];

    /// Starts one, with these settings, as `max_connections=20`, beyond the usual ones.
    pub fn start(options: &[&str]) -> Self {
        let template = template();
        let home = folder("postgres");
        let data = home.path().join("data");
        run(command("cp")
            .arg("-a")
            .arg(template.path().join("data"))
            .arg(&data));
        let server = PostgreSql {
            port: free_port(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            process: Mutex::new(None),
            home,
            _template: template,
        };
        server.restart();
        server.sql(ROLES);
        // For them to outlive a kill: with these settings a commit reaches the disk late.
        server.sql("checkpoint");
        server
    }

    /// Where it is, for a client of this name that may do nothing special.
    pub fn url(&self, client: &str) -> String {
        self.url_of("guest", client)
    }

    /// Where it is, for this role, which may have a password: `role:password`.
    pub fn url_of(&self, role: &str, client: &str) -> String {
        let port = self.port;
        format!("postgres://{role}@127.0.0.1:{port}/postgres?application_name={client}")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has the administrator run statements, and returns the first column of all rows.
    pub fn sql(&self, statements: &str) -> Vec<String> {
        // The client brings a runtime, which must not be started on a thread that runs one.
        thread::scope(|scope| scope.spawn(|| self.ask(statements)).join()).expect("it is run")
    }

    /// Stops only the process that lets people in, until [`thaw`](Server::thaw): sessions go on, and a
    /// login is never answered.
    pub fn freeze_logins(&self) {
        self.with(Process::freeze_first);
    }

    /// Kills the process of one session of a client's. PostgreSQL then ends all sessions, for it does not
    /// know what that one may have done to the memory that they share, and starts afresh.
    pub fn crash(&self, client: &str) {
        let select = "select pid from pg_stat_activity where application_name";
        let pids = self.sql(&format!("{select} = '{client}' limit 1"));
        kill(pids[0].parse().expect("it is a number"));
    }

    fn ask(&self, statements: &str) -> Vec<String> {
        let url = self.url_of("app", "administrator");
        let mut client = Client::connect(&url, NoTls).expect("the administrator may log in");
        let messages = client.simple_query(statements);
        let messages = messages.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
        messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
                _ => None,
            })
            .collect()
    }

    /// Starts the process; `None` if it ended at once.
    fn try_start(&self) -> Option<Process> {
        let mut command = command("postgres");
        command.arg("-D").arg(self.home.path().join("data"));
        command.arg("-k").arg(self.home.path());
        command.arg("-p").arg(self.port.to_string());
        let usual = [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "shared_buffers=16MB",
            "max_connections=60",
            "autovacuum=off",
        ];
        for option in usual
            .into_iter()
            .chain(self.options.iter().map(String::as_str))
        {
            command.arg("-c").arg(option);
        }
        let mut process = Process::start(&mut command, self.home.path()).expect("it can be run");
        let url = self.url_of("app", "administrator");
        insist("the start of PostgreSQL", || {
            let ready =
                thread::scope(|scope| scope.spawn(|| Client::connect(&url, NoTls).is_ok()).join());
            (ready.unwrap_or(false) || process.has_ended()).then_some(())
        });
        (!process.has_ended()).then_some(process)
    }

    fn with(&self, act: impl FnOnce(&mut Process)) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        act(process.as_mut().expect("it has been started"));
    }
}

impl Server for PostgreSql {
    fn kill(&self) {
        self.with(Process::kill);
    }

    fn restart(&self) {
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
        // What a killed one has left behind, the next may find for a moment, and refuse to start.
        let started = insist("PostgreSQL", || self.try_start());
        *slot = Some(started);
    }

    fn freeze(&self) {
        self.with(|process| drop(process.freeze()));
    }

    fn thaw(&self) {
        self.with(Process::thaw);
    }

    fn sessions(&self, client: &str) -> usize {
        let count = "select count(*) from pg_stat_activity where application_name";
        let rows = self.sql(&format!("{count} = '{client}'"));
        rows[0].parse().expect("it is a number")
    }

    fn terminate(&self, client: &str) -> usize {
        let select = "select pg_terminate_backend(pid) from pg_stat_activity";
        let rows = self.sql(&format!("{select} where application_name = '{client}'"));
        rows.iter().filter(|ended| *ended == "t").count()
    }
}

/// A database that was never used, shared by all servers that are there: making one takes a second,
/// and copying it a tenth of that. The last server to go removes it.
fn template() -> Arc<TempDir> {
    static TEMPLATE: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut kept = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    kept.upgrade().unwrap_or_else(|| {
        let made = Arc::new(folder("template"));
        let data = made.path().join("data");
        let mut initdb = command("initdb");
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", "app", "-A", "trust", "-E", "UTF8"]);
        run(initdb.args(["--locale=C", "--no-sync", "--no-instructions"]));
        fs::write(data.join("pg_hba.conf"), ACCESS).expect("it can be written");
        *kept = Arc::downgrade(&made);
        made
    })
}
