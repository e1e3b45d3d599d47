use std::convert::Infallible;
use std::future::Future;

use bb8::{ManageConnection, Pool, PooledConnection, RunError};

use super::Subject;

#[derive(Debug)]
pub struct Numbers;

impl ManageConnection for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

pub struct Bb8(Pool<Numbers>);

impl Subject for Bb8 {
    const NAME: &str = "bb8";
    type Guard<'a> = PooledConnection<'a, Numbers>;
    type Error = RunError<Infallible>;

    async fn open(size: Option<u16>) -> Self {
        let mut builder = Pool::builder();
        if let Some(size) = size {
            builder = builder.max_size(size.into());
        }
        Self(builder.build(Numbers).await.expect("a pool"))
    }

    fn acquire(&self) -> impl Future<Output = Result<Self::Guard<'_>, Self::Error>> {
        self.0.get()
    }

    fn waiting(&self) -> Option<usize> {
        None
    }
}
