use std::convert::Infallible;
use std::future::{Future, ready};

use watertight::{AcquireError, Manager, Pool, PooledConnection};

use super::Subject;

pub struct Numbers;

impl Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> impl Future<Output = Result<u64, Infallible>> + Send {
        ready(Ok(0))
    }
}

/// It has time-outs by default. Without `TIMED`, nothing bounds a wait, as with deadpool's defaults.
pub struct Watertight<const TIMED: bool>(Pool<Numbers>);

impl<const TIMED: bool> Subject for Watertight<TIMED> {
    const NAME: &str = if TIMED {
        "watertight"
    } else {
        "watertight, no time-out"
    };
    type Guard<'a> = PooledConnection<Numbers>;
    type Error = AcquireError<Infallible>;

    async fn open(size: Option<u16>) -> Self {
        let mut builder = Pool::builder(Numbers);
        if let Some(size) = size {
            builder = builder.max_size(size.into());
        }
        if !TIMED {
            builder = builder.acquire_timeout(None);
        }
        Self(builder.build().expect("a pool"))
    }

    fn acquire(&self) -> impl Future<Output = Result<Self::Guard<'_>, Self::Error>> {
        self.0.acquire()
    }

    fn waiting(&self) -> Option<usize> {
        Some(self.0.status().waiting)
    }
}
