//! What callers do to a pool.

use watertight::{AcquireError, BoxFuture, Pool, PooledConnection};

use super::manager::{Maker, Refused};

pub(crate) type Acquired = Result<PooledConnection<Maker>, AcquireError<Refused>>;

/// A call to `acquire` that has its place in the queue, and is not polled until somebody does.
pub(crate) fn queued(pool: &Pool<Maker>) -> BoxFuture<Acquired> {
    let pool = pool.clone();
    super::begin(async move { pool.acquire().await })
}

/// An idle connection, taken.
pub(crate) fn held(pool: &Pool<Maker>) -> PooledConnection<Maker> {
    pool.try_acquire().expect("one is idle")
}

pub(crate) fn assert_served_or_closed(answer: &Acquired) {
    let closed = answer.as_ref().err().is_some_and(|error| error.is_closed());
    assert!(answer.is_ok() || closed);
}

#[cfg(shuttle)]
pub(crate) type KeyedPools = watertight::KeyedPool<char, Maker>;
