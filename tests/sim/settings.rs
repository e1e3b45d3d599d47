//! The settings of the pool in a run.

use std::time::Duration;

use watertight::{
    Backoff, Builder, CheckPolicy, ConnectPolicy, IdleOrder, Manager, PausePolicy, QueueOrder,
};

use crate::draw::Draw;
use crate::plan::{Ms, ms};
use crate::watcher::Temper;

/// The pool's settings, but those that never matter here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) max_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_idle: Option<usize>,
    pub(crate) connect_concurrency: Option<usize>,
    return_queue: Option<usize>,
    /// Of every call of the manager's.
    pub(crate) limit: Option<Ms>,
    pub(crate) idle_timeout: Option<Ms>,
    pub(crate) max_lifetime: Option<Ms>,
    jitter: bool,
    pub(crate) max_uses: Option<u64>,
    pub(crate) check_policy: CheckPolicy,
    pub(crate) idle_order: IdleOrder,
    pub(crate) observer: Option<Temper>,
    pub(crate) fail_fast: bool,
    /// How long a user waits who does not say how long.
    pub(crate) acquire_timeout: Ms,
    pub(crate) pause_policy: PausePolicy,
    pub(crate) max_waiters: Option<usize>,
    /// Target and interval.
    pub(crate) controlled_delay: Option<(Ms, Ms)>,
    pub(crate) queue_order: QueueOrder,
    pub(crate) keepalive: Option<Ms>,
    pub(crate) keepalive_concurrency: usize,
    pub(crate) reset_on_failed_check: bool,
}

/// The schedule of attempts to connect while they fail.
const FIRST_DELAY: Duration = ms(5);
const LONGEST_DELAY: Duration = ms(60);

/// No call of the manager's takes longer where there is no limit.
const NO_LIMIT: Ms = 2_000;

/// By how much the lifetimes of connections differ, where they do.
const JITTER: f64 = 0.3;

impl Settings {
    pub(crate) fn draw(draw: &mut Draw<'_>) -> Self {
        let max_size = draw.within(1..=4);
        let min_idle = draw.one_of(&[0, 0, 1, 2]).min(max_size);
        let mut settings = Settings {
            max_size,
            min_idle,
            max_idle: draw.one_of(&[None, None, None, Some(min_idle), Some(max_size)]),
            connect_concurrency: draw.one_of(&[None, None, Some(1), Some(2)]),
            return_queue: draw.one_of(&[None, None, Some(1)]),
            limit: draw.one_of(&[Some(40), Some(20), Some(100), Some(100), Some(1500), None]),
            idle_timeout: draw.one_of(&[None, None, Some(30), Some(200)]),
            max_lifetime: draw.one_of(&[None, None, Some(25), Some(150)]),
            jitter: draw.percent(50),
            max_uses: draw.one_of(&[None, None, None, Some(1), Some(3)]),
            check_policy: draw.one_of(&[
                CheckPolicy::Never,
                CheckPolicy::Always,
                CheckPolicy::IdleFor(ms(20)),
            ]),
            idle_order: draw.one_of(&[IdleOrder::Lifo, IdleOrder::Fifo]),
            observer: draw.one_of(&[None, None, Some(Temper::Calm), Some(Temper::Panics)]),
            fail_fast: draw.percent(25),
            acquire_timeout: 0,
            pause_policy: PausePolicy::Wait,
            max_waiters: None,
            controlled_delay: None,
            queue_order: QueueOrder::Fifo,
            keepalive: None,
            keepalive_concurrency: 4,
            reset_on_failed_check: false,
        };
        settings.acquire_timeout = 4 * settings.limit.unwrap_or(NO_LIMIT);
        settings
    }

