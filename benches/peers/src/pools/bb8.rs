use std::convert::Infallible;

use bb8::{ManageConnection, Pool, PooledConnection};

use crate::subject::{Dialer, Setup, Subject};

#[derive(Debug)]
pub struct Numbers(Dialer);

impl ManageConnection for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.0.dial().await)
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

/// Its time-out for the whole of an acquire, 30 seconds, is set by default; there are no others. Its
/// quicker guards borrow it, so it lives for ever here.
#[derive(Clone, Debug)]
pub struct Bb8(&'static Pool<Numbers>);

impl Subject for Bb8 {
    type Guard = PooledConnection<'static, Numbers>;

    async fn open(setup: Setup) -> Self {
        let size = u32::try_from(setup.size).expect("a small pool");
        let builder = Pool::builder().max_size(size);
        let builder = builder.test_on_check_out(setup.checks);
        let pool = builder.build(Numbers(Dialer::new(setup))).await;
        Self(Box::leak(Box::new(pool.expect("a pool"))))
    }

    async fn acquire(&self) -> Option<Self::Guard> {
        self.0.get().await.ok()
    }
}
