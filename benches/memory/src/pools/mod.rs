//! Every pool with default settings, save for its size, of connections that are numbers.

mod bb8;
mod deadpool;
mod fast_pool;
mod mobc;
mod r2d2;
mod watertight;

use std::fmt::Debug;
use std::future::Future;

pub use self::bb8::Bb8;
pub use self::deadpool::Deadpool;
pub use self::fast_pool::FastPool;
pub use self::mobc::Mobc;
pub use self::r2d2::R2d2;
pub use self::watertight::Watertight;

/// A pool for tasks.
pub trait Subject: Sized {
    /// What it is called in the table.
    const NAME: &str;
    type Guard<'a>
    where
        Self: 'a;
    type Error: Debug;

    /// A pool without connections, of this size or, without one, of its default size.
    fn open(size: Option<u16>) -> impl Future<Output = Self>;

    /// The pool's own future, in nothing else.
    fn acquire(&self) -> impl Future<Output = Result<Self::Guard<'_>, Self::Error>>;

    /// How many wait, if it tells.
    fn waiting(&self) -> Option<usize>;
}
