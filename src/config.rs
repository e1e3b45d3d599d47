//! The settings of a pool, and their defaults.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::error::BuildError;
use crate::overload::ControlledDelay;

/// When an idle connection is [checked](crate::Manager::check) before it is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckPolicy {
    /// Every time.
    Always,
    /// If it has been idle for longer than this. The age is coarse: a check may come late by one
    /// tick (see [`idle_timeout`](crate::Builder::idle_timeout)).
    IdleFor(Duration),
    /// Not at all.
    Never,
}

impl Default for CheckPolicy {
    /// If it has been idle for a second.
    fn default() -> Self {
        CheckPolicy::IdleFor(Duration::from_secs(1))
    }
}

/// Which of the idle connections is lent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdleOrder {
    /// The one that was given back last, so that surplus ones age and go. The default.
    #[default]
    Lifo,
    /// The one that has been idle longest, so that all are used in turn.
    Fifo,
}

/// What a failed attempt to connect means to those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectPolicy {
    /// They wait on while the pool tries again by this schedule, until their own deadlines; the
    /// time-out then carries the last error. A new caller brings the next attempt forward: it is made
    /// as soon as the schedule's first delay has passed since the last, however long the delays have
    /// become while nobody came. An error that the manager calls
    /// [permanent](crate::Manager::is_permanent) answers them at once, unless a live connection
    /// could still come back to serve them. A key of a [`KeyedPool`](crate::KeyedPool) that nobody uses is
    /// remembered until it may forget this, for twice the delay at most. The default.
    Retry(Backoff),
    /// The first in the queue gets the error at once, one for every failed attempt, unless that began before he
    /// came, and as many others are on time as wait.
    FailFast,
    /// As `Retry` while there is hope, except that a new caller never brings the next attempt
    /// forward. But once an attempt has failed and no connection is left, and no other attempt is
    /// under way that is not overdue, the server counts as *down*: all who wait get the error, and so
    /// does at once whoever comes, until the next attempt is due by this schedule. Whoever comes then
    /// has it made and waits for it; once it is [overdue](crate::Builder::connect_timeout), for another
    /// beside it, if the schedule and the limits allow one, until the first fails. A success ends it
    /// all, a failure begins the next delay. While one is under way and there is no place for another,
    /// or `connect_concurrency` allows none, whoever comes gets the error as well. A
    /// [reset](crate::Pool::reset) ends it, too.
    ///
    /// As long as some connection is left, however long it is held, callers wait for it. Those who
    /// still wait when the last one goes wait for the next attempt, unless all under way are overdue.
    /// During a [pause](crate::Pool::pause) everybody waits. A caller without patience
    /// ([`acquire_timeout`](crate::Pool::acquire_timeout) of zero) is told that he is late, with the
    /// error as the cause. In a [`KeyedPool`](crate::KeyedPool) each key has a circuit of its own,
    /// which is remembered for twice the delay when nobody uses the key.
    ///
    /// Set it where callers have something else to turn to, or should not pile up during an outage.
    /// With `min_idle` the pool finds out by itself that the server is back; without, it is the
    /// first caller after at most the schedule's cap. The pattern is the circuit breaker of Michael
    /// Nygard ("Release It!", 2007).
    CircuitBreaker(Backoff),
}

impl ConnectPolicy {
    pub(crate) fn breaks_circuits(&self) -> bool {
        matches!(self, ConnectPolicy::CircuitBreaker(_))
    }
}

impl Default for ConnectPolicy {
    fn default() -> Self {
        ConnectPolicy::Retry(Backoff::default())
    }
}

/// In which order those who wait are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueOrder {
    /// First come, first served. The default.
    #[default]
    Fifo,
    /// As long as the pool is overloaded by the rule of
    /// [`controlled_delay`](crate::Builder::controlled_delay), the last to come is served first: the
    /// others are the likelier to be given up on by whoever asked. First come, first served
    /// otherwise, and always if no delay is controlled.
    AdaptiveLifo,
}

/// What a [pause](crate::Pool::pause) means to those who want a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PausePolicy {
    /// They wait until it is over, up to their own deadlines, which go on running. The default.
    #[default]
    Wait,
    /// They are told at once: [`AcquireError::Paused`](crate::AcquireError::Paused). Those who
    /// waited before it began wait on.
    FailFast,
}

/// Everything that can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) max_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_idle: Option<usize>,
    pub(crate) max_waiters: Option<usize>,
    pub(crate) controlled_delay: Option<ControlledDelay>,
    pub(crate) queue_order: QueueOrder,
    pub(crate) connect_concurrency: Option<usize>,
    pub(crate) return_queue: Option<usize>,
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) check_timeout: Option<Duration>,
    pub(crate) recycle_timeout: Option<Duration>,
    pub(crate) close_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) keepalive_concurrency: usize,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) lifetime_jitter: f64,
    pub(crate) max_uses: Option<u64>,
    pub(crate) check_policy: CheckPolicy,
    pub(crate) idle_order: IdleOrder,
    pub(crate) connect_policy: ConnectPolicy,
    pub(crate) pause_policy: PausePolicy,
    pub(crate) reset_on_failed_check: bool,
    pub(crate) leak_threshold: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_size: 10,
            min_idle: 0,
            max_idle: None,
            max_waiters: None,
            controlled_delay: None,
            queue_order: QueueOrder::default(),
            connect_concurrency: None,
            return_queue: None,
            acquire_timeout: Some(Duration::from_secs(30)),
            connect_timeout: Some(Duration::from_secs(10)),
            check_timeout: Some(Duration::from_secs(5)),
            recycle_timeout: Some(Duration::from_secs(5)),
            close_timeout: Some(Duration::from_secs(5)),
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            keepalive: None,
            keepalive_concurrency: 4,
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            lifetime_jitter: 0.1,
            max_uses: None,
            check_policy: CheckPolicy::default(),
            idle_order: IdleOrder::default(),
            connect_policy: ConnectPolicy::default(),
            pause_policy: PausePolicy::default(),
            reset_on_failed_check: false,
            leak_threshold: None,
        }
    }
}

