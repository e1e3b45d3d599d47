use std::fmt::{self, Debug, Formatter};

use fast_pool::{ConnectionGuard, Manager, Pool};

use crate::subject::{Dialer, Setup, Subject};

/// Makes numbers. Each is checked when it is lent, which does nothing: that cannot be turned off.
#[derive(Debug)]
pub struct Numbers(Dialer);

#[derive(Debug)]
pub struct Failed;

impl From<&str> for Failed {
    fn from(_: &str) -> Self {
        Self
    }
}

impl Manager for Numbers {
    type Connection = u64;
    type Error = Failed;

    async fn connect(&self) -> Result<u64, Failed> {
        Ok(self.0.dial().await)
    }

    async fn check(&self, _: &mut u64) -> Result<(), Failed> {
        Ok(())
    }
}

/// Its time-outs, 30 seconds to wait and 10 to check, are set by default.
#[derive(Clone)]
pub struct FastPool(Pool<Numbers>);

impl Debug for FastPool {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Subject for FastPool {
    type Guard = ConnectionGuard<Numbers>;

    async fn open(setup: Setup) -> Self {
        let pool = Pool::new(Numbers(Dialer::new(setup)));
        pool.set_max_open(u64::try_from(setup.size).expect("a small pool"));
        Self(pool)
    }

    async fn acquire(&self) -> Option<Self::Guard> {
        self.0.get().await.ok()
    }
}
