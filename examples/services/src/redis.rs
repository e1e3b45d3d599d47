//! Redis through the crate `redis`, on tokio or smol; it finds out by itself where it is.

use std::fmt;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, RedisResult};
use watertight::{Condition, Manager, Metrics};

/// Makes connections to one server.
#[derive(Clone, Debug)]
pub struct Redis {
    client: Client,
}

impl Redis {
    /// Reads `redis://host:port`.
    pub fn new(url: &str) -> RedisResult<Self> {
        Ok(Redis {
            client: Client::open(url)?,
        })
    }
}

impl Manager for Redis {
    type Connection = Session;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<Session> {
        // The pool and the caller have limits of their own.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        Ok(Session {
            connection: connecting.await?,
            unsettled: false,
        })
    }

    async fn check(&self, session: &mut Session, _: &Metrics) -> RedisResult<()> {
        session.query(&redis::cmd("PING")).await
    }

    fn inspect(&self, session: &mut Session) -> Condition {
        // There is no way to take a command back.
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
pub struct Session {
    connection: MultiplexedConnection,
    /// A command was sent and its answer not seen, or the connection failed.
    unsettled: bool,
}

impl Session {
    /// Sends a command and awaits its answer. If this is dropped half-way nobody else gets the
    /// connection: his commands would have to wait for the end of this one.
    pub async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        self.unsettled = true;
        let answer = command.query_async(&mut self.connection).await;
        self.unsettled = answer
            .as_ref()
            .is_err_and(RedisError::is_unrecoverable_error);
        answer
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("unsettled", &self.unsettled)
            .finish_non_exhaustive()
    }
}
