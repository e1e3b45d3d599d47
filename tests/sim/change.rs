//! Settings that change while the pool runs.

use watertight::{BuildError, Manager, Pool};

use crate::draw::Draw;
use crate::plan::{Ms, ms};
use crate::settings::Settings;

/// What a user sets. Some of it makes no sense.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    AcquireTimeout(Ms),
    /// Of every call of the manager's. There always is one, for what hangs under it would hang for
    /// ever without.
    Limit(Ms),
    IdleTimeout(Option<Ms>),
    Keepalive(Option<Ms>),
    MaxLifetime(Option<Ms>),
    MinIdle(usize),
    MaxIdle(Option<usize>),
    MaxWaiters(Option<usize>),
}

impl Change {
    pub(crate) fn draw(draw: &mut Draw<'_>) -> Self {
        match draw.below(8) {
            0 => Change::MinIdle(draw.within(0..=3)),
            1 => Change::MaxIdle(draw.one_of(&[None, Some(1), Some(2)])),
            2 => Change::MaxWaiters(draw.one_of(&[None, Some(0), Some(1)])),
            3 => Change::Keepalive(draw.one_of(&[None, Some(10), Some(30), Some(0)])),
            4 => Change::IdleTimeout(draw.one_of(&[None, Some(30), Some(200), Some(0)])),
            5 => Change::MaxLifetime(draw.one_of(&[None, Some(25), Some(150), Some(0)])),
            6 => Change::Limit(draw.one_of(&[20, 100, 0])),
            _ => Change::AcquireTimeout(draw.one_of(&[10, 80, 1000, 0])),
        }
    }

    /// The settings afterwards; `None` if it makes no sense.
    pub(crate) fn of(self, mut settings: Settings) -> Option<Settings> {
        let time = match self {
            Change::AcquireTimeout(time) | Change::Limit(time) => Some(time),
            Change::IdleTimeout(time) | Change::Keepalive(time) | Change::MaxLifetime(time) => time,
            _ => None,
        };
        match self {
            Change::AcquireTimeout(time) => settings.acquire_timeout = time,
            Change::Limit(time) => settings.limit = Some(time),
            Change::IdleTimeout(time) => settings.idle_timeout = time,
            Change::Keepalive(time) => settings.keepalive = time,
            Change::MaxLifetime(time) => settings.max_lifetime = time,
            Change::MinIdle(most) => settings.min_idle = most,
            Change::MaxIdle(most) => settings.max_idle = most,
            Change::MaxWaiters(most) => settings.max_waiters = most,
        }
        let room = settings.max_idle.unwrap_or(usize::MAX);
        (time != Some(0) && settings.min_idle <= room).then_some(settings)
    }

    pub(crate) fn apply<M: Manager>(self, pool: &Pool<M>) -> Result<(), BuildError> {
        match self {
            Change::AcquireTimeout(time) => pool.set_acquire_timeout(ms(time)),
            Change::Limit(time) => {
                pool.set_connect_timeout(ms(time))?;
                pool.set_check_timeout(ms(time))?;
                pool.set_recycle_timeout(ms(time))?;
                pool.set_close_timeout(ms(time))
            }
            Change::IdleTimeout(time) => pool.set_idle_timeout(time.map(ms)),
            Change::Keepalive(time) => pool.set_keepalive(time.map(ms)),
            Change::MaxLifetime(time) => pool.set_max_lifetime(time.map(ms)),
            Change::MinIdle(most) => pool.set_min_idle(most),
            Change::MaxIdle(most) => pool.set_max_idle(most),
            Change::MaxWaiters(most) => pool.set_max_waiters(most),
        }
    }
}
