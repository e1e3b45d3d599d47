//! What is measured.

use std::future::Future;
use std::mem::{size_of, size_of_val};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime;
use tokio::task::coop::unconstrained;

use crate::heap::Heap;
use crate::pools::{R2d2, Subject};

const POOLS: u16 = 100;
const IDLE: u16 = 1_000;

/// All in bytes of the heap, except where it says otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    pub name: &'static str,
    /// A pool without connections, besides its handle.
    pub pool: f64,
    /// The size of a handle, wherever it is.
    pub handle: usize,
    /// One of so many idle connections, its share of the pool included.
    pub idle: f64,
    /// None if those who wait are threads.
    pub waiter: Option<Waiter>,
}

/// One of so many that wait.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Waiter {
    /// The size of its future, wherever that is.
    pub future: usize,
    /// What else it takes.
    pub beyond: f64,
    /// How many allocations each makes.
    pub allocations: f64,
    /// How many allocations each makes if as many have waited before.
    pub allocations_again: f64,
}

/// Everything for one pool. What is allocated once in a process is not counted: all is done twice.
pub fn tasks<S: Subject>(waiters: u32) -> Findings {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    // So that tokio does not have somebody wait for his turn to run instead of for a connection.
    runtime.block_on(unconstrained(async {
        tasks_once::<S>(waiters).await;
        tasks_once::<S>(waiters).await
    }))
}

async fn tasks_once<S: Subject>(waiters: u32) -> Findings {
    Findings {
        name: S::NAME,
        pool: pool::<S>().await,
        handle: size_of::<S>(),
        idle: idle::<S>().await,
        waiter: Some(waiter::<S>(waiters).await),
    }
}

/// What was begun beside comes to its end.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn pool<S: Subject>() -> f64 {
    let mut pools = Vec::with_capacity(POOLS.into());
    settle().await;
    let before = Heap::now();
    for _ in 0..POOLS {
        pools.push(S::open(None).await);
    }
    settle().await;
    before.growth() / f64::from(POOLS)
}

async fn idle<S: Subject>() -> f64 {
    settle().await;
    let before = Heap::now();
    let pool = S::open(Some(IDLE)).await;
    let mut guards = Vec::with_capacity(IDLE.into());
    for _ in 0..IDLE {
        guards.push(pool.acquire().await.expect("a number"));
    }
    drop(guards);
    settle().await;
    before.growth() / f64::from(IDLE)
}

async fn waiter<S: Subject>(waiters: u32) -> Waiter {
    let pool = S::open(Some(1)).await;
    let held = pool.acquire().await.expect("a number");
    settle().await;
    let first = crowd(&pool, waiters).await;
    let again = crowd(&pool, waiters).await;
    drop(held);
    Waiter {
        allocations_again: again.allocations,
        ..first
    }
}

/// Has many wait, and then give up.
async fn crowd<S: Subject>(pool: &S, count: u32) -> Waiter {
    let mut waiters: Vec<Pin<Box<_>>> = Vec::new();
    for _ in 0..count {
        waiters.push(Box::pin(pool.acquire()));
    }
    let future = size_of_val(&*waiters[0]);
    let before = Heap::now();
    let mut context = Context::from_waker(Waker::noop());
    for waiter in &mut waiters {
        let poll = waiter.as_mut().poll(&mut context);
        assert!(matches!(poll, Poll::Pending), "nothing is free");
    }
    let (growth, allocations) = (before.growth(), before.allocations());
    if let Some(waiting) = pool.waiting() {
        assert_eq!(waiting, waiters.len(), "it has counted them");
    }
    drop(waiters);
    settle().await;
    let allocations = allocations as f64 / f64::from(count);
    Waiter {
        future,
        beyond: growth / f64::from(count),
        allocations,
        allocations_again: allocations,
    }
}

/// The same for a pool for threads.
pub fn threads() -> Findings {
    threads_once();
    threads_once()
}

fn threads_once() -> Findings {
    let quiet = || std::thread::sleep(Duration::from_millis(200));
    let mut pools = Vec::with_capacity(POOLS.into());
    let before = Heap::now();
    pools.extend((0..POOLS).map(|_| R2d2::open(None)));
    quiet();
    let pool = before.growth() / f64::from(POOLS);
    drop(pools);
    quiet();

    let before = Heap::now();
    let pool_of_many = R2d2::open(Some(IDLE));
    let mut guards = Vec::with_capacity(IDLE.into());
    guards.extend((0..IDLE).map(|_| pool_of_many.acquire()));
    drop(guards);
    quiet();
    Findings {
        name: R2d2::NAME,
        pool,
        handle: size_of::<R2d2>(),
        idle: before.growth() / f64::from(IDLE),
        waiter: None,
    }
}
