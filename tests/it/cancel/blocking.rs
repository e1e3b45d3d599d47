//! The futures behind [`Blocking`]: a call that nobody awaits any more goes on, and what it has in
//! its hands is closed all the same.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_lite::FutureExt;
use futures_lite::future::{block_on, poll_once};
use watertight::{
    Blocking, BlockingConnection, BlockingManager, CheckPolicy, Condition, Manager, Metrics, Pool,
    PooledConnection, Runtime,
};

use super::stepped::{Calls, Stepped};
use super::{Act, LIMIT, PATIENCE, TICK, assert_at_least, every_way};
use crate::support::{Gate, Virtual};

/// What becomes of connections.
#[derive(Default)]
struct Books {
    closes: Mutex<Vec<usize>>,
    /// Checks and recyclings that have run.
    examined: AtomicUsize,
    destroyed: AtomicUsize,
}

impl Books {
    /// Asserts that all are gone, and that each was closed so often.
    fn assert_all_gone(&self, closes: usize) {
        let each = self.closes.lock().unwrap();
        assert_eq!(self.destroyed.load(Ordering::SeqCst), each.len());
        assert!(each.iter().all(|&n| n == closes), "closes: {each:?}");
    }
}

struct Link {
    id: usize,
    books: Arc<Books>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.books.destroyed.fetch_add(1, Ordering::SeqCst);
    }
}

/// The calls that block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Connect,
    Check,
    Recycle,
    Close,
}

const CALLS: [Call; 4] = [Call::Connect, Call::Check, Call::Recycle, Call::Close];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Err,
    Panic,
}

/// One kind of call ends like this; the others succeed.
struct Driver {
    books: Arc<Books>,
    call: Call,
    outcome: Outcome,
    over: Arc<AtomicBool>,
}

impl Driver {
    fn end(&self, call: Call) -> Result<(), ()> {
        if call != self.call || self.over.load(Ordering::SeqCst) {
            return Ok(());
        }
        match self.outcome {
            Outcome::Ok => Ok(()),
            Outcome::Err => Err(()),
            Outcome::Panic => std::panic::resume_unwind(Box::new("as the test says")),
        }
    }
}

impl BlockingManager for Driver {
    type Connection = Link;
    type Error = ();

    fn connect(&self) -> Result<Link, ()> {
        self.end(Call::Connect)?;
        let mut closes = self.books.closes.lock().unwrap();
        closes.push(0);
        Ok(Link {
            id: closes.len() - 1,
            books: Arc::clone(&self.books),
        })
    }

    fn check(&self, _: &mut Link, _: &Metrics) -> Result<(), ()> {
        self.books.examined.fetch_add(1, Ordering::SeqCst);
        self.end(Call::Check)
    }

    fn inspect(&self, _: &mut Link) -> Condition {
        Condition::Dirty
    }

    fn recycle(&self, _: &mut Link) -> Result<(), ()> {
        self.books.examined.fetch_add(1, Ordering::SeqCst);
        self.end(Call::Recycle)
    }

    fn close(&self, link: Link) {
        self.books.closes.lock().unwrap()[link.id] += 1;
        let _ = self.end(Call::Close);
    }
}

/// A case: one driver, one runtime.
struct Scene {
    clock: Virtual,
    runtime: Stepped,
    books: Arc<Books>,
    over: Arc<AtomicBool>,
    gate: Gate,
    calls: Calls,
}

/// How a call may go.
const FATES: [&str; 5] = ["ok", "ok later", "error", "panic", "pending for ever"];

impl Scene {
    fn set(call: Call, fate: &str) -> (Self, Blocking<Driver>) {
        let clock = Virtual::new();
        let gate = Gate::new();
        let scene = Scene {
            runtime: Stepped::on(&clock),
            clock,
            books: Arc::default(),
            over: Arc::default(),
            calls: match fate {
                "ok" => Calls::NoTime,
                "pending for ever" => Calls::Until(gate.clone()),
                _ => Calls::For(TICK),
            },
            gate,
        };
        let blocking = Blocking::new(Driver {
            books: Arc::clone(&scene.books),
            call,
            outcome: match fate {
                "error" => Outcome::Err,
                "panic" => Outcome::Panic,
                _ => Outcome::Ok,
            },
            over: Arc::clone(&scene.over),
        });
        (scene, blocking)
    }

