//! A manager that does as it was told, and writes down what happens.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use watertight::{BlockingManager, Condition, Manager, Metrics};

use super::ledger::Ledger;

/// A connection of the model.
pub(crate) struct Conn {
    pub(super) id: usize,
    /// What its holder makes of it.
    pub(crate) condition: Condition,
    pub(super) ledger: Arc<Ledger>,
}

impl Conn {
    /// One that was made by that attempt; by none, if that is 0.
    pub(super) fn new(ledger: &Arc<Ledger>, attempt: usize) -> Self {
        Conn {
            id: ledger.made(attempt),
            condition: Condition::Clean,
            ledger: Arc::clone(ledger),
        }
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.ledger.gone(self.id);
    }
}

/// The attempt to connect, or the check, did not succeed.
#[derive(Debug)]
pub(crate) struct Refused;

pub(crate) struct Maker {
    pub(super) ledger: Arc<Ledger>,
    pub(super) script: Script,
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Default)]
pub(crate) struct Script {
    /// So many attempts to connect fail.
    pub(crate) failing_connects: usize,
    /// So many attempts to connect never come to an end.
    pub(crate) hanging_connects: usize,
    /// So many checks fail.
    pub(crate) failing_checks: usize,
    /// Checks have nothing to wait for.
    pub(crate) prompt_checks: bool,
}

/// An attempt that is noted as under way until this is dropped.
struct UnderWay<'a>(&'a Ledger, usize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.connect_ends(self.1);
    }
}

impl Manager for Maker {
    type Connection = Conn;
    type Error = Refused;

    async fn connect(&self) -> Result<Conn, Refused> {
        let attempt = self.ledger.connect_begins();
        let _under_way = UnderWay(&self.ledger, attempt);
        pause().await;
        let Script {
            failing_connects,
            hanging_connects,
            ..
        } = self.script;
        if attempt <= failing_connects {
            return Err(Refused);
        }
        if attempt <= failing_connects + hanging_connects {
            std::future::pending::<()>().await;
        }
        Ok(Conn::new(&self.ledger, attempt))
    }

    async fn check(&self, _: &mut Conn, _: &Metrics) -> Result<(), Refused> {
        self.ledger.check_begins();
        if !self.script.prompt_checks {
            pause().await;
        }
        match self.ledger.checks() <= self.script.failing_checks {
            true => Err(Refused),
            false => Ok(()),
        }
    }

    fn inspect(&self, conn: &mut Conn) -> Condition {
        conn.condition
    }

    async fn recycle(&self, conn: &mut Conn) -> Result<(), Refused> {
        pause().await;
        conn.condition = Condition::Clean;
        Ok(())
    }

    fn close(&self, conn: Conn) -> impl Future<Output = ()> + Send {
        self.ledger.closes(conn.id);
        async move {
            pause().await;
            drop(conn);
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.ledger.pool_ends();
    }
}

/// A manager whose calls block.
pub(crate) struct BlockingMaker {
    pub(super) ledger: Arc<Ledger>,
}

impl BlockingManager for BlockingMaker {
    type Connection = Conn;
    type Error = Refused;

    fn connect(&self) -> Result<Conn, Refused> {
        let attempt = self.ledger.connect_begins();
        let _under_way = UnderWay(&self.ledger, attempt);
        Ok(Conn::new(&self.ledger, attempt))
    }

    fn close(&self, conn: Conn) {
        self.ledger.closes(conn.id);
    }
}

impl Drop for BlockingMaker {
    fn drop(&mut self) {
        self.ledger.pool_ends();
    }
}

/// Lets others run.
pub(crate) async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
