use std::convert::Infallible;

use r2d2::{ManageConnection, Pool, PooledConnection};

#[derive(Debug)]
pub struct Numbers;

impl ManageConnection for Numbers {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

/// It would connect at once if it were not told to keep none idle. Who waits is a thread.
pub struct R2d2(Pool<Numbers>);

impl R2d2 {
    pub const NAME: &str = "r2d2";

    pub fn open(size: Option<u16>) -> Self {
        let builder = Pool::builder().min_idle(Some(0));
        let builder = match size {
            Some(size) => builder.max_size(size.into()),
            None => builder,
        };
        Self(builder.build(Numbers).expect("a pool"))
    }

    pub fn acquire(&self) -> PooledConnection<Numbers> {
        self.0.get().expect("a number")
    }
}