    /// As a pool would, had it not built its own.
    fn attach(&self, blocking: &Blocking<Driver>) {
        let runtime: Arc<dyn Runtime> = Arc::new(self.runtime.clone());
        blocking.attach(&runtime);
    }

    /// One that is made before the scene begins.
    fn connection(&self, blocking: &Blocking<Driver>) -> BlockingConnection<Link> {
        self.clock.block_on(Manager::connect(blocking)).unwrap()
    }

    /// What was to be tried has been: calls that are under way end, others succeed at once.
    fn let_go(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.runtime.calls_take(Calls::NoTime);
        self.gate.open();
        self.runtime.one_by_one(false);
    }

    fn assert_all_gone(&self, closes: usize) {
        self.clock.advance(2 * PATIENCE);
        self.books.assert_all_gone(closes);
        assert_eq!((self.clock.tasks(), self.clock.timers()), (0, 0));
    }
}

/// Swallows a panic, which is passed on to whoever awaits a call.
async fn ended<T>(call: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(call).catch_unwind().await.ok()
}

/// Guarantees 1 and 8. Five fates. What is made for nobody is closed, and the next connect works.
#[test]
fn blocking_connect_loses_nothing() {
    let mut cases = 0;
    for fate in FATES {
        cases += every_way(&format!("connect: {fate}"), |polls, between| {
            let (scene, blocking) = Scene::set(Call::Connect, fate);
            scene.attach(&blocking);
            scene.runtime.calls_take(scene.calls.clone());
            let until_closed = Act::of(async {
                if let Some(Ok(conn)) = ended(Manager::connect(&blocking)).await {
                    Manager::close(&blocking, conn).await;
                }
            });
            // A call that hangs hangs until then, which is long after the pool has lost patience.
            let gate = scene.gate.clone();
            let completed =
                until_closed
                    .and(10, move || gate.open())
                    .play(polls, between, &scene.runtime);
            scene.let_go();
            let next = scene.connection(&blocking);
            scene.clock.block_on(Manager::close(&blocking, next));
            scene.assert_all_gone(1);
            completed
        });
    }
    assert_at_least(170, cases);
}

/// What a future comes to when it is polled once.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    block_on(poll_once(future))
}

/// What becomes of a connection whose check or recycling nobody awaits any more.
const AFTERWARDS: [&str; 3] = ["close", "close, not to the end", "drop"];

/// Guarantees 1, 8 and 12. Check and recycle x five fates x what becomes of the connection: 30
/// situations. It comes back from the call and is closed, whether or not somebody waits for that.
#[test]
fn blocking_check_and_recycle_lose_nothing() {
    let mut cases = 0;
    for call in [Call::Check, Call::Recycle] {
        for fate in FATES {
            for afterwards in AFTERWARDS {
                let name = format!("{call:?}: {fate}, then {afterwards}");
                cases += every_way(&name, |polls, between| {
                    let (scene, blocking) = Scene::set(call, fate);
                    scene.attach(&blocking);
                    let mut conn = scene.connection(&blocking);
                    scene.runtime.calls_take(scene.calls.clone());
                    let metrics = any_metrics();
                    let examined = Act::of(async {
                        match call {
                            Call::Check => {
                                ended(Manager::check(&blocking, &mut conn, &metrics)).await
                            }
                            _ => ended(Manager::recycle(&blocking, &mut conn)).await,
                        };
                    });
                    let gate = scene.gate.clone();
                    let completed =
                        examined
                            .and(10, move || gate.open())
                            .play(polls, between, &scene.runtime);
                    // Dropped while it is away, it is closed by the call that has it.
                    let is_over = scene.books.examined.load(Ordering::SeqCst) > 0;
                    let is_away = polls > 0 && !completed && !is_over;
                    match afterwards {
                        "close" => {
                            scene.let_go();
                            scene.clock.block_on(Manager::close(&blocking, conn));
                            scene.assert_all_gone(1);
                        }
                        "close, not to the end" => {
                            let mut closing = Box::pin(Manager::close(&blocking, conn));
                            assert!(now_or_never(closing.as_mut()).is_none());
                            // It comes home, and nobody polls any more.
                            scene.let_go();
                            scene.clock.advance(PATIENCE);
                            drop(closing);
                            scene.assert_all_gone(1);
                        }
                        _ => {
                            drop(conn);
                            scene.let_go();
                            scene.assert_all_gone(usize::from(is_away));
                        }
                    }
                    completed
                });
            }
        }
    }
    assert_at_least(910, cases);
}

