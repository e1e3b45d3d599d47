//! What a pool may do about more work than it can do.

use std::time::Duration;

use watertight::{Builder, Manager, QueueOrder};

use crate::load::{CONNECTIONS, PATIENCE, capacity};

const TARGET: Duration = Duration::from_millis(50);
const INTERVAL: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Everybody waits for as long as the time-out lets him, which is as long as he is patient.
    None,
    /// As many may wait as can be served within twice the target. It takes somebody who knows how
    /// long connections are held.
    MaxWaiters,
    ControlledDelay,
    AdaptiveLifo,
}

impl Policy {
    pub(crate) const ALL: [Policy; 4] = [
        Policy::None,
        Policy::MaxWaiters,
        Policy::ControlledDelay,
        Policy::AdaptiveLifo,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Policy::None => "time-out only".into(),
            Policy::MaxWaiters => format!("max_waiters({})", most()),
            Policy::ControlledDelay => "controlled_delay".into(),
            Policy::AdaptiveLifo => "  with AdaptiveLifo".into(),
        }
    }

    pub(crate) fn configure<M: Manager>(self, pool: Builder<M>) -> Builder<M> {
        let pool = pool
            .max_size(CONNECTIONS as usize)
            .acquire_timeout(PATIENCE);
        match self {
            Policy::None => pool,
            Policy::MaxWaiters => pool.max_waiters(most()),
            Policy::ControlledDelay => pool.controlled_delay(TARGET, INTERVAL),
            Policy::AdaptiveLifo => pool
                .controlled_delay(TARGET, INTERVAL)
                .queue_order(QueueOrder::AdaptiveLifo),
        }
    }
}

fn most() -> usize {
    (capacity() * 2.0 * TARGET.as_secs_f64()).round() as usize
}
