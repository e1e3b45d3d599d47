//! Which server, through which driver, in which mode.

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use watertight::{Blocking, BlockingConnection, Manager};
use watertight_services::blocking::{self, PostgresSession, RedisSession};
use watertight_services::servers::{PostgreSql, RedisServer, Server, available};
use watertight_services::{postgres, redis as redis_on};

use crate::mode::{Mode, Tasks, Threads};

pub trait Flavour: Send + Sync + 'static {
    type Mode: Mode;
    type Server: Server;
    type Manager: Manager<Connection: Session, Error: std::error::Error>;

    /// `None` if there is none on this machine, which has been said then.
    fn server() -> Option<Self::Server>;
    fn manager(server: &Self::Server, client: &str) -> Self::Manager;
    /// What takes the server a few milliseconds.
    const REQUEST: &str;
    /// What it answers.
    const ANSWER: &str;
    /// What would take it a minute.
    const LONG: &str;
}

pub trait Session: Send {
    fn ask(&mut self, request: &str) -> impl Future<Output = Result<String, String>> + Send;
}

/// How long a thread waits for an answer of Redis's.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Postgres<Mo>(PhantomData<Mo>);

pub struct Redis<Mo>(PhantomData<Mo>);

/// So that both are called the same, whatever the mode.
pub trait Drivers: Mode {
    type Postgres: Manager<Connection: Session, Error: std::error::Error>;
    type Redis: Manager<Connection: Session, Error: std::error::Error>;
    fn postgres(url: &str) -> Self::Postgres;
    fn redis(url: &str) -> Self::Redis;
}

impl<Mo: Tasks> Drivers for Mo {
    type Postgres = postgres::Postgres;
    type Redis = redis_on::Redis;

    fn postgres(url: &str) -> postgres::Postgres {
        postgres::Postgres::new(url, Mo::NET).expect("the URL is right")
    }

    fn redis(url: &str) -> redis_on::Redis {
        redis_on::Redis::new(url).expect("the URL is right")
    }
}

impl Drivers for Threads {
    type Postgres = Blocking<blocking::Postgres>;
    type Redis = Blocking<blocking::Redis>;

    fn postgres(url: &str) -> Self::Postgres {
        Blocking::new(blocking::Postgres::new(url).expect("the URL is right"))
    }

    fn redis(url: &str) -> Self::Redis {
        Blocking::new(blocking::Redis::new(url, PATIENCE).expect("the URL is right"))
    }
}

impl<Mo: Drivers> Flavour for Postgres<Mo> {
    type Mode = Mo;
    type Server = PostgreSql;
    type Manager = Mo::Postgres;

    fn server() -> Option<PostgreSql> {
        available(PostgreSql::PROGRAMS).then(|| PostgreSql::start(&[]))
    }

    fn manager(server: &PostgreSql, client: &str) -> Mo::Postgres {
        Mo::postgres(&server.url(client))
    }

    const REQUEST: &str = "select 42 from pg_sleep(0.002)";
    const ANSWER: &str = "42";
    const LONG: &str = "select 42 from pg_sleep(60)";
}

impl<Mo: Drivers> Flavour for Redis<Mo> {
    type Mode = Mo;
    type Server = RedisServer;
    type Manager = Mo::Redis;

    fn server() -> Option<RedisServer> {
        available(RedisServer::PROGRAMS).then(RedisServer::start)
    }

    fn manager(server: &RedisServer, _: &str) -> Mo::Redis {
        Mo::redis(&server.url())
    }

    const REQUEST: &str = "ECHO 42";
    const ANSWER: &str = "42";
    const LONG: &str = "BLPOP nothing 60";
}

impl Session for postgres::Session {
    async fn ask(&mut self, request: &str) -> Result<String, String> {
        let answer = postgres::Session::ask(self, request).await;
        answer.map_err(|error| format!("{error:?}"))
    }
}

impl Session for BlockingConnection<PostgresSession> {
    async fn ask(&mut self, request: &str) -> Result<String, String> {
        let messages = self
            .simple_query(request)
            .map_err(|error| format!("{error:?}"))?;
        let first = messages.iter().find_map(|message| match message {
            ::postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(first.unwrap_or_default().to_owned())
    }
}

fn command(words: &str) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    command.arg(words.split(' ').collect::<Vec<_>>());
    command
}

impl Session for redis_on::Session {
    async fn ask(&mut self, request: &str) -> Result<String, String> {
        let answer = self.query(&command(request)).await;
        answer.map_err(|error| format!("{error:?}"))
    }
}

impl Session for BlockingConnection<RedisSession> {
    async fn ask(&mut self, request: &str) -> Result<String, String> {
        let answer = self.query(&command(request));
        answer.map_err(|error| format!("{error:?}"))
    }
}
