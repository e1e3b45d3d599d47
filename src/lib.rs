#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod acquire;
mod backoff;
mod blocking;
mod builder;
mod clock;
mod config;
mod connection;
mod error;
mod lease;
mod maintenance;
mod manager;
mod observer;
mod pool;
mod primitives;
mod retry;
pub mod runtime;
mod shared;
mod state;
mod status;
mod sync_pool;
mod waiters;
mod work;

pub use backoff::Backoff;
pub use blocking::{Blocking, BlockingConnection, BlockingManager};
pub use builder::Builder;
pub use config::{CheckPolicy, ConnectPolicy, IdleOrder};
pub use connection::PooledConnection;
pub use error::{AcquireError, BuildError, ConnectError, Phase};
pub use manager::{Condition, FromFn, Manager, Metrics};
pub use observer::Observer;
pub use pool::{Pool, WeakPool};
#[cfg(feature = "smol")]
pub use runtime::SmolRuntime;
#[cfg(feature = "tokio")]
pub use runtime::TokioRuntime;
pub use runtime::{BoxFuture, Runtime, Spawner, Timer};
pub use status::{CloseReason, Closes, Statistics, Status, Timeouts};
pub use sync_pool::SyncPool;

/// What an [`Observer`] is told.
pub mod event {
    pub use crate::observer::{Acquired, Closed, ConnectFailed, Connected, TimedOut};
}
