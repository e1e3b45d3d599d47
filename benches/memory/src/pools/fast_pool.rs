use std::future::Future;

use fast_pool::{ConnectionGuard, Manager, Pool};

use super::Subject;

#[derive(Debug)]
pub struct Numbers;

#[derive(Debug)]
pub struct Failed;

impl From<&str> for Failed {
    fn from(_: &str) -> Self {
        Failed
    }
}

impl Manager for Numbers {
    type Connection = u64;
    type Error = Failed;

    async fn connect(&self) -> Result<u64, Failed> {
        Ok(0)
    }

    async fn check(&self, _: &mut u64) -> Result<(), Failed> {
        Ok(())
    }
}

pub struct FastPool(Pool<Numbers>);

impl Subject for FastPool {
    const NAME: &str = "fast_pool";
    type Guard<'a> = ConnectionGuard<Numbers>;
    type Error = Failed;

    async fn open(size: Option<u16>) -> Self {
        let pool = Pool::new(Numbers);
        if let Some(size) = size {
            pool.set_max_open(size.into());
            pool.set_max_idle_conns(size.into());
        }
        Self(pool)
    }

    fn acquire(&self) -> impl Future<Output = Result<Self::Guard<'_>, Self::Error>> {
        self.0.get()
    }

    fn waiting(&self) -> Option<usize> {
        usize::try_from(self.0.state().waits).ok()
    }
}
