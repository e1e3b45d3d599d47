//! What the pools do, as text for Prometheus.

use std::error::Error;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds. From a pool that has something idle to a queue that is about to give up.
const BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// How often what was measured is summed up, whether or not anybody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// Has metrics recorded from now on, and returns how they come out again. To be called in the
/// runtime.
pub(crate) fn install() -> Result<PrometheusHandle, Box<dyn Error>> {
    let mut builder = PrometheusBuilder::new();
    for times in ["create_time", "wait_time", "use_time"] {
        let times = Matcher::Suffix(times.into());
        builder = builder.set_buckets_for_metric(times, &BUCKETS)?;
    }
    let exporter = builder.install_recorder()?;
    let kept = exporter.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            kept.run_upkeep();
        }
    });
    Ok(exporter)
}
