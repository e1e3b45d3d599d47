use bb8::{ManageConnection, Pool};
use bb8_postgres::PostgresConnectionManager;
use tokio_postgres::{Client, Error, NoTls, Statement};

use super::{Accounts, Failure, READ, WRITE};

/// bb8-postgres's manager, with prepared statements.
#[derive(Debug)]
struct Prepared(PostgresConnectionManager<NoTls>);

struct Ready {
    client: Client,
    read: Statement,
    write: Statement,
}

impl ManageConnection for Prepared {
    type Connection = Ready;
    type Error = Error;

    async fn connect(&self) -> Result<Ready, Error> {
        let client = self.0.connect().await?;
        Ok(Ready {
            read: client.prepare(READ).await?,
            write: client.prepare(WRITE).await?,
            client,
        })
    }

    async fn is_valid(&self, ready: &mut Ready) -> Result<(), Error> {
        self.0.is_valid(&mut ready.client).await
    }

    fn has_broken(&self, ready: &mut Ready) -> bool {
        self.0.has_broken(&mut ready.client)
    }
}

/// Checks a session with a round trip each time that it is lent, by default.
#[derive(Clone)]
pub struct Bb8(Pool<Prepared>);

impl Bb8 {
    /// A pool of that many, all else by default.
    pub async fn new(url: &str, size: u32) -> Result<Self, Failure> {
        Self::build(url, Pool::builder().max_size(size)).await
    }

    /// The same, but a session is not checked when it is lent.
    pub async fn unchecked(url: &str, size: u32) -> Result<Self, Failure> {
        let builder = Pool::builder().max_size(size).test_on_check_out(false);
        Self::build(url, builder).await
    }

    async fn build(url: &str, builder: bb8::Builder<Prepared>) -> Result<Self, Failure> {
        let manager = PostgresConnectionManager::new_from_stringlike(url, NoTls)?;
        Ok(Self(builder.build(Prepared(manager)).await?))
    }
}

impl Accounts for Bb8 {
    async fn read(&self, id: i32) -> Result<i32, Failure> {
        let ready = self.0.get().await?;
        let row = ready.client.query_one(&ready.read, &[&id]).await?;
        Ok(row.try_get(0)?)
    }

    async fn write(&self, id: i32) -> Result<u64, Failure> {
        let mut ready = self.0.get().await?;
        let Ready { client, write, .. } = &mut *ready;
        let transaction = client.transaction().await?;
        let rows = transaction.execute(&*write, &[&id]).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}
