#![cfg_attr(
    all(
        feature = "tokio",
        feature = "smol",
        feature = "test-util",
        feature = "bb8",
        feature = "deadpool",
        feature = "r2d2"
    ),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(
        feature = "tokio",
        feature = "smol",
        feature = "test-util",
        feature = "bb8",
        feature = "deadpool",
        feature = "r2d2"
    )),
    doc = "A connection pool that does not leak, does not starve a waiter, and runs on any async \
           runtime or none. With all features on, this page has the whole introduction."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod acquire;
mod adapters;
mod attempts;
mod backoff;
mod balanced;
mod bell;
mod blocking;
mod builder;
mod channel;
mod clock;
mod config;
mod connection;
mod contained;
mod error;
pub mod event;
mod filling;
mod here;
mod job;
mod keyed;
mod late;
mod lease;
mod lending;
mod loan;
mod maintenance;
mod manager;
#[cfg(feature = "metrics")]
mod metrics;
// Its examples want all of these features.
#[cfg(all(
    doc,
    any(
        not(doctest),
        all(
            feature = "tokio",
            feature = "bb8",
            feature = "deadpool",
            feature = "r2d2"
        )
    )
))]
#[cfg_attr(docsrs, doc(auto_cfg = false))]
pub mod migration;
mod observer;
mod operations;
mod overload;
mod pool;
mod primitives;
mod race;
mod retry;
mod returns;
pub mod runtime;
mod shared;
mod state;
mod status;
mod sync_pool;
mod trace;
mod waiters;
mod work;

#[cfg(feature = "bb8")]
pub use adapters::Bb8Manager;
#[cfg(feature = "r2d2")]
pub use adapters::R2d2Manager;
#[cfg(feature = "deadpool")]
pub use adapters::{DeadpoolError, DeadpoolManager};
pub use backoff::Backoff;
pub use balanced::{
    BalancePolicy, Balanced, BalancedConnection, BalancedError, EndpointFailure, EndpointStatus,
};
pub use blocking::{Blocking, BlockingConnection, BlockingManager};
pub use builder::Builder;
pub use config::{CheckPolicy, ConnectPolicy, IdleOrder, PausePolicy, QueueOrder};
pub use connection::PooledConnection;
pub use error::{AcquireError, BuildError, ConnectError, Phase};
pub use keyed::{EachKey, KeyedBuilder, KeyedPool, SyncKeyedPool};
pub use loan::Loan;
pub use manager::{Condition, FromFn, Manager, Metrics};
#[cfg(feature = "metrics")]
pub use metrics::PoolMetrics;
pub use observer::Observer;
pub use pool::{Pool, WeakPool};
#[cfg(feature = "smol")]
pub use runtime::SmolRuntime;
#[cfg(feature = "tokio")]
pub use runtime::TokioRuntime;
pub use runtime::{BoxFuture, Runtime, Spawner, Timer};
#[cfg(feature = "test-util")]
pub use runtime::{Faults, VirtualRuntime};
pub use status::{CloseReason, Closes, Rejection, Rejections, Statistics, Status, Timeouts};
pub use sync_pool::SyncPool;