fn any_metrics() -> Metrics {
    let clock = Virtual::new();
    let pool = Pool::from_fn(|| async { Ok::<_, ()>(()) })
        .runtime(clock.clone())
        .build()
        .unwrap();
    let conn = clock.block_on(pool.acquire()).unwrap();
    let metrics = PooledConnection::metrics(&conn);
    drop((conn, pool));
    // A task that is never polled again would keep the pool, and the pool its runtime.
    clock.settle();
    metrics
}

/// Guarantees 1 and 8. Five fates. A close that was begun is one, whoever waits for it.
#[test]
fn blocking_close_closes_once() {
    let mut cases = 0;
    for fate in FATES {
        cases += every_way(&format!("close: {fate}"), |polls, between| {
            let (scene, blocking) = Scene::set(Call::Close, fate);
            scene.attach(&blocking);
            let conn = scene.connection(&blocking);
            scene.runtime.calls_take(scene.calls.clone());
            let close = Act::of(async {
                ended(Manager::close(&blocking, conn)).await;
            });
            let gate = scene.gate.clone();
            let completed = close
                .and(10, move || gate.open())
                .play(polls, between, &scene.runtime);
            scene.let_go();
            scene.assert_all_gone(usize::from(polls > 0));
            completed
        });
    }
    assert_at_least(150, cases);
}

/// Guarantees 1 and 8. The whole life of a loan, in a pool of one: four calls x five fates: 20
/// situations. Connect, check, recycle and close each go wrong in turn.
#[test]
fn loan_of_a_blocking_connection_loses_nothing() {
    let mut cases = 0;
    for call in CALLS {
        for fate in FATES {
            cases += every_way(&format!("{call:?}: {fate}"), |polls, between| {
                let (scene, blocking) = Scene::set(call, fate);
                let pool = Pool::builder(blocking)
                    .max_size(1)
                    .check_policy(CheckPolicy::Always)
                    .connect_timeout(LIMIT)
                    .check_timeout(LIMIT)
                    .recycle_timeout(LIMIT)
                    .close_timeout(LIMIT)
                    .runtime(scene.runtime.clone())
                    .build()
                    .unwrap();
                if call != Call::Connect {
                    drop(scene.clock.block_on(pool.acquire()));
                    scene.clock.settle();
                }
                scene.runtime.calls_take(scene.calls.clone());
                let loan = Act::of(async {
                    if let Ok(conn) = pool.acquire_timeout(PATIENCE).await {
                        PooledConnection::release(conn).await;
                    }
                    if call == Call::Close {
                        pool.close().await;
                    }
                });
                let completed = loan.play(polls, between, &scene.runtime);
                scene.let_go();
                if !pool.is_closed() {
                    let again = scene.clock.block_on(pool.acquire());
                    drop(again.expect("the place is free"));
                }
                scene.clock.block_on(pool.close());
                drop(pool);
                scene.assert_all_gone(1);
                completed
            });
        }
    }
    assert_at_least(1_100, cases);
}
