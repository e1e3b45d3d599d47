//! What a pool does as metrics, for the recorder of the crate `metrics`.

use std::fmt;
use std::mem;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use crate::event::{
    Acquired, Adopted, Checked, Closed, Configured, ConnectFailed, Connected, Rejected, Returned,
    TimedOut, WaitEnded,
};
use crate::loan::Loan;
use crate::observer::Observer;
use crate::primitives::{Arc, Mutex, OnceLock};
use crate::status::{CloseReason, Rejection};

const POOL_NAME: &str = "db.client.connection.pool.name";
const STATE: &str = "db.client.connection.state";

const COUNT: &str = "db.client.connection.count";
const MAX: &str = "db.client.connection.max";
const IDLE_MIN: &str = "db.client.connection.idle.min";
const IDLE_MAX: &str = "db.client.connection.idle.max";
const PENDING: &str = "db.client.connection.pending_requests";
const TIMEOUTS: &str = "db.client.connection.timeouts";
const CREATE_TIME: &str = "db.client.connection.create_time";
const WAIT_TIME: &str = "db.client.connection.wait_time";
const USE_TIME: &str = "db.client.connection.use_time";

const CLOSES: &str = "watertight.connection.closes";
const CONNECT_FAILURES: &str = "watertight.connection.create_failures";
const CHECK_FAILURES: &str = "watertight.connection.check_failures";
const REJECTIONS: &str = "watertight.rejections";
const LEAKS: &str = "watertight.leaks";

/// An [`Observer`] that records what a pool does with the recorder of the crate [`metrics`]: by the
/// names of OpenTelemetry's [conventions for connection pools][otel] where there are some.
///
/// | metric | kind | labels besides the pool's name |
/// |---|---|---|
/// | `db.client.connection.count` | gauge | `db.client.connection.state`: `idle` or `used` |
/// | `db.client.connection.max`, `.idle.min`, `.idle.max` | gauges | |
/// | `db.client.connection.pending_requests` | gauge | |
/// | `db.client.connection.timeouts` | counter | |
/// | `db.client.connection.create_time`, `.wait_time`, `.use_time` | histograms, in seconds | |
/// | `watertight.connection.closes` | counter | `reason`: that of [`CloseReason`], as `check_failed` |
/// | `watertight.connection.create_failures` | counter | `kind`: `failed`, `timed_out` or `panicked` |
/// | `watertight.connection.check_failures` | counter | |
/// | `watertight.rejections` | counter | `reason`: that of [`Rejection`], as `queue_full` |
/// | `watertight.leaks` | counter | |
///
/// Every one of them has the label `db.client.connection.pool.name`, so that pools with different
/// names share a recorder. Pools of one name have their metrics in common: what is counted adds up, the
/// `.count` and the `.pending_requests` among that, but `.max`, `.idle.min` and `.idle.max` are those of
/// the pool that was built or changed last. Connections that are being checked, recycled or closed, or that are on
/// their way to a caller who has not been polled yet, count as idle. A caller that need not wait waits
/// for zero seconds. A pool without a limit to its idle ones reports its `max_size` as `.idle.max`.
///
/// Nothing is gathered or sampled: each value is recorded when and where it comes about, on that thread and
/// with no lock held. So what a scrape sees is never late, and nothing is left behind when a pool closes.
/// For each use of a connection the clock is read twice, two times are recorded and four changes of a gauge.
/// With Prometheus' exporter about half of the instructions of such a use are the exporter's.
///
/// Install the recorder before this is made: it is looked up here. It must be one for version 0.24 of
/// `metrics`. The metrics of a pool that was closed stay at their last values with most recorders,
/// which have no way to take one back; those that drop what nobody has touched for a while want to be
/// told what is alive, see [`touch`](PoolMetrics::touch).
///
/// [otel]: https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
///
/// # Examples
///
/// ```
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use watertight::{Pool, PoolMetrics};
///
/// let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(String::new()) })
///     .observer(PoolMetrics::new("orders"))
/// #   .runtime(Threads)
///     .build()?;
/// # Ok::<(), watertight::BuildError>(())
/// ```
#[derive(Clone)]
pub struct PoolMetrics {
    inner: Arc<Instruments>,
}

