use deadpool_postgres::{Manager, Pool};
use tokio_postgres::NoTls;

use super::{Accounts, Failure, READ, WRITE};

/// Looks whether the client is closed when a session is lent, by default, and asks the server nothing.
#[derive(Clone)]
pub struct Deadpool(Pool);

impl Deadpool {
    /// A pool of that many, all else by default.
    pub fn new(url: &str, size: usize) -> Result<Self, Failure> {
        let manager = Manager::new(url.parse()?, NoTls);
        Ok(Self(Pool::builder(manager).max_size(size).build()?))
    }
}

impl Accounts for Deadpool {
    async fn read(&self, id: i32) -> Result<i32, Failure> {
        let client = self.0.get().await?;
        let read = client.prepare_cached(READ).await?;
        Ok(client.query_one(&read, &[&id]).await?.try_get(0)?)
    }

    async fn write(&self, id: i32) -> Result<u64, Failure> {
        let mut client = self.0.get().await?;
        let write = client.prepare_cached(WRITE).await?;
        let transaction = client.transaction().await?;
        let rows = transaction.execute(&write, &[&id]).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}