impl Config {
    /// Finds the first setting that makes no sense. Takes the struct apart, so that no option can
    /// be forgotten.
    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        let Config {
            max_size,
            min_idle,
            max_idle,
            max_waiters: _,
            controlled_delay,
            queue_order: _,
            connect_concurrency,
            return_queue,
            acquire_timeout,
            connect_timeout,
            check_timeout,
            recycle_timeout,
            close_timeout,
            idle_timeout,
            keepalive,
            keepalive_concurrency,
            max_lifetime,
            lifetime_jitter,
            max_uses,
            check_policy: _,
            idle_order: _,
            connect_policy,
            pause_policy: _,
            reset_on_failed_check: _,
            leak_threshold,
        } = *self;
        if max_size == 0 {
            return Err(BuildError::ZeroMaxSize);
        }
        if min_idle > max_size {
            return Err(BuildError::MinIdleAboveMaxSize { min_idle, max_size });
        }
        if let Some(max_idle) = max_idle.filter(|&max_idle| min_idle > max_idle) {
            return Err(BuildError::MinIdleAboveMaxIdle { min_idle, max_idle });
        }
        for (option, duration) in [
            ("acquire_timeout", acquire_timeout),
            ("connect_timeout", connect_timeout),
            ("check_timeout", check_timeout),
            ("recycle_timeout", recycle_timeout),
            ("close_timeout", close_timeout),
            ("idle_timeout", idle_timeout),
            ("keepalive", keepalive),
            (
                "controlled_delay",
                controlled_delay.map(|rule| rule.shorter()),
            ),
            ("max_lifetime", max_lifetime),
            ("leak_threshold", leak_threshold),
        ] {
            if duration == Some(Duration::ZERO) {
                return Err(BuildError::Zero { option });
            }
        }
        for (option, zero) in [
            ("connect_concurrency", connect_concurrency == Some(0)),
            ("return_queue", return_queue == Some(0)),
            ("max_uses", max_uses == Some(0)),
            ("keepalive_concurrency", keepalive_concurrency == 0),
        ] {
            if zero {
                return Err(BuildError::Zero { option });
            }
        }
        if !(0.0..1.0).contains(&lifetime_jitter) {
            return Err(BuildError::LifetimeJitter);
        }
        match connect_policy {
            ConnectPolicy::Retry(backoff) | ConnectPolicy::CircuitBreaker(backoff)
                if !backoff.is_valid() =>
            {
                Err(BuildError::Backoff)
            }
            _ => Ok(()),
        }
    }

    /// The schedule of the attempts that nobody gets the error of.
    pub(crate) fn backoff(&self) -> Backoff {
        match self.connect_policy {
            ConnectPolicy::Retry(backoff) | ConnectPolicy::CircuitBreaker(backoff) => backoff,
            ConnectPolicy::FailFast => Backoff::default(),
        }
    }

    /// Room in the queue of returned connections. Without a limit, there are never more in it than
    /// there are places.
    pub(crate) fn return_room(&self) -> usize {
        self.return_queue.unwrap_or(usize::MAX)
    }

    /// How coarse the ages of idle connections are: a tenth of the shortest age that matters, a
    /// second at most.
    pub(crate) fn tick(&self) -> Tick {
        const LONGEST: Duration = Duration::from_secs(1);
        const SHORTEST: Duration = Duration::from_millis(1);
        let check_age = match self.check_policy {
            CheckPolicy::IdleFor(age) => Some(age),
            CheckPolicy::Always | CheckPolicy::Never => None,
        };
        let ages = [
            self.idle_timeout,
            self.keepalive,
            self.max_lifetime,
            check_age,
        ];
        let shortest = ages.into_iter().flatten().min();
        match shortest.map_or(LONGEST, |age| LONGEST.min(age / 10)) {
            tick if tick < SHORTEST => Tick::Exact,
            tick => Tick::Every(tick),
        }
    }

    /// Draws how long a new connection may live.
    pub(crate) fn draw_lifetime(&self, rng: &mut fastrand::Rng) -> Option<Duration> {
        let lifetime = self.max_lifetime?;
        let cut = self.lifetime_jitter * rng.f64();
        Some(lifetime.saturating_sub(lifetime.mul_f64(cut)))
    }
}

/// How the pool keeps time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// An age is so short that every use reads the clock.
    Exact,
    /// While there is traffic, somebody reads the clock this often.
    Every(Duration),
}

#[cfg(test)]
mod tests;
