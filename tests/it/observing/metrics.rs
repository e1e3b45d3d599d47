//! A pool as metrics.

use std::collections::BTreeMap;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use watertight::{
    Backoff, Builder, CheckPolicy, ConnectPolicy, FromFn, Manager, Metrics, Pool, PoolMetrics,
    PooledConnection, VirtualRuntime,
};

use crate::support::Mortal;

type Connect = fn() -> std::future::Ready<Result<u32, &'static str>>;

fn made() -> std::future::Ready<Result<u32, &'static str>> {
    std::future::ready(Ok(1))
}

fn refused() -> std::future::Ready<Result<u32, &'static str>> {
    std::future::ready(Err("password hunter2 is wrong"))
}

/// A pool whose metrics go to the recorder that is set for this thread.
fn builder(name: &str, runtime: &VirtualRuntime, connect: Connect) -> Builder<FromFn<Connect>> {
    Pool::from_fn(connect)
        .runtime(runtime.clone())
        .observer(PoolMetrics::new(name))
        .check_policy(CheckPolicy::Never)
}

/// What an exporter shows: each series by its name and what it was recorded for.
struct Seen(BTreeMap<String, String>);

impl Seen {
    fn at(exporter: &PrometheusHandle) -> Self {
        let text = exporter.render();
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let series = series.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.trim_end_matches('}').split_once('{')?;
            let labels = labels.split('"').skip(1).step_by(2);
            let series: Vec<_> = iter::once(name).chain(labels).collect();
            Some((series.join(" "), value.to_owned()))
        });
        Seen(series.collect())
    }

    /// One of the conventions' metrics.
    fn of_connections(&self, name: &str) -> &str {
        self.get(&format!("db_client_connection_{name}"))
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("nothing", String::as_str)
    }
}

#[test]
fn pools_of_one_name_have_their_metrics_in_common() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    with_local_recorder(&recorder, || {
        let runtime = Mortal::new();
        let pools = [(3, 2), (5, 4)].map(|(max_size, max_idle)| {
            let pool = builder("db", &runtime, made).max_size(max_size);
            pool.max_idle(max_idle).build().unwrap()
        });
        for pool in &pools {
            drop(runtime.block_on(pool.acquire()).unwrap());
        }
        let _held = runtime.block_on(pools[0].acquire()).unwrap();
        let seen = Seen::at(&exporter);
        assert_eq!(seen.of_connections("count db used"), "1");
        assert_eq!(seen.of_connections("count db idle"), "1");
        assert_eq!(seen.of_connections("create_time_count db"), "2");
        assert_eq!(seen.of_connections("max db"), "5", "the last one's");
        assert_eq!(seen.of_connections("idle_max db"), "4");
        pools[0].resize(1);
        assert_eq!(Seen::at(&exporter).of_connections("max db"), "1");
    });
}

/// Its first connection is not fit any more when it is checked.
struct Moody;

impl Manager for Moody {
    type Connection = ();
    type Error = &'static str;

    async fn connect(&self) -> Result<(), &'static str> {
        Ok(())
    }

    async fn check(&self, (): &mut (), metrics: &Metrics) -> Result<(), &'static str> {
        match metrics.id() {
            0 => Err("moody"),
            _ => Ok(()),
        }
    }
}

#[test]
fn checks_that_fail_are_counted_and_those_that_do_not_are_not() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    with_local_recorder(&recorder, || {
        let runtime = Mortal::new();
        let pool = Pool::builder(Moody)
            .runtime(runtime.clone())
            .observer(PoolMetrics::new("db"))
            .check_policy(CheckPolicy::Always);
        let pool = pool.build().unwrap();
        for _ in 0..4 {
            drop(runtime.block_on(pool.acquire()).unwrap());
        }
        let failures = "watertight_connection_check_failures db";
        assert_eq!(Seen::at(&exporter).get(failures), "1");
        let text = exporter.render();
        let told = text.lines().filter(|line| line.starts_with("# HELP"));
        let told: Vec<_> = told.collect();
        let checks = "# HELP watertight_connection_check_failures Checks that failed.";
        assert!(told.contains(&checks), "{told:?}");
        assert!(told.len() > 10, "{told:?}");
    });
}

