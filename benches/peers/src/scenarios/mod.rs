//! What the pools are made to do, and which of them can.

mod bursts;
mod crowd;
mod steady;
mod threads;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::measure::Sample;
use crate::pools::{
    Bb8, Deadpool, FastPool, Limit, Mobc, Qp, R2d2, Sqlx, SyncWatertight, Watertight,
};
use crate::subject::{Host, Setup, Subject, SyncSubject};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// One task, one idle connection.
    Uncontended,
    /// The same with time-outs for all that has one.
    TimeOuts,
    /// The same with a check at each acquire.
    Checks,
    /// 16 tasks share 16 connections, and hold each across a yield.
    Ample,
    /// 64 tasks share 8 connections, and hold each across a yield.
    Contended,
    /// The same with time-outs for all that has one.
    ContendedTimeOuts,
    /// 64 tasks share 8 connections on a current-thread runtime.
    CurrentThread,
    /// The same with time-outs for all that has one.
    CurrentThreadTimeOuts,
    /// 64 tasks share 8 connections on smol.
    Smol,
    /// One task on smol, one idle connection.
    SmolUncontended,
    /// 100 tasks wait for 8 connections.
    Crowd100,
    Crowd1000,
    Crowd10000,
    Crowd100000,
    /// A pool that is empty, 200 tasks, 10 places; 50 ms to connect, 2 ms to hold.
    ColdBurst,
    /// Two places; one connection is held for 20 ms, and the second takes 500 ms to connect.
    SlowConnect,
    /// 64 tasks on 8 connections, of which half give up when they must wait.
    Storm,
    /// One thread, one idle connection.
    Thread,
    /// 8 threads share 4 connections.
    Threads,
    /// 8 tasks and 4 threads share 4 connections of one pool.
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    Watertight,
    Deadpool,
    Bb8,
    FastPool,
    Mobc,
    Qp,
    Sqlx,
    R2d2,
    Limit,
}

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Self::Watertight => "watertight",
            Self::Deadpool => "deadpool",
            Self::Bb8 => "bb8",
            Self::FastPool => "fast_pool",
            Self::Mobc => "mobc",
            Self::Qp => "qp",
            Self::Sqlx => "sqlx",
            Self::R2d2 => "r2d2",
            Self::Limit => "mutex",
        }
    }

    /// Whether it can take part at all.
    pub fn takes_part(self, scenario: Scenario) -> bool {
        use Scenario::*;
        match scenario {
            Thread | Threads => {
                matches!(self, Self::Watertight | Self::R2d2 | Self::Limit)
                // It serves nobody who must wait.
                && (self, scenario) != (Self::Limit, Threads)
            }
            // The others take their timers from tokio.
            Smol | SmolUncontended => matches!(self, Self::Watertight | Self::Deadpool | Self::Qp),
            // The connections of sqlx are its own.
            ColdBurst | SlowConnect => !matches!(self, Self::R2d2 | Self::Limit | Self::Sqlx),
            // They have none, or not all.
            TimeOuts | ContendedTimeOuts | CurrentThreadTimeOuts => {
                !matches!(self, Self::R2d2 | Self::Limit | Self::Qp)
            }
            _ => !matches!(self, Self::R2d2 | Self::Limit),
        }
    }
}

/// Plays a scenario once. `scale` is the share of the usual work.
pub fn play(scenario: Scenario, contender: Contender, scale: f64) -> Sample {
    match contender {
        Contender::Watertight => match scenario {
            Scenario::Thread | Scenario::Threads => on_threads::<SyncWatertight>(scenario, scale),
            _ => on_tasks::<Watertight>(scenario, scale),
        },
        Contender::Deadpool => on_tasks::<Deadpool>(scenario, scale),
        Contender::Bb8 => on_tasks::<Bb8>(scenario, scale),
        Contender::FastPool => on_tasks::<FastPool>(scenario, scale),
        Contender::Mobc => on_tasks::<Mobc>(scenario, scale),
        Contender::Qp => on_tasks::<Qp>(scenario, scale),
        Contender::Sqlx => on_tasks::<Sqlx>(scenario, scale),
        Contender::R2d2 => on_threads::<R2d2>(scenario, scale),
        Contender::Limit => on_threads::<Limit>(scenario, scale),
    }
}

