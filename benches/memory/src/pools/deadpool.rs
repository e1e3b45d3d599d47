use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleResult};

use super::Subject;

#[derive(Debug)]
pub struct Numbers;

impl managed::Manager for Numbers {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn recycle(&self, _: &mut u64, _: &Metrics) -> RecycleResult<Infallible> {
        Ok(())
    }
}

/// It has no time-outs by default. `TIMED` gives it the one that the others have: 30 seconds to wait.
pub struct Deadpool<const TIMED: bool>(Pool<Numbers>);

impl<const TIMED: bool> Subject for Deadpool<TIMED> {
    const NAME: &str = if TIMED {
        "deadpool, 30 s to wait"
    } else {
        "deadpool"
    };
    type Guard<'a> = Object<Numbers>;
    type Error = PoolError<Infallible>;

    async fn open(size: Option<u16>) -> Self {
        let mut builder = Pool::builder(Numbers);
        if let Some(size) = size {
            builder = builder.max_size(size.into());
        }
        if TIMED {
            let wait = Some(Duration::from_secs(30));
            builder = builder.runtime(Runtime::Tokio1).wait_timeout(wait);
        }
        Self(builder.build().expect("a pool"))
    }

    fn acquire(&self) -> impl Future<Output = Result<Self::Guard<'_>, Self::Error>> {
        self.0.get()
    }

    fn waiting(&self) -> Option<usize> {
        Some(self.0.status().waiting)
    }
}
