//! A fixed number of acquire + drop cycles of an idle connection whose pool has its `PoolMetrics` recorded
//! for Prometheus, for an instruction counter: see `benches/instructions.sh`.

use std::hint::black_box;
use std::io;
use std::time::Duration;

use metrics::{gauge, histogram};
use metrics_exporter_prometheus::PrometheusBuilder;
use watertight::{Pool, PoolMetrics};

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().expect("what to run");
    let cycles = args.next().map(|arg| arg.parse());
    let cycles: u64 = cycles.expect("how often").expect("a number of cycles");
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::set_global_recorder(recorder).expect("it is the only one");
    match what.as_str() {
        "pool" => on_tasks(cycles),
        "recorder" => alone(cycles),
        other => panic!("no such thing to run: {other}"),
    }
}

fn on_tasks(cycles: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let pool = Pool::from_fn(|| async { Ok::<_, io::Error>(0_u64) });
    let pool = pool.observer(PoolMetrics::new("measured"));
    let pool = {
        let _inside = runtime.enter();
        pool.build().expect("a pool")
    };
    let uses = async |cycles| {
        for _ in 0..cycles {
            let conn = pool.acquire().await.expect("a connection");
            black_box(&*conn);
        }
    };
    runtime.block_on(uses(1));
    counted(|| runtime.block_on(uses(cycles)));
    runtime.block_on(pool.close());
}

/// What of that is the recorder's own: the same values, through handles that are at hand.
fn alone(cycles: u64) {
    let (idle, used) = (gauge!("idle"), gauge!("used"));
    let (wait, hold) = (histogram!("wait"), histogram!("hold"));
    let uses = |cycles| {
        for _ in 0..cycles {
            idle.decrement(1.0);
            used.increment(1.0);
            wait.record(black_box(Duration::ZERO));
            used.decrement(1.0);
            idle.increment(1.0);
            hold.record(black_box(Duration::from_nanos(100)));
        }
    };
    uses(1);
    counted(|| uses(cycles));
}

/// The counter is told to count in here alone: the recorder's clock calibrates itself when it is first
/// read, which takes a different number of instructions each time.
#[inline(never)]
fn counted(uses: impl FnOnce()) {
    uses();
    black_box(());
}
