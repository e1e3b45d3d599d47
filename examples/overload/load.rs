//! Who comes when, and for how long.

use std::time::Duration;

/// How many connections there are.
pub(crate) const CONNECTIONS: u32 = 8;
/// For how long each is held on average.
pub(crate) const MEAN_HOLD: Duration = Duration::from_millis(10);
/// An answer that comes later is worth nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How many clients can be served in a second, if no connection is ever idle.
pub(crate) fn capacity() -> f64 {
    f64::from(CONNECTIONS) / MEAN_HOLD.as_secs_f64()
}

/// One who comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// When, from the start.
    pub(crate) comes: Duration,
    /// For how long it holds what it gets.
    pub(crate) holds: Duration,
}

/// All who come.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) clients: Vec<Client>,
}

impl Load {
    /// A Poisson process of `factor` times the capacity; how long each holds its connection is
    /// exponentially distributed.
    pub(crate) fn drawn(factor: f64, duration: Duration, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let gap = 1.0 / (factor * capacity());
        let mut clients = Vec::new();
        let mut comes = Duration::ZERO;
        loop {
            comes += exponential(gap, &mut rng);
            if comes >= duration {
                return Load { clients };
            }
            let holds = exponential(MEAN_HOLD.as_secs_f64(), &mut rng);
            clients.push(Client { comes, holds });
        }
    }
}

fn exponential(mean: f64, rng: &mut fastrand::Rng) -> Duration {
    // From 1 down to, but not including, 0.
    let part = 1.0 - rng.f64();
    Duration::from_secs_f64(-mean * part.ln())
}