/// What the pool keeps, and not what it was told when it was larger.
#[test]
fn idle_ones_that_are_kept_are_recorded_as_no_more_than_there_may_be() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    with_local_recorder(&recorder, || {
        let runtime = Mortal::new();
        let pool = builder("db", &runtime, made).max_size(3).min_idle(2);
        let pool = pool.build().unwrap();
        assert_eq!(Seen::at(&exporter).of_connections("idle_min db"), "2");
        pool.resize(1);
        let seen = Seen::at(&exporter);
        assert_eq!(seen.of_connections("idle_min db"), "1");
        assert_eq!(seen.of_connections("idle_max db"), "1");
        drop(pool);
    });
}

#[test]
fn pool_is_recorded_by_the_names_of_the_conventions() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    with_local_recorder(&recorder, || {
        let runtime = Mortal::new();
        let pool = builder("db", &runtime, made)
            .max_size(3)
            .max_idle(2)
            .build();
        let pool = pool.unwrap();
        runtime.block_on(async {
            let held = pool.acquire().await.unwrap();
            let other = pool.acquire().await.unwrap();
            drop(other);
            let seen = Seen::at(&exporter);
            assert_eq!(seen.of_connections("count db used"), "1");
            assert_eq!(seen.of_connections("count db idle"), "1");
            assert_eq!(seen.of_connections("max db"), "3");
            assert_eq!(seen.of_connections("idle_min db"), "0");
            assert_eq!(seen.of_connections("idle_max db"), "2");
            assert_eq!(seen.of_connections("pending_requests db"), "0");
            assert_eq!(seen.of_connections("timeouts db"), "0");
            assert_eq!(seen.of_connections("create_time_count db"), "2");
            assert_eq!(seen.of_connections("wait_time_count db"), "2");
            assert_eq!(seen.of_connections("use_time_count db"), "1");
            assert_eq!(seen.of_connections("use_time_sum db"), "0");

            pool.resize(1);
            let release = async {
                runtime.sleep(Duration::from_secs(2)).await;
                let seen = Seen::at(&exporter);
                assert_eq!(seen.of_connections("max db"), "1");
                assert_eq!(seen.of_connections("idle_max db"), "1");
                assert_eq!(seen.of_connections("pending_requests db"), "1");
                drop(held);
            };
            let (conn, ()) = futures_lite::future::zip(pool.acquire(), release).await;
            let seen = Seen::at(&exporter);
            assert_eq!(seen.of_connections("pending_requests db"), "0");
            assert_eq!(seen.of_connections("wait_time_sum db"), "2");
            assert_eq!(seen.of_connections("wait_time_count db"), "3");
            assert_eq!(seen.of_connections("use_time_sum db"), "2");

            assert!(pool.acquire_timeout(Duration::from_secs(1)).await.is_err());
            PooledConnection::discard(conn.unwrap());
            _ = PooledConnection::detach(pool.acquire().await.unwrap());
            pool.close().await;
            let seen = Seen::at(&exporter);
            // From the end of its wait on.
            assert_eq!(seen.of_connections("use_time_sum db"), "3");
            assert_eq!(seen.of_connections("use_time_count db"), "4");
            assert_eq!(seen.of_connections("timeouts db"), "1");
            assert_eq!(seen.of_connections("count db used"), "0");
            assert_eq!(seen.of_connections("count db idle"), "0");
            assert_eq!(seen.of_connections("pending_requests db"), "0");
            let closes = |why| seen.get(&format!("watertight_connection_closes db {why}"));
            assert_eq!(closes("resize"), "1");
            assert_eq!(closes("discarded"), "1");
            assert_eq!(closes("detached"), "1");
            assert_eq!(closes("idle"), "0");
        });
    });
}

#[test]
fn failures_are_counted_by_kind_and_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    with_local_recorder(&recorder, || {
        let runtime = Mortal::new();
        let schedule = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        let pool = builder("db", &runtime, refused)
            .connect_policy(ConnectPolicy::CircuitBreaker(schedule))
            .leak_threshold(Duration::from_secs(1))
            .build()
            .unwrap();
        runtime.block_on(async {
            assert!(pool.acquire().await.is_err());
            assert!(pool.acquire().await.is_err());
            pool.adopt(7).unwrap();
            let held = pool.acquire().await.unwrap();
            runtime.sleep(Duration::from_secs(2)).await;
            drop(held);
            pool.close().await;
        });
    });
    let seen = Seen::at(&exporter);
    let get = |name| seen.get(&format!("watertight_{name}"));
    assert_eq!(get("connection_create_failures db failed"), "1");
    assert_eq!(get("connection_create_failures db panicked"), "0");
    assert_eq!(get("rejections db circuit_broken"), "1");
    assert_eq!(get("leaks db"), "1");
    assert_eq!(get("connection_check_failures db"), "0");
    assert_eq!(seen.of_connections("count db idle"), "0");
}

