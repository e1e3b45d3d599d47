use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use watertight::{
    Builder, CheckPolicy, Manager, Metrics, Pool, PooledConnection, SmolRuntime, SyncPool,
    TokioRuntime,
};

use crate::subject::{Dialer, Host, Setup, Subject, SyncSubject};

/// Makes and checks numbers.
#[derive(Debug)]
pub struct Numbers(Dialer);

impl Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.0.dial().await)
    }

    async fn check(&self, _: &mut u64, _: &Metrics) -> Result<(), Infallible> {
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub struct Watertight(Pool<Numbers>);

/// Time-outs are set by default, and so is the check of what was idle for a while.
fn set_up<B>(setup: Setup, builder: Builder<Numbers, B>) -> Builder<Numbers, B> {
    let builder = builder.max_size(setup.size);
    let builder = if setup.timeouts {
        builder
            .acquire_timeout(Duration::from_secs(30))
            .connect_timeout(Duration::from_secs(5))
            .check_timeout(Duration::from_secs(5))
            .recycle_timeout(Duration::from_secs(5))
    } else {
        builder
    };
    if setup.checks {
        builder.check_policy(CheckPolicy::Always)
    } else {
        builder
    }
}

impl Subject for Watertight {
    type Guard = PooledConnection<Numbers>;

    async fn open(setup: Setup) -> Self {
        let builder = set_up(setup, Pool::builder(Numbers(Dialer::new(setup))));
        let builder = match setup.host {
            Host::Tokio => builder.runtime(TokioRuntime::current()),
            Host::Smol => builder.runtime(SmolRuntime::new()),
        };
        Self(builder.build().expect("a pool"))
    }

    async fn acquire(&self) -> Option<Self::Guard> {
        self.0.acquire().await.ok()
    }
}

#[derive(Clone, Debug)]
pub struct SyncWatertight(Arc<SyncPool<Numbers>>);

impl SyncSubject for SyncWatertight {
    type Guard = PooledConnection<Numbers>;

    fn open(setup: Setup) -> Self {
        let builder = set_up(setup, SyncPool::builder(Numbers(Dialer::new(setup))));
        Self(Arc::new(builder.build().expect("a pool")))
    }

    fn acquire(&self) -> Option<Self::Guard> {
        self.0.acquire().ok()
    }
}
