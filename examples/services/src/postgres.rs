//! PostgreSQL through tokio-postgres, on tokio or smol.
//!
//! A future of tokio-postgres's that is dropped half-way leaves its request behind: it runs on at the
//! server, and the next one's has to wait for it. So a [`Session`] remembers what was begun and not seen
//! to end. Such a one comes back *dirty*: before anybody else gets it, what runs is cancelled and what
//! is open rolled back.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{
    CancelToken, Client, Config, NoTls, Row, SimpleQueryMessage, Statement, ToStatement,
};
use watertight::{Condition, Manager, Metrics};

use crate::net::{Net, Task};

/// Makes sessions with one server.
#[derive(Clone, Debug)]
pub struct Postgres {
    config: Config,
    net: Net,
}

impl Postgres {
    /// Reads `postgres://user:password@host:port/database`, as tokio-postgres understands it. The
    /// first host counts, and it must be a name or an address, not a socket's path.
    pub fn new(url: &str, net: Net) -> Result<Self, Error> {
        Ok(Postgres {
            config: url.parse()?,
            net,
        })
    }

    fn address(&self) -> io::Result<(&str, u16)> {
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => Ok((host, port)),
            _ => Err(io::Error::other("the URL has no host")),
        }
    }

    /// Ends what a session is in the middle of. When this resolves the server has been told, so a request
    /// that is sent from then on is in no danger; one that the server has yet to read is not ended.
    async fn cancel(&self, token: &CancelToken) -> Result<(), Error> {
        let (host, port) = self.address()?;
        let mut stream = self.net.dial(host, port).await?;
        token.cancel_query_raw(&mut stream, NoTls).await?;
        // The server hangs up after the signal was sent.
        while stream.read(&mut [0; 64]).await? > 0 {}
        Ok(())
    }
}

/// How long something may take that would be quick if nothing were in its way.
const QUICK: Duration = Duration::from_millis(100);

impl Manager for Postgres {
    type Connection = Session;
    type Error = Error;

    async fn connect(&self) -> Result<Session, Error> {
        let (host, port) = self.address()?;
        let stream = self.net.dial(host, port).await?;
        let (client, connection) = self.config.connect_raw(stream, NoTls).await?;
        let task = self.net.spawn(async move {
            // What it dies of, the client is told as well.
            let _ = connection.await;
        });
        Ok(Session {
            client,
            task,
            unsettled: false,
        })
    }

    async fn check(&self, session: &mut Session, _: &Metrics) -> Result<(), Error> {
        Ok(session.client.check_connection().await?)
    }

    fn inspect(&self, session: &mut Session) -> Condition {
        if session.client.is_closed() {
            Condition::Broken
        } else if session.unsettled {
            Condition::Dirty
        } else {
            Condition::Clean
        }
    }

    async fn recycle(&self, session: &mut Session) -> Result<(), Error> {
        let token = session.client.cancel_token();
        // Again, if the server had not yet begun what was to be cancelled; until the pool's time is up.
        loop {
            self.cancel(&token).await?;
            let rollback = session.client.batch_execute("rollback");
            match self.net.within(QUICK, rollback).await {
                Some(Err(error)) if was_cancelled(&error) => {}
                Some(outcome) => {
                    session.unsettled = outcome.is_err();
                    return Ok(outcome?);
                }
                None => {}
            }
        }
    }

    async fn close(&self, session: Session) {
        let token = session.client.cancel_token();
        let Session {
            client,
            mut task,
            unsettled,
        } = session;
        // Else the server would notice that nobody listens only when it has an answer.
        let mut cancels = unsettled && !client.is_closed();
        drop(client);
        while cancels && self.net.within(QUICK, task.finished()).await.is_none() {
            cancels = self.cancel(&token).await.is_ok();
        }
        task.finished().await; // it has said goodbye
    }

    fn is_permanent(&self, error: &Error) -> bool {
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

fn was_cancelled(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::QUERY_CANCELED)
}

/// A session with the server.
pub struct Session {
    client: Client,
    task: Task,
    /// Something was begun of which the end was not seen.
    unsettled: bool,
}

impl Session {
    /// Has the server parse and plan a statement, to be run any number of times in this session.
    pub async fn prepare(&mut self, statement: &str) -> Result<Statement, Error> {
        self.unsettled = true;
        let outcome = self.client.prepare(statement).await;
        self.unsettled = false;
        Ok(outcome?)
    }

    /// Runs one statement, prepared or not, and returns its rows. Statements that begin or end a
    /// transaction belong to [`transaction`](Session::transaction) or [`client`](Session::client).
    pub async fn query<S: ?Sized + ToStatement + Sync>(
        &mut self,
        statement: &S,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.unsettled = true;
        let outcome = self.client.query(statement, parameters).await;
        self.unsettled = false;
        Ok(outcome?)
    }

    /// Runs one statement, prepared or not, and returns its only row.
    pub async fn query_one<S: ?Sized + ToStatement + Sync>(
        &mut self,
        statement: &S,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        self.unsettled = true;
        let outcome = self.client.query_one(statement, parameters).await;
        self.unsettled = false;
        Ok(outcome?)
    }

    /// Runs one statement in a single round trip, without preparing it: what is needed behind a
    /// PgBouncer that pools transactions. Returns the first column, as text.
    pub async fn ask(&mut self, statement: &str) -> Result<String, Error> {
        self.unsettled = true;
        let outcome = self.client.simple_query(statement).await;
        self.unsettled = false;
        let messages = outcome?;
        let first = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(first.unwrap_or_default().to_owned())
    }

    /// Begins a transaction. Unless it is [committed](Transaction::commit) the session comes back
    /// dirty, and the transaction is rolled back before anybody else sees the session.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        self.unsettled = true;
        Ok(Transaction {
            transaction: self.client.transaction().await?,
            unsettled: &mut self.unsettled,
        })
    }

    /// The client itself, for everything else. Who knows what was done with it: the session comes
    /// back dirty.
    pub fn client(&mut self) -> &mut Client {
        self.unsettled = true;
        &mut self.client
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("closed", &self.client.is_closed())
            .field("unsettled", &self.unsettled)
            .finish_non_exhaustive()
    }
}

/// A transaction of a [`Session`]'s, with all that tokio-postgres's own can do.
pub struct Transaction<'a> {
    transaction: tokio_postgres::Transaction<'a>,
    unsettled: &'a mut bool,
}

impl Transaction<'_> {
    /// Makes what was done permanent.
    pub async fn commit(self) -> Result<(), Error> {
        self.transaction.commit().await?;
        *self.unsettled = false;
        Ok(())
    }

    /// Undoes what was done. So does dropping it, when the session comes back.
    pub async fn rollback(self) -> Result<(), Error> {
        self.transaction.rollback().await?;
        *self.unsettled = false;
        Ok(())
    }
}

impl<'a> Deref for Transaction<'a> {
    type Target = tokio_postgres::Transaction<'a>;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}

/// What can go wrong with a session.
#[derive(Debug)]
pub enum Error {
    /// The server cannot be reached.
    Io(io::Error),
    /// The server, or the protocol.
    Postgres(tokio_postgres::Error),
}

impl Error {
    /// The server's code for it.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Error::Io(_) => None,
            Error::Postgres(error) => error.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Io(_) => "could not reach the server",
            Error::Postgres(_) => "the session with the server failed",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            Error::Postgres(error) => Some(error),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::Postgres(error)
    }
}
