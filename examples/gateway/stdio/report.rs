//! Pools in numbers, as JSON.

use serde_json::{Map, Value, json};
use watertight::{CloseReason, Statistics, Status};

/// `None` is a pool that there is not at the moment, and that may have `max` connections once there
/// is.
pub(super) fn status_json(status: Option<&Status>, max: usize) -> Value {
    let number = |of: fn(&Status) -> usize| status.map_or(0, of);
    let flag = |of: fn(&Status) -> bool| status.is_some_and(of);
    let oldest_waiter = status.and_then(|status| status.oldest_waiter);
    json!({
        "max_size": status.map_or(max, |status| status.max_size),
        "size": number(|status| status.size),
        "idle": number(|status| status.idle),
        "in_use": number(|status| status.in_use),
        "connecting": number(|status| status.connecting),
        "checking": number(|status| status.checking),
        "recycling": number(|status| status.recycling),
        "closing": number(|status| status.closing),
        "waiting": number(|status| status.waiting),
        "oldest_waiter_seconds": oldest_waiter.map(|age| age.as_secs_f64()),
        "paused": flag(|status| status.paused),
        "closed": flag(|status| status.closed),
    })
}

pub(super) fn statistics_json(statistics: &Statistics) -> Value {
    let closes: Map<String, Value> = CloseReason::ALL
        .iter()
        .map(|&reason| (reason.to_string(), statistics.closes.get(reason).into()))
        .collect();
    json!({
        "acquires": statistics.acquires,
        "waits": statistics.waits,
        "timeouts": {
            "wait": statistics.timeouts.wait,
            "check": statistics.timeouts.check,
            "connect": statistics.timeouts.connect,
        },
        "cancellations": statistics.cancellations,
        "rejections": statistics.rejections.total(),
        "connects": statistics.connects,
        "failed_connects": statistics.failed_connects,
        "adopted": statistics.adopted,
        "closes": closes,
    })
}