#[test]
fn pools_with_different_names_share_a_recorder() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    with_local_recorder(&recorder, || {
        let runtime = Mortal::new();
        let pools = ["a", "b"].map(|name| builder(name, &runtime, made).build().unwrap());
        runtime.block_on(async {
            let held = pools[0].acquire().await.unwrap();
            let seen = Seen::at(&exporter);
            let used = |pool| seen.of_connections(&format!("count {pool} used"));
            assert_eq!(used("a"), "1");
            assert_eq!(used("b"), "0");
            drop(held);
            for pool in pools {
                pool.close().await;
            }
        });
    });
}

/// Lets the exporter's clock, which is a real one, run for longer than it remembers.
fn outlast(exporter: &PrometheusHandle, touch: &[&PoolMetrics]) -> String {
    for _ in 0..6 {
        std::thread::sleep(FORGETS_AFTER / 3);
        touch.iter().for_each(|metrics| metrics.touch());
        exporter.render();
    }
    exporter.render()
}

const FORGETS_AFTER: Duration = Duration::from_millis(300);

/// An exporter that forgets what nobody touches forgets the pools that are closed, and no other.
#[test]
fn series_of_a_closed_pool_disappear() {
    let exporter = PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::ALL, Some(FORGETS_AFTER))
        .build_recorder();
    let handle = exporter.handle();
    with_local_recorder(&exporter, || {
        let runtime = Mortal::new();
        let [alive, gone] = ["alive", "gone"].map(PoolMetrics::new);
        let pool = |metrics: &PoolMetrics| {
            let pool = Pool::from_fn(made as Connect).runtime(runtime.clone());
            pool.observer(metrics.clone()).build().unwrap()
        };
        let (staying, closing) = (pool(&alive), pool(&gone));
        runtime.block_on(async {
            let held = staying.acquire().await.unwrap();
            drop(closing.acquire().await.unwrap());
            closing.close().await;
            let text = handle.render();
            assert!(text.contains("pool_name=\"gone\""), "{text}");
            let text = outlast(&handle, &[&alive, &gone]);
            assert!(text.contains("pool_name=\"gone\""), "{text}");
            let text = outlast(&handle, &[&alive]);
            assert!(!text.contains("gone"), "{text}");
            let used = r#"count{db_client_connection_pool_name="alive",db_client_connection_state="used"} 1"#;
            assert!(text.contains(used), "{text}");
            // Its histograms have begun anew.
            drop(held);
            let text = handle.render();
            let uses = r#"use_time_count{db_client_connection_pool_name="alive"} 1"#;
            assert!(text.contains(uses), "{text}");
            staying.close().await;
        });
    });
}

/// A recorder whose histograms call the pool's metrics back: whenever something is recorded, and when the
/// first of them is dropped.
#[derive(Clone, Default)]
struct Touching {
    metrics: Arc<OnceLock<PoolMetrics>>,
    dropped: Arc<AtomicBool>,
}

struct Touches(Touching);

impl HistogramFn for Touches {
    fn record(&self, _: f64) {
        self.0.metrics.get().unwrap().touch();
    }
}

impl Drop for Touches {
    fn drop(&mut self) {
        if !self.0.dropped.swap(true, Ordering::Relaxed) {
            self.0.metrics.get().unwrap().touch();
        }
    }
}

impl Recorder for Touching {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Touches(self.clone())))
    }
}

/// The recorder is foreign code, which no lock may be held for.
#[test]
fn recorder_may_touch_the_metrics_while_it_records() {
    let (done, end) = channel();
    thread::spawn(move || {
        let recorder = Touching::default();
        with_local_recorder(&recorder, || {
            let metrics = PoolMetrics::new("db");
            _ = recorder.metrics.set(metrics.clone());
            let runtime = Mortal::new();
            let pool = Pool::from_fn(made as Connect).runtime(runtime.clone());
            let pool = pool.observer(metrics).build().unwrap();
            runtime.block_on(async {
                drop(pool.acquire().await.unwrap());
                drop(pool.acquire().await.unwrap());
                pool.close().await;
            });
        });
        done.send(recorder.dropped.load(Ordering::Relaxed)).unwrap();
    });
    let end = end.recv_timeout(Duration::from_secs(60));
    assert!(end.expect("the recorder waits for itself"));
}
