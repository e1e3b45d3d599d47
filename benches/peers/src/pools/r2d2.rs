use std::convert::Infallible;

use r2d2::{ManageConnection, Pool, PooledConnection};

use crate::subject::{Dialer, Setup, SyncSubject};

#[derive(Debug)]
pub struct Numbers(Dialer);

impl ManageConnection for Numbers {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.0.number())
    }

    fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

/// Its time-out for the whole of an acquire, 30 seconds, is set by default; there are no others.
#[derive(Clone, Debug)]
pub struct R2d2(Pool<Numbers>);

impl SyncSubject for R2d2 {
    type Guard = PooledConnection<Numbers>;

    fn open(setup: Setup) -> Self {
        let size = u32::try_from(setup.size).expect("a small pool");
        let builder = Pool::builder().max_size(size);
        let builder = builder.test_on_check_out(setup.checks);
        Self(builder.build(Numbers(Dialer::new(setup))).expect("a pool"))
    }

    fn acquire(&self) -> Option<Self::Guard> {
        self.0.get().ok()
    }
}
