//! What a pool must be able to do to take part.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// On what the pool and its users run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    Tokio,
    Smol,
}

/// How a pool is set up. All else is as the pool's authors chose it, save for checks at checkout,
/// which are off unless asked for.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub size: usize,
    /// Time-outs for all that has one: 30 seconds to wait, 5 to connect, 5 to check.
    pub timeouts: bool,
    /// A check each time that a connection is lent. It succeeds at once.
    pub checks: bool,
    /// How long it takes to connect.
    pub connect: Duration,
    /// How many connects take no time, before the others do.
    pub quick_connects: u64,
    pub host: Host,
}

impl Setup {
    /// A pool of this many trivial connections, on tokio.
    pub fn of(size: usize) -> Self {
        Self {
            size,
            timeouts: false,
            checks: false,
            connect: Duration::ZERO,
            quick_connects: 0,
            host: Host::Tokio,
        }
    }
}

/// Makes the connections, which are numbers, for every pool.
#[derive(Debug)]
pub struct Dialer {
    setup: Setup,
    made: AtomicU64,
}

impl Dialer {
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            made: AtomicU64::new(0),
        }
    }

    pub fn number(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    pub async fn dial(&self) -> u64 {
        let number = self.number();
        if !self.setup.connect.is_zero() && number >= self.setup.quick_connects {
            match self.setup.host {
                Host::Tokio => tokio::time::sleep(self.setup.connect).await,
                Host::Smol => drop(smol::Timer::after(self.setup.connect).await),
            }
        }
        number
    }
}

/// A pool of those connections, for tasks.
pub trait Subject: Clone + Send + Sync + 'static {
    type Guard: Send;

    /// Opens a pool, on the current runtime. It need not have connections yet.
    fn open(setup: Setup) -> impl Future<Output = Self> + Send;

    /// A connection, unless the pool gives up.
    fn acquire(&self) -> impl Future<Output = Option<Self::Guard>> + Send;
}

/// The same for threads.
pub trait SyncSubject: Clone + Send + Sync + 'static {
    type Guard;

    fn open(setup: Setup) -> Self;

    fn acquire(&self) -> Option<Self::Guard>;
}
