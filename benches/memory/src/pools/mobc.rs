use std::convert::Infallible;
use std::future::Future;

use mobc::{Connection, Error, Manager, Pool};

use super::Subject;

#[derive(Debug)]
pub struct Numbers;

#[mobc::async_trait]
impl Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn check(&self, number: u64) -> Result<u64, Infallible> {
        Ok(number)
    }
}

pub struct Mobc(Pool<Numbers>);

impl Subject for Mobc {
    const NAME: &str = "mobc";
    type Guard<'a> = Connection<Numbers>;
    type Error = Error<Infallible>;

    async fn open(size: Option<u16>) -> Self {
        let mut builder = Pool::builder();
        if let Some(size) = size {
            // It would keep only two idle.
            builder = builder.max_open(size.into()).max_idle(size.into());
        }
        Self(builder.build(Numbers))
    }

    fn acquire(&self) -> impl Future<Output = Result<Self::Guard<'_>, Self::Error>> {
        self.0.get()
    }

    fn waiting(&self) -> Option<usize> {
        None // it tells in a future of its own
    }
}
