//! Does a figure grow? The median of the last third is compared with that of the first.
//!
//! Medians do not mind a spike here and there, and a steady leak moves them apart by two thirds
//! of what is lost in all. The warm-up is left out: caches fill, buffers find their size.

use std::time::Duration;

use crate::samples::{Sample, count, mib};
use crate::vitals::Vitals;

/// Fewer samples than this, after the warm-up, prove nothing.
const FEWEST: usize = 9;

/// What one child keeps open on this side: two pipes and a handle of the process.
const FDS_PER_CHILD: usize = 3;

/// Something that must not grow.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    of: fn(&Sample) -> f64,
    /// How much larger the later median may be, given the earlier one.
    allowed: fn(f64) -> f64,
    pub(crate) unit: &'static str,
}

/// All that must not grow.
///
/// How many children there are depends on the weather, and descriptors depend on the children.
/// Both are judged by what is beyond that: it must not grow at all, but a median of counts that
/// were not taken at the same instant may be off by one child. The memory may vary by what an
/// allocator fragments.
pub(crate) const FIGURES: [Figure; 4] = [
    Figure {
        name: "memory",
        of: |sample| mib(sample.vitals.rss),
        allowed: |before| 0.05 * before + 2.0,
        unit: " MiB",
    },
    Figure {
        name: "descriptors besides the children's",
        of: |sample| {
            let Vitals { fds, children, .. } = sample.vitals;
            count(fds.saturating_sub(FDS_PER_CHILD * children) as u64)
        },
        allowed: |_| count(FDS_PER_CHILD as u64),
        unit: "",
    },
    Figure {
        name: "threads",
        of: |sample| count(sample.vitals.threads as u64),
        allowed: |_| 0.0,
        unit: "",
    },
    Figure {
        name: "children besides the pool's",
        of: |sample| count(sample.vitals.children.saturating_sub(sample.places()) as u64),
        allowed: |_| 1.0,
        unit: "",
    },
];

/// How a figure developed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) before: f64,
    pub(crate) after: f64,
    pub(crate) allowed: f64,
}

impl Growth {
    /// Measures a figure; `None` if there are too few samples.
    pub(crate) fn of(figure: &Figure, samples: &[Sample], warm_up: Duration) -> Option<Growth> {
        let values: Vec<f64> = samples
            .iter()
            .filter(|sample| sample.at >= warm_up)
            .map(figure.of)
            .collect();
        if values.len() < FEWEST {
            return None;
        }
        let third = values.len() / 3;
        let before = median(&values[..third]);
        Some(Growth {
            before,
            after: median(&values[values.len() - third..]),
            allowed: (figure.allowed)(before),
        })
    }

    pub(crate) fn is_leak(&self) -> bool {
        self.after - self.before > self.allowed
    }
}

/// How long a run of that length takes to settle.
pub(crate) fn warm_up(duration: Duration) -> Duration {
    Duration::from_secs(5).max(duration / 10)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}
