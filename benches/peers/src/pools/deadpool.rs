use std::convert::Infallible;
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, Pool, RecycleResult, Timeouts};

use crate::subject::{Dialer, Host, Setup, Subject};

/// Makes numbers. Each is recycled when it is lent, which does nothing: that cannot be turned off.
#[derive(Debug)]
pub struct Numbers(Dialer);

impl managed::Manager for Numbers {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(self.0.dial().await)
    }

    async fn recycle(&self, _: &mut u64, _: &Metrics) -> RecycleResult<Infallible> {
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub struct Deadpool(Pool<Numbers>);

impl Subject for Deadpool {
    type Guard = Object<Numbers>;

    async fn open(setup: Setup) -> Self {
        let builder = Pool::builder(Numbers(Dialer::new(setup))).max_size(setup.size);
        let builder = if setup.host == Host::Tokio {
            builder.runtime(deadpool::Runtime::Tokio1)
        } else {
            builder
        };
        let builder = if setup.timeouts {
            builder.timeouts(Timeouts {
                wait: Some(Duration::from_secs(30)),
                create: Some(Duration::from_secs(5)),
                recycle: Some(Duration::from_secs(5)),
            })
        } else {
            builder
        };
        Self(builder.build().expect("a pool"))
    }

    async fn acquire(&self) -> Option<Self::Guard> {
        self.0.get().await.ok()
    }
}
