use std::convert::Infallible;

use qp::resource::Manage;
use qp::{Pool, Pooled};

use crate::subject::{Dialer, Setup, Subject};

pub struct Numbers(Dialer);

#[qp::async_trait]
impl Manage for Numbers {
    type Output = u64;
    type Error = Infallible;

    async fn try_create(&self) -> Result<u64, Infallible> {
        Ok(self.0.dial().await)
    }
}

/// It has no time-outs. Its guards borrow it, so it lives for ever here.
#[derive(Clone)]
pub struct Qp {
    pool: &'static Pool<Numbers>,
    checks: bool,
}

impl Subject for Qp {
    type Guard = Pooled<'static, Numbers>;

    async fn open(setup: Setup) -> Self {
        let pool = Pool::new(Numbers(Dialer::new(setup)), setup.size);
        Self {
            pool: Box::leak(Box::new(pool)),
            checks: setup.checks,
        }
    }

    async fn acquire(&self) -> Option<Self::Guard> {
        if self.checks {
            self.pool.acquire().await.ok()
        } else {
            self.pool.acquire_unchecked().await.ok()
        }
    }
}
