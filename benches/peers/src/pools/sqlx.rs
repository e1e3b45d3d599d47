use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

use crate::subject::{Setup, Subject};

/// It pools its own connections only: SQLite in memory. What it costs includes their work, and they
/// cannot be made to connect slowly.
#[derive(Clone, Debug)]
pub struct Sqlx(SqlitePool);

impl Subject for Sqlx {
    type Guard = PoolConnection<Sqlite>;

    async fn open(setup: Setup) -> Self {
        let size = u32::try_from(setup.size).expect("a small pool");
        let options = SqlitePoolOptions::new().max_connections(size);
        let options = options.test_before_acquire(setup.checks);
        let pool = options.connect_lazy("sqlite::memory:");
        Self(pool.expect("a pool"))
    }

    async fn acquire(&self) -> Option<Self::Guard> {
        self.0.acquire().await.ok()
    }
}
