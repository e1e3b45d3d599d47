//! The same for drivers that block: the crates `postgres` and `redis`, for threads.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use postgres::NoTls;
use postgres::error::SqlState;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult};
use watertight::{BlockingManager, Condition, Metrics};

/// Makes sessions with a PostgreSQL server; for [`Blocking`](watertight::Blocking).
#[derive(Clone, Debug)]
pub struct Postgres {
    config: postgres::Config,
}

impl Postgres {
    /// Reads `postgres://user:password@host:port/database`.
    pub fn new(url: &str) -> Result<Self, postgres::Error> {
        Ok(Postgres {
            config: url.parse()?,
        })
    }
}

impl BlockingManager for Postgres {
    type Connection = PostgresSession;
    type Error = postgres::Error;

    fn connect(&self) -> Result<PostgresSession, postgres::Error> {
        Ok(PostgresSession {
            client: self.config.connect(NoTls)?,
            used: false,
        })
    }

    fn check(&self, session: &mut PostgresSession, _: &Metrics) -> Result<(), postgres::Error> {
        session.client.batch_execute("")
    }

    fn inspect(&self, session: &mut PostgresSession) -> Condition {
        if session.client.is_closed() {
            Condition::Broken
        } else if session.used {
            Condition::Dirty
        } else {
            Condition::Clean
        }
    }

    fn recycle(&self, session: &mut PostgresSession) -> Result<(), postgres::Error> {
        session.client.batch_execute("rollback")?;
        session.used = false;
        Ok(())
    }

    fn is_permanent(&self, error: &postgres::Error) -> bool {
        error.code().is_some_and(|code| {
            [
                SqlState::INVALID_PASSWORD,
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                SqlState::INVALID_CATALOG_NAME,
            ]
            .contains(code)
        })
    }
}

/// A session with the server. The driver does not tell whether a transaction is open, so it is rolled
/// back whenever the session was used: a round trip, off the path of the one who gave it back.
pub struct PostgresSession {
    client: postgres::Client,
    used: bool,
}

impl Deref for PostgresSession {
    type Target = postgres::Client;

    fn deref(&self) -> &postgres::Client {
        &self.client
    }
}

impl DerefMut for PostgresSession {
    fn deref_mut(&mut self) -> &mut postgres::Client {
        self.used = true;
        &mut self.client
    }
}

impl fmt::Debug for PostgresSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSession")
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

/// Makes connections to a Redis server; for [`Blocking`](watertight::Blocking).
#[derive(Clone, Debug)]
pub struct Redis {
    client: redis::Client,
    patience: Option<Duration>,
}

impl Redis {
    /// Reads `redis://host:port`. `patience` is how long to wait for an answer.
    pub fn new(url: &str, patience: impl Into<Option<Duration>>) -> RedisResult<Self> {
        Ok(Redis {
            client: redis::Client::open(url)?,
            patience: patience.into(),
        })
    }
}

impl BlockingManager for Redis {
    type Connection = RedisSession;
    type Error = RedisError;

    fn connect(&self) -> RedisResult<RedisSession> {
        let connection = self.client.get_connection()?;
        connection.set_read_timeout(self.patience)?;
        connection.set_write_timeout(self.patience)?;
        Ok(RedisSession {
            connection,
            unsettled: false,
        })
    }

    fn check(&self, session: &mut RedisSession, _: &Metrics) -> RedisResult<()> {
        session.query(&redis::cmd("PING"))
    }

    fn inspect(&self, session: &mut RedisSession) -> Condition {
        if session.unsettled {
            Condition::Broken
        } else {
            Condition::Clean
        }
    }

    fn is_permanent(&self, error: &RedisError) -> bool {
        error.kind() == redis::ErrorKind::AuthenticationFailed
    }
}

/// A connection to the server.
pub struct RedisSession {
    connection: redis::Connection,
    /// A command was sent and its answer not seen.
    unsettled: bool,
}

impl RedisSession {
    /// Sends a command and waits for its answer. One that comes too late must not be taken for the
    /// answer to the next command, so the connection is then of no use any more.
    pub fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        self.unsettled = true;
        let answer = command.query(&mut self.connection);
        self.unsettled = answer
            .as_ref()
            .is_err_and(|error| error.is_io_error() || error.is_unrecoverable_error());
        answer
    }
}

impl fmt::Debug for RedisSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSession")
            .field("unsettled", &self.unsettled)
            .finish_non_exhaustive()
    }
}
