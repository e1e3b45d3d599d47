//! A pool as the laws use it.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use watertight::{AcquireError, Pool, PooledConnection};

use super::ledger::At;
use super::manager::{Conn, Lent, Refused, Scripted, Stagecraft};
use super::world::World;

/// How an acquire ends.
pub(crate) type Acquired = Result<Lent, AcquireError<Refused>>;

/// A pool whose loans are written down. In the mode of the sync facade its verbs block.
#[derive(Clone)]
pub(crate) struct LawPool {
    pool: Pool<Scripted>,
    stage: Arc<Stagecraft>,
    blocking: bool,
}

impl LawPool {
    pub(super) fn new(pool: Pool<Scripted>, stage: &Arc<Stagecraft>, blocking: bool) -> Self {
        let stage = Arc::clone(stage);
        LawPool {
            pool,
            stage,
            blocking,
        }
    }

    /// A pool of this world's, found again.
    pub(crate) fn of(pool: Pool<Scripted>, world: &World) -> Self {
        LawPool::new(pool, world.stage(), false)
    }

    /// [`Pool::acquire`].
    pub(crate) async fn acquire(&self) -> Acquired {
        let acquired = match self.blocking {
            true => self.pool.sync().acquire(),
            false => self.pool.acquire().await,
        };
        acquired.map(Lent::new)
    }

    /// [`Pool::acquire_timeout`].
    pub(crate) async fn acquire_timeout(&self, timeout: Duration) -> Acquired {
        let acquired = match self.blocking {
            true => self.pool.sync().acquire_timeout(timeout),
            false => self.pool.acquire_timeout(timeout).await,
        };
        acquired.map(Lent::new)
    }

    /// [`Pool::try_acquire`].
    pub(crate) fn try_acquire(&self) -> Option<Lent> {
        self.pool.try_acquire().map(Lent::new)
    }

    /// Acquires `n` connections, one after the other.
    pub(crate) async fn acquire_many(&self, n: usize) -> Vec<Lent> {
        let mut held = Vec::new();
        for _ in 0..n {
            held.push(self.acquire().await.expect("there is a place"));
        }
        held
    }

    /// [`PooledConnection::release`].
    pub(crate) async fn release(&self, lent: Lent) {
        let guard = lent.into_guard();
        match self.blocking {
            true => self.pool.sync().release(guard),
            false => PooledConnection::release(guard).await,
        }
    }

    /// [`Pool::fill`].
    pub(crate) async fn fill(&self) -> Result<(), AcquireError<Refused>> {
        match self.blocking {
            true => self.pool.sync().fill(),
            false => self.pool.fill().await,
        }
    }

    /// [`Pool::close`]; closing begins with the call in the modes that do not block.
    pub(crate) fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if self.blocking {
            let pool = self.pool.sync();
            return Box::pin(async move { pool.close() });
        }
        Box::pin(self.pool.close())
    }

    /// [`Pool::close_within`].
    pub(crate) async fn close_within(&self, grace: Duration) -> usize {
        match self.blocking {
            true => self.pool.sync().close_within(grace),
            false => self.pool.close_within(grace).await,
        }
    }

    /// [`Pool::pause`]; it begins with the call in the modes that do not block.
    pub(crate) fn pause(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if self.blocking {
            let pool = self.pool.sync();
            return Box::pin(async move { pool.pause() });
        }
        Box::pin(self.pool.pause())
    }

    /// [`Pool::wait_reset`].
    pub(crate) fn wait_reset(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if self.blocking {
            let pool = self.pool.sync();
            return Box::pin(async move { pool.wait_reset() });
        }
        Box::pin(self.pool.wait_reset())
    }

    /// [`Pool::adopt`].
    pub(crate) fn adopt(&self, conn: Conn) -> Result<(), Conn> {
        let ledger = &self.stage.ledger;
        ledger.pass(conn.id(), &[At::Detached], At::Pool);
        match self.pool.adopt(conn) {
            Ok(()) => {
                ledger.adopted();
                Ok(())
            }
            Err(conn) => {
                ledger.pass(conn.id(), &[At::Pool], At::Detached);
                Err(conn)
            }
        }
    }

    /// [`Pool::resize`]. After a shrink, what is over the new limit is lawful until it is closed.
    pub(crate) fn resize(&self, max_size: usize) {
        let ledger = &self.stage.ledger;
        ledger.set_limit(usize::MAX);
        self.pool.resize(max_size);
        ledger.set_limit(max_size.max(self.pool.status().size));
    }
}

impl Deref for LawPool {
    type Target = Pool<Scripted>;

    fn deref(&self) -> &Pool<Scripted> {
        &self.pool
    }
}