fn on_threads<S: SyncSubject>(scenario: Scenario, scale: f64) -> Sample {
    match scenario {
        Scenario::Thread => threads::alone::<S>(scaled(400_000, scale)),
        Scenario::Threads => threads::together::<S>(8, 4, scaled(40_000, scale)),
        _ => unreachable!("{scenario:?} is for tasks"),
    }
}

fn on_tasks<S: Subject>(scenario: Scenario, scale: f64) -> Sample {
    use Scenario::*;
    let one = Setup::of(1);
    let eight = Setup::of(8);
    let times = scaled(200_000, scale);
    let shared = scaled(3_000, scale);
    match scenario {
        Uncontended => in_a_task(steady::alone::<S>(one, times)),
        TimeOuts => {
            let setup = Setup {
                timeouts: true,
                ..one
            };
            in_a_task(steady::alone::<S>(setup, times))
        }
        Checks => {
            let setup = Setup {
                checks: true,
                ..one
            };
            in_a_task(steady::alone::<S>(setup, times))
        }
        SmolUncontended => {
            let setup = Setup {
                host: Host::Smol,
                ..one
            };
            smol::block_on(smol::spawn(steady::alone::<S>(setup, times)))
        }
        Ample => tokio(true).block_on(steady::together::<S>(Setup::of(16), 16, shared * 4)),
        Contended => tokio(true).block_on(steady::together::<S>(eight, 64, shared)),
        ContendedTimeOuts | CurrentThreadTimeOuts => {
            let setup = Setup {
                timeouts: true,
                ..eight
            };
            let runtime = tokio(scenario == ContendedTimeOuts);
            runtime.block_on(steady::together::<S>(setup, 64, shared))
        }
        CurrentThread => tokio(false).block_on(steady::together::<S>(eight, 64, shared)),
        Smol => {
            let setup = Setup {
                host: Host::Smol,
                ..eight
            };
            smol::block_on(smol::spawn(steady::together::<S>(setup, 64, shared)))
        }
        Crowd100 => tokio(true).block_on(crowd::crowd::<S>(100, scaled(400_000, scale))),
        Crowd1000 => tokio(true).block_on(crowd::crowd::<S>(1_000, scaled(400_000, scale))),
        Crowd10000 => tokio(true).block_on(crowd::crowd::<S>(10_000, scaled(400_000, scale))),
        Crowd100000 => tokio(true).block_on(crowd::crowd::<S>(100_000, scaled(400_000, scale))),
        ColdBurst => tokio(true).block_on(bursts::cold::<S>()),
        SlowConnect => tokio(true).block_on(bursts::slow_connect::<S>()),
        Storm => tokio(true).block_on(steady::storm::<S>(eight, 64, shared)),
        Mixed => threads::mixed::<S>(8, 4, 4, scaled(10_000, scale)),
        Thread | Threads => unreachable!("{scenario:?} is for threads"),
    }
}

fn scaled(count: u64, scale: f64) -> u64 {
    ((count as f64 * scale) as u64).max(10)
}

fn tokio(multi_thread: bool) -> Runtime {
    let mut builder = if multi_thread {
        Builder::new_multi_thread()
    } else {
        Builder::new_current_thread()
    };
    builder.enable_all().build().expect("a runtime")
}

/// Most users run in a task.
fn in_a_task(user: impl Future<Output = Sample> + Send + 'static) -> Sample {
    let runtime = tokio(true);
    let task = runtime.spawn(user);
    runtime.block_on(task).expect("it does not panic")
}

/// A pool with all of its connections open.
async fn warm<S: Subject>(setup: Setup) -> S {
    let pool = S::open(setup).await;
    let mut lent = Vec::new();
    for _ in 0..setup.size {
        lent.push(pool.acquire().await.expect("a trivial connection"));
    }
    drop(lent);
    // Some take them back in a task.
    futures_lite::future::yield_now().await;
    pool
}
