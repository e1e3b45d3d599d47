//! What comes out of a scenario.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What one pool did once in one scenario. What a scenario does not measure is missing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Wall time for one acquire and release, in nanoseconds: of the whole pool, not of one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle_ns: Option<f64>,
    /// The time at which the first user was done, divided by that of the last: 1 if all were treated
    /// alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairness: Option<f64>,
    /// From the start to the end of all, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// How many acquires failed.
    #[serde(default)]
    pub failures: u64,
}

/// How long callers waited, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Waits {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub worst: f64,
    /// The wait at each of `QUANTILES`.
    pub curve: Vec<f64>,
}

/// For a picture of the distribution: from the median to one caller in 100,000.
pub const QUANTILES: [f64; 16] = [
    0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999,
    0.99995, 0.99999,
];

/// Counts waits; each user has one of its own.
#[derive(Debug)]
pub struct Stopwatch(Histogram<u64>);

impl Default for Stopwatch {
    fn default() -> Self {
        // Up to two minutes, three digits.
        Self(Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("sound bounds"))
    }
}

impl Stopwatch {
    pub fn record(&mut self, since: Instant) {
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("it grows");
    }

    pub fn waits(&self) -> Waits {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e6;
        Waits {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            worst: self.0.max() as f64 / 1e6,
            curve: QUANTILES.map(at).to_vec(),
        }
    }
}

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Nanoseconds for each of so many.
pub fn each(duration: Duration, count: u64) -> f64 {
    duration.as_secs_f64() * 1e9 / count as f64
}

/// When each user was done, the first divided by the last.
pub fn fairness(ends: &[Duration]) -> Option<f64> {
    let (first, last) = (ends.iter().min()?, ends.iter().max()?);
    Some(first.as_secs_f64() / last.as_secs_f64())
}
