use tokio_postgres::Statement;
use watertight::{Condition, Manager, Metrics, Pool};
use watertight_services::net::Net;
use watertight_services::postgres::{Error, Postgres, Session};

use super::{Accounts, Failure, READ, WRITE};

/// The manager of `examples/services`, with prepared statements.
struct Prepared(Postgres);

struct Ready {
    session: Session,
    read: Statement,
    write: Statement,
}

impl Manager for Prepared {
    type Connection = Ready;
    type Error = Error;

    async fn connect(&self) -> Result<Ready, Error> {
        let mut session = self.0.connect().await?;
        Ok(Ready {
            read: session.prepare(READ).await?,
            write: session.prepare(WRITE).await?,
            session,
        })
    }

    async fn check(&self, ready: &mut Ready, metrics: &Metrics) -> Result<(), Error> {
        self.0.check(&mut ready.session, metrics).await
    }

    fn inspect(&self, ready: &mut Ready) -> Condition {
        self.0.inspect(&mut ready.session)
    }

    async fn recycle(&self, ready: &mut Ready) -> Result<(), Error> {
        self.0.recycle(&mut ready.session).await
    }

    async fn close(&self, ready: Ready) {
        self.0.close(ready.session).await;
    }

    fn is_permanent(&self, error: &Error) -> bool {
        self.0.is_permanent(error)
    }
}

/// Checks a session with a round trip if it was idle for a second, by default.
#[derive(Clone)]
pub struct Watertight(Pool<Prepared>);

impl Watertight {
    /// A pool of that many, all else by default. It is built on the current runtime.
    pub fn new(url: &str, size: usize) -> Result<Self, Failure> {
        let manager = Prepared(Postgres::new(url, Net::Tokio)?);
        Ok(Self(Pool::builder(manager).max_size(size).build()?))
    }
}

impl Accounts for Watertight {
    async fn read(&self, id: i32) -> Result<i32, Failure> {
        let mut ready = self.0.acquire().await?;
        let Ready { session, read, .. } = &mut *ready;
        Ok(session.query_one(read, &[&id]).await?.try_get(0)?)
    }

    async fn write(&self, id: i32) -> Result<u64, Failure> {
        let mut ready = self.0.acquire().await?;
        let Ready { session, write, .. } = &mut *ready;
        let transaction = session.transaction().await?;
        let rows = transaction.execute(write, &[&id]).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}