    /// The settings that are drawn last, so that what is drawn before is what it has always been.
    pub(crate) fn draw_more(&mut self, draw: &mut Draw<'_>, tasks_are_lost: bool) {
        self.pause_policy = draw.one_of(&[PausePolicy::Wait, PausePolicy::FailFast]);
        self.max_waiters = draw.one_of(&[None, None, None, Some(0), Some(1), Some(2)]);
        let delays = [
            None,
            None,
            None,
            Some((5, 20)),
            Some((3, 8)),
            Some((20, 60)),
        ];
        self.controlled_delay = draw.one_of(&delays);
        let order = draw.one_of(&[QueueOrder::Fifo, QueueOrder::AdaptiveLifo]);
        // Who is served is seen by who is woken, and lost tasks wake others as well.
        if !tasks_are_lost {
            self.queue_order = order;
        }
        self.keepalive = draw.one_of(&[None, None, Some(15), Some(50)]);
        self.keepalive_concurrency = draw.one_of(&[4, 1, 2]);
        self.reset_on_failed_check = draw.percent(25);
    }

    /// No call of the manager's takes longer.
    pub(crate) fn longest_call(&self) -> Duration {
        ms(self.limit.unwrap_or(NO_LIMIT))
    }

    /// How long a user waits who does not say how long.
    pub(crate) fn patience(&self) -> Duration {
        ms(self.acquire_timeout)
    }

    /// No connection is too old before this, with that lifetime.
    pub(crate) fn shortest_of(max_lifetime: Ms) -> Duration {
        let shortest = ms(max_lifetime).mul_f64(1.0 - JITTER);
        // A moment less, for what is exactly that old is too old.
        shortest.saturating_sub(Duration::from_nanos(1))
    }

    /// The shortest time between two attempts to connect, while they fail.
    pub(crate) fn first_delay(&self) -> Duration {
        match self.fail_fast {
            true => Backoff::default().first(),
            false => FIRST_DELAY,
        }
    }

    /// How long a schedule may put the next attempt to connect off that nobody waits for.
    pub(crate) fn longest_delay(&self) -> Duration {
        match self.fail_fast {
            true => Backoff::default().cap(),
            false => LONGEST_DELAY,
        }
    }

    /// How coarse the pool's time may be.
    pub(crate) fn tick(&self) -> Duration {
        let age = match self.check_policy {
            CheckPolicy::IdleFor(age) => Some(age),
            _ => None,
        };
        let others = [self.idle_timeout, self.keepalive, self.max_lifetime];
        let ages = others.map(|age| age.map(ms)).into_iter().chain([age]);
        let shortest = ages.flatten().min();
        shortest.map_or(ms(1000), |age| (age / 10).min(ms(1000)))
    }

    pub(crate) fn apply<M: Manager>(&self, builder: Builder<M>) -> Builder<M> {
        let backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        let limit = self.limit.map(ms);
        let builder = match self.controlled_delay {
            Some((target, interval)) => builder.controlled_delay(ms(target), ms(interval)),
            None => builder,
        };
        builder
            .max_size(self.max_size)
            .min_idle(self.min_idle)
            .max_idle(self.max_idle)
            .connect_concurrency(self.connect_concurrency)
            .return_queue(self.return_queue)
            .acquire_timeout(self.patience())
            .connect_timeout(limit)
            .check_timeout(limit)
            .recycle_timeout(limit)
            .close_timeout(limit)
            .idle_timeout(self.idle_timeout.map(ms))
            .max_lifetime(self.max_lifetime.map(ms))
            .lifetime_jitter(if self.jitter { JITTER } else { 0.0 })
            .max_uses(self.max_uses)
            .check_policy(self.check_policy)
            .idle_order(self.idle_order)
            .pause_policy(self.pause_policy)
            .max_waiters(self.max_waiters)
            .queue_order(self.queue_order)
            .keepalive(self.keepalive.map(ms))
            .keepalive_concurrency(self.keepalive_concurrency)
            .reset_on_failed_check(self.reset_on_failed_check)
            .connect_policy(match self.fail_fast {
                true => ConnectPolicy::FailFast,
                false => ConnectPolicy::Retry(backoff),
            })
    }
}
