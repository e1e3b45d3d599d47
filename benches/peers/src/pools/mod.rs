//! The pools that take part.

mod bb8;
mod deadpool;
mod fast_pool;
mod limit;
mod mobc;
mod qp;
mod r2d2;
mod sqlx;
mod watertight;

pub use self::bb8::Bb8;
pub use self::deadpool::Deadpool;
pub use self::fast_pool::FastPool;
pub use self::limit::Limit;
pub use self::mobc::Mobc;
pub use self::qp::Qp;
pub use self::r2d2::R2d2;
pub use self::sqlx::Sqlx;
pub use self::watertight::{SyncWatertight, Watertight};
