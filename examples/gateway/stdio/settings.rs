//! How servers are run, wherever that was said.

use std::time::Duration;

use watertight::{Backoff, Builder, ConnectPolicy, Manager};

use super::process::CommandLine;

/// Neither of them is a wait that anybody wants, and the end of a longer one may not be a time at all.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A number and a unit, which must be a sensible time to wait. The error is for the user to read.
pub(crate) fn parse_wait(text: &str) -> Result<Duration, String> {
    let wait = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (SHORTEST_WAIT..=LONGEST_WAIT).contains(&wait) {
        return Ok(wait);
    }
    let [shortest, longest] = [SHORTEST_WAIT, LONGEST_WAIT].map(humantime::format_duration);
    Err(format!(
        "it must be at least {shortest} and at most {longest}"
    ))
}

/// One server: what a client finds under one name.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) command: CommandLine,
    /// How long it may take to answer.
    pub(crate) request_timeout: Duration,
    pub(crate) pool: PoolSettings,
}

/// The pool of a server's processes. What is `None` is as the pool has it by default.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PoolSettings {
    pub(crate) max: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_waiters: Option<usize>,
    pub(crate) acquire_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_uses: Option<u64>,
    pub(crate) circuit_breaker: bool,
}

impl PoolSettings {
    pub(crate) fn apply<M: Manager, P>(&self, builder: Builder<M, P>) -> Builder<M, P> {
        let mut builder = builder
            .max_size(self.max)
            .min_idle(self.min_idle)
            .max_waiters(self.max_waiters)
            .acquire_timeout(self.acquire_timeout)
            .connect_timeout(self.connect_timeout)
            .idle_timeout(self.idle_timeout)
            .keepalive(self.keepalive)
            .max_uses(self.max_uses);
        if let Some(lifetime) = self.max_lifetime {
            builder = builder.max_lifetime(lifetime);
        }
        if self.circuit_breaker {
            builder = builder.connect_policy(ConnectPolicy::CircuitBreaker(Backoff::default()));
        }
        builder
    }
}

/// All that a gateway serves.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) servers: Vec<(String, Settings)>,
    /// If there is a limit to the processes of all servers together. Then they have the settings of
    /// their pools in common as well.
    pub(crate) shared: Option<Shared>,
}

#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) max_processes: usize,
    pub(crate) pool: PoolSettings,
}
