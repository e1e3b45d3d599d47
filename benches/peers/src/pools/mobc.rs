use std::convert::Infallible;

use mobc::{Connection, Manager, Pool};

use crate::subject::{Dialer, Setup, Subject};

#[derive(Debug)]
pub struct Numbers(Dialer);

#[mobc::async_trait]
impl Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.0.dial().await)
    }

    async fn check(&self, conn: u64) -> Result<u64, Infallible> {
        Ok(conn)
    }
}

/// Its time-out for the whole of an acquire, 30 seconds, is set by default; there are no others.
#[derive(Clone)]
pub struct Mobc(Pool<Numbers>);

impl Subject for Mobc {
    type Guard = Connection<Numbers>;

    async fn open(setup: Setup) -> Self {
        let size = u64::try_from(setup.size).expect("a small pool");
        let builder = Pool::builder().max_open(size).max_idle(size);
        let builder = builder.test_on_check_out(setup.checks);
        Self(builder.build(Numbers(Dialer::new(setup))))
    }

    async fn acquire(&self) -> Option<Self::Guard> {
        self.0.get().await.ok()
    }
}
