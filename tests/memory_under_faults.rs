//! Memory stays flat over a million cycles in which everything goes wrong that can. One test,
//! because the allocator counts for the whole process.
//!
//! A cycle is one acquire, however it ends. By default there are fewer of them; `WATERTIGHT_LONG`
//! asks for the million, which wants `--release`. `--nocapture` prints the figures.
#![cfg(feature = "tokio")]

use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_lite::FutureExt;
use tokio::task::JoinSet;
use watertight::{
    Backoff, CheckPolicy, Condition, ConnectPolicy, Manager, Metrics, Pool, PooledConnection,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const BLOCKS: usize = 10;
const TASKS: usize = 16;
const MAX_SIZE: usize = 4;
/// A collection here or there may have grown; a leak of one byte in a hundred cycles is found.
const SLACK: usize = 1024;

fn cycles_in_a_block() -> usize {
    match std::env::var_os("WATERTIGHT_LONG").is_some_and(|value| value != "0") {
        true => 100_000,
        false => 2_000,
    }
}

/// Sequence numbers that decide what goes wrong: every so many calls.
#[derive(Default)]
struct Turns {
    connects: AtomicUsize,
    checks: AtomicUsize,
    recycles: AtomicUsize,
    closes: AtomicUsize,
}

fn next(counter: &AtomicUsize) -> usize {
    counter.fetch_add(1, Ordering::Relaxed)
}

fn panics() -> ! {
    resume_unwind(Box::new("as arranged"))
}

/// A connection with some memory of its own, which a leak would show.
struct Conn {
    condition: Condition,
    _buffer: Vec<u8>,
}

struct Unreliable(Arc<Turns>);

impl Manager for Unreliable {
    type Connection = Conn;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Conn> {
        match next(&self.0.connects) % 23 {
            3 | 4 => return Err(io::Error::other("refused")),
            7 => tokio::time::sleep(Duration::from_millis(3)).await,
            11 => std::future::pending().await,
            13 => panics(),
            _ => {}
        }
        Ok(Conn {
            condition: Condition::Clean,
            _buffer: vec![0; 512],
        })
    }

    async fn check(&self, _: &mut Conn, _: &Metrics) -> io::Result<()> {
        match next(&self.0.checks) % 29 {
            3 => Err(io::Error::other("unfit")),
            11 => std::future::pending().await,
            13 => panics(),
            _ => Ok(()),
        }
    }

    fn inspect(&self, conn: &mut Conn) -> Condition {
        conn.condition
    }

    async fn recycle(&self, conn: &mut Conn) -> io::Result<()> {
        conn.condition = Condition::Clean;
        match next(&self.0.recycles) % 19 {
            3 => return Err(io::Error::other("unclean")),
            7 => tokio::time::sleep(Duration::from_millis(1)).await,
            11 => std::future::pending().await,
            13 => panics(),
            _ => {}
        }
        Ok(())
    }

    async fn close(&self, conn: Conn) {
        match next(&self.0.closes) % 17 {
            7 => tokio::time::sleep(Duration::from_millis(1)).await,
            11 => std::future::pending().await,
            13 => panics(),
            _ => drop(conn),
        }
    }
}

fn pool_of(manager: Unreliable) -> Result<Pool<Unreliable>, watertight::BuildError> {
    let ms = Duration::from_millis;
    Pool::builder(manager)
        .max_size(MAX_SIZE)
        .min_idle(1)
        .return_queue(2)
        .acquire_timeout(ms(40))
        .connect_timeout(ms(10))
        .check_timeout(ms(5))
        .recycle_timeout(ms(5))
        .close_timeout(ms(5))
        .max_lifetime(ms(5000))
        .max_uses(5)
        .check_policy(CheckPolicy::Always)
        .connect_policy(ConnectPolicy::Retry(Backoff::new(ms(1), ms(8))))
        .build()
}

/// How often each way of ending a cycle was come to.
#[derive(Debug, Default)]
struct Ends {
    served: AtomicUsize,
    late: AtomicUsize,
    cancelled: AtomicUsize,
    panicked: AtomicUsize,
}

/// One acquire, and whatever the turn has in store for it.
async fn cycle(pool: &Pool<Unreliable>, turn: usize, ends: &Ends) {
    match turn % 16 {
        // Resized under everybody's feet.
        0 => pool.resize(1 + turn / 16 % MAX_SIZE),
        // Some are thrown out.
        1 => drop(pool.retain(|_, metrics| metrics.uses() % 7 != 0)),
        // A waiter, or even a holder, that is cancelled.
        2 | 3 => {
            let hold = async {
                let _conn = pool.acquire().await;
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            };
            let patience = async {
                for _ in 0..turn / 16 % 4 {
                    tokio::task::yield_now().await;
                }
            };
            futures_lite::future::or(patience, hold).await;
            next(&ends.cancelled);
            return;
        }
        _ => {}
    }
    let patience = match turn % 5 {
        0 => Duration::from_millis(1),
        _ => Duration::from_millis(40),
    };
    let Ok(conn) = pool.acquire_timeout(patience).await else {
        next(&ends.late);
        return;
    };
    next(&ends.served);
    let held = AssertUnwindSafe(give_back(pool, conn, turn));
    if held.catch_unwind().await.is_err() {
        next(&ends.panicked);
    }
}

/// Gives a connection back in this turn's way.
async fn give_back(pool: &Pool<Unreliable>, mut conn: PooledConnection<Unreliable>, turn: usize) {
    if turn % 3 == 0 {
        tokio::task::yield_now().await;
    }
    match turn % 11 {
        1 => conn.condition = Condition::Broken,
        2 | 3 => conn.condition = Condition::Dirty,
        4 => return PooledConnection::discard(conn),
        5 => {
            let conn = PooledConnection::detach(conn);
            if turn % 2 == 0 {
                drop(pool.adopt(conn));
            }
            return;
        }
        6 => {
            conn.condition = Condition::Dirty;
            return PooledConnection::release(conn).await;
        }
        7 => {
            let _conn = conn;
            panics();
        }
        _ => {}
    }
    drop(conn);
}

/// Waits until only the one idle connection is left that there should be.
async fn quiet(pool: &Pool<Unreliable>) {
    pool.resize(MAX_SIZE);
    pool.retain(|_, _| false);
    loop {
        let status = pool.status();
        if (status.size, status.idle, status.waiting) == (1, 1, 0) {
            return;
        }
        pool.retain(|_, _| status.idle == 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a block of cycles on many tasks, and returns how many bytes are in use afterwards.
async fn block(pool: &Pool<Unreliable>, number: usize, cycles: usize, ends: &Arc<Ends>) -> usize {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (pool, ends) = (pool.clone(), Arc::clone(ends));
        let first = number * cycles + task;
        tasks.spawn(async move {
            for turn in (first..first + cycles).step_by(TASKS) {
                cycle(&pool, turn, &ends).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a cycle survives its panic");
    }
    drop(tasks);
    quiet(pool).await;
    dhat::HeapStats::get().curr_bytes
}

async fn stays_flat(cycles: usize) -> Result<(), Box<dyn Error>> {
    let turns = Arc::<Turns>::default();
    let pool = pool_of(Unreliable(Arc::clone(&turns)))?;
    let ends = Arc::<Ends>::default();
    let mut bytes = Vec::with_capacity(BLOCKS);
    for number in 0..BLOCKS {
        bytes.push(block(&pool, number, cycles, &ends).await);
    }
    println!("bytes in use after each {cycles} cycles: {bytes:?}");
    println!("{ends:?}, {:?}", pool.statistics());
    let (first, last) = (bytes[0], bytes[BLOCKS - 1]);
    assert!(last <= first + SLACK, "it grows: {bytes:?}");
    assert_everything_happened(&pool, &ends);
    pool.close().await;
    Ok(())
}

/// A fault that does not occur proves nothing.
fn assert_everything_happened(pool: &Pool<Unreliable>, ends: &Ends) {
    for end in [&ends.served, &ends.late, &ends.cancelled, &ends.panicked] {
        assert!(end.load(Ordering::Relaxed) > 100, "{ends:?}");
    }
    let statistics = pool.statistics();
    let closes = statistics.closes;
    for (what, count) in [
        ("failed connects", statistics.failed_connects),
        ("time-outs", statistics.timeouts.total()),
        ("cancellations", statistics.cancellations),
        ("adopted", statistics.adopted),
        ("broken", closes.broken),
        ("discarded", closes.discarded),
        ("detached", closes.detached),
        ("check failed", closes.check_failed),
        ("recycle failed", closes.recycle_failed),
        ("resize", closes.resize),
        ("uses", closes.uses),
    ] {
        assert!(count > 0, "{what}: {count}, {statistics:?}");
    }
}

#[test]
fn memory_stays_flat_whatever_goes_wrong() -> Result<(), Box<dyn Error>> {
    let _profiler = dhat::Profiler::builder().testing().build();
    let start = std::time::Instant::now();
    // The clock stands still while anybody can run, so the delays cost nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    runtime.block_on(stays_flat(cycles_in_a_block()))?;
    println!("{:.1?} on a paused clock", start.elapsed());
    Ok(())
}