struct Instruments {
    pool: Arc<str>,
    idle: Gauge,
    used: Gauge,
    max: Gauge,
    idle_min: Gauge,
    idle_max: Gauge,
    pending: Gauge,
    timeouts: Counter,
    closes: Vec<(CloseReason, Counter)>,
    failures: [(&'static str, Counter); 3],
    check_failures: Counter,
    rejections: Vec<(Rejection, Counter)>,
    leaks: Counter,
    times: Times,
    /// What [`PoolMetrics::touch`] has put in their place, if it was ever called. Locked to be looked up,
    /// never while the recorder runs.
    renewed: OnceLock<Mutex<Times>>,
}

#[derive(Clone)]
struct Times {
    create: Histogram,
    wait: Histogram,
    hold: Histogram,
}

impl Times {
    fn of(pool: &Arc<str>) -> Self {
        let histogram = |name| metrics::histogram!(name, POOL_NAME => Arc::clone(pool));
        Times {
            create: histogram(CREATE_TIME),
            wait: histogram(WAIT_TIME),
            hold: histogram(USE_TIME),
        }
    }
}

impl PoolMetrics {
    /// Metrics with that name, with the recorder that is installed now.
    pub fn new(pool: impl Into<String>) -> Self {
        describe();
        let pool: Arc<str> = pool.into().into();
        let label = || Label::new(POOL_NAME, Arc::clone(&pool));
        let with = |key: &'static str, value: String| vec![label(), Label::new(key, value)];
        let gauge = |name| metrics::gauge!(name, vec![label()]);
        let counter = |name| metrics::counter!(name, vec![label()]);
        let count = |state: &str| metrics::gauge!(COUNT, with(STATE, state.into()));
        let closes = CloseReason::ALL.iter().map(|&reason| {
            let labels = with("reason", label_of(&reason));
            (reason, metrics::counter!(CLOSES, labels))
        });
        let failures = ["failed", "timed out", "panicked"].map(|kind| {
            let labels = with("kind", label_of(&kind));
            (kind, metrics::counter!(CONNECT_FAILURES, labels))
        });
        let rejections = Rejection::ALL.iter().map(|&why| {
            let labels = with("reason", label_of(&why));
            (why, metrics::counter!(REJECTIONS, labels))
        });
        let inner = Instruments {
            idle: count("idle"),
            used: count("used"),
            max: gauge(MAX),
            idle_min: gauge(IDLE_MIN),
            idle_max: gauge(IDLE_MAX),
            pending: gauge(PENDING),
            timeouts: counter(TIMEOUTS),
            closes: closes.collect(),
            failures,
            check_failures: counter(CHECK_FAILURES),
            rejections: rejections.collect(),
            leaks: counter(LEAKS),
            times: Times::of(&pool),
            renewed: OnceLock::new(),
            pool,
        };
        PoolMetrics {
            inner: Arc::new(inner),
        }
    }

    /// Says that the pool is alive, and changes nothing: for recorders that drop what nobody has
    /// touched for a while, as Prometheus' exporter does with an `idle_timeout`. Call it for every
    /// pool that is there, before each scrape or by a timer, but always sooner than the recorder
    /// forgets: what it has dropped once does not come back. Those that are closed then disappear, and
    /// those that merely have nothing to do stay. (Not their histograms, which cannot be touched: they
    /// are registered anew, with the recorder that is installed then.)
    pub fn touch(&self) {
        let Instruments {
            pool,
            idle,
            used,
            max,
            idle_min,
            idle_max,
            pending,
            timeouts,
            closes,
            failures,
            check_failures,
            rejections,
            leaks,
            times,
            renewed,
        } = &*self.inner;
        for gauge in [idle, used, max, idle_min, idle_max, pending] {
            gauge.increment(0.0);
        }
        let closes = closes.iter().map(|(_, counter)| counter);
        let failures = failures.iter().map(|(_, counter)| counter);
        let rejections = rejections.iter().map(|(_, counter)| counter);
        let others = [timeouts, check_failures, leaks];
        for counter in closes.chain(failures).chain(rejections).chain(others) {
            counter.increment(0);
        }
        let fresh = Times::of(pool);
        let renewed = renewed.get_or_init(|| Mutex::new(times.clone()));
        // The old ones may be the last of their kind: dropped without the lock.
        let _old = mem::replace(&mut *renewed.lock(), fresh);
    }

    #[inline]
    fn time(&self, which: impl FnOnce(&Times) -> &Histogram, seconds: f64) {
        match self.inner.renewed.get() {
            None => which(&self.inner.times).record(seconds),
            Some(renewed) => {
                let histogram = which(&renewed.lock()).clone();
                histogram.record(seconds);
            }
        }
    }
}

/// In one word.
fn label_of(what: &impl fmt::Display) -> String {
    what.to_string().replace(' ', "_")
}

fn describe() {
    metrics::describe_gauge!(COUNT, "Connections that are open, by state.");
    metrics::describe_gauge!(MAX, "The most connections there may be.");
    metrics::describe_gauge!(IDLE_MIN, "How many connections are kept idle.");
    metrics::describe_gauge!(IDLE_MAX, "The most connections that are kept idle.");
    metrics::describe_gauge!(PENDING, "Callers that wait for a connection.");
    metrics::describe_counter!(TIMEOUTS, "Callers whose deadline passed.");
    metrics::describe_histogram!(CREATE_TIME, Unit::Seconds, "How long connecting took.");
    metrics::describe_histogram!(WAIT_TIME, Unit::Seconds, "How long callers waited.");
    metrics::describe_histogram!(USE_TIME, Unit::Seconds, "How long connections were lent.");
    metrics::describe_counter!(CLOSES, "Connections that left the pool, by reason.");
    metrics::describe_counter!(
        CONNECT_FAILURES,
        "Attempts to connect that failed, by kind."
    );
    metrics::describe_counter!(CHECK_FAILURES, "Checks that failed.");
    metrics::describe_counter!(REJECTIONS, "Callers that were turned away, by reason.");
    metrics::describe_counter!(LEAKS, "Connections that were held for too long.");
}

fn count<K: PartialEq>(counters: &[(K, Counter)], which: K) {
    if let Some((_, counter)) = counters.iter().find(|(key, _)| *key == which) {
        counter.increment(1);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are not that many connections"
)]
fn number(connections: usize) -> f64 {
    connections as f64
}

impl Observer for PoolMetrics {
    fn configured(&self, event: &Configured) {
        self.inner.max.set(number(event.max_size));
        let idle_min = event.min_idle.min(event.max_size);
        self.inner.idle_min.set(number(idle_min));
        let idle_max = event.max_idle.unwrap_or(event.max_size);
        self.inner
            .idle_max
            .set(number(idle_max.min(event.max_size)));
    }

    fn connected(&self, event: &Connected) {
        self.inner.idle.increment(1.0);
        self.time(|times| &times.create, event.took.as_secs_f64());
    }

    fn connect_failed(&self, event: &ConnectFailed<'_>) {
        count(&self.inner.failures, event.kind());
    }

    fn adopted(&self, _: &Adopted) {
        self.inner.idle.increment(1.0);
    }

    fn checked(&self, event: &Checked) {
        if !event.passed {
            self.inner.check_failures.increment(1);
        }
    }

    fn wait_began(&self) {
        self.inner.pending.increment(1.0);
    }

    fn wait_ended(&self, _: &WaitEnded) {
        self.inner.pending.decrement(1.0);
    }

    fn acquired(&self, event: &Acquired) {
        self.inner.idle.decrement(1.0);
        self.inner.used.increment(1.0);
        let seconds = event.waited.map_or(0.0, |waited| waited.as_secs_f64());
        self.time(|times| &times.wait, seconds);
    }

    fn returned(&self, event: &Returned) {
        self.inner.used.decrement(1.0);
        self.inner.idle.increment(1.0);
        self.time(|times| &times.hold, event.held.as_secs_f64());
    }

    fn timed_out(&self, _: &TimedOut) {
        self.inner.timeouts.increment(1);
    }

    fn rejected(&self, event: &Rejected) {
        count(&self.inner.rejections, event.why);
    }

    fn leaked(&self, _: &Loan) {
        self.inner.leaks.increment(1);
    }

    fn closed(&self, event: &Closed) {
        self.inner.idle.decrement(1.0);
        count(&self.inner.closes, event.reason);
    }
}

impl fmt::Debug for PoolMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMetrics")
            .field("pool", &self.inner.pool)
            .finish_non_exhaustive()
    }
}
