//! One run, from the first process to the verdict.

use std::error::Error;
use std::fs;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use watertight::{Backoff, BuildError, CheckPolicy, ConnectPolicy, Pool, Statistics};

use crate::caller::{ANSWER_WITHIN, Caller, Guard, PATIENCE, Surroundings};
use crate::evidence::Evidence;
use crate::growth::warm_up;
use crate::leak::leak;
use crate::ledger::Totals;
use crate::options::Options;
use crate::plot::Plot;
use crate::process::Registry;
use crate::server::Servers;
use crate::tally::Tally;
use crate::verdict::Verdict;
use crate::vitals::{self, Vitals};
use crate::watch::{Seen, Watch};
use crate::weather::{Storm, Weather};

/// How long the pool may take to close, and what it leaves behind to be reaped.
const GRACE: Duration = Duration::from_secs(5);

/// What every part of a run needs.
pub(crate) struct Soak {
    pub(crate) options: Options,
    pub(crate) pool: Pool<Servers>,
    pub(crate) registry: Registry,
    pub(crate) tally: Arc<Tally>,
    weather: Arc<Weather>,
}

/// Runs it all. True if nothing leaked.
pub(crate) async fn run(
    options: Options,
    interrupt: impl Future<Output = ()>,
) -> Result<bool, Box<dyn Error>> {
    fs::create_dir_all(&options.out)?;
    let before = Vitals::take()?;
    let soak = Soak::prepare(options)?;
    let (thread, guards) = start_thread()?;
    let mut load = soak.start(&guards);
    drop(guards);

    let seen = Watch::new(&soak).look(interrupt).await?;

    soak.tally.finish();
    let stuck = wind_down(&mut load).await;
    let end = soak.close(thread).await?;
    let evidence = Evidence {
        title: soak.title(seen.loaded_for),
        samples: seen.samples.all(),
        // Of what was run: the user may have cut it short.
        warm_up: warm_up(seen.loaded_for),
        loaded_for: seen.loaded_for,
        tally: &soak.tally,
        books: end.books,
        statistics: end.statistics,
        max_size: usize::from(soak.options.max_size),
        left_in_pool: end.left_in_pool,
        stuck,
        crowded: seen.crowded,
        inconsistent: seen.inconsistent,
        before,
        after: end.vitals,
    };
    let verdict = Verdict::reach(&evidence);
    soak.write(&seen, &evidence, &verdict)?;
    Ok(verdict.is_tight())
}

/// What is left when the pool has been closed.
struct End {
    left_in_pool: usize,
    statistics: Statistics,
    books: Totals,
    vitals: Vitals,
}

impl Soak {
    fn prepare(options: Options) -> Result<Soak, Box<dyn Error>> {
        let registry = Registry::open();
        let weather = Arc::new(Weather::default());
        let servers = Servers {
            program: std::env::current_exe()?,
            registry: registry.clone(),
            weather: Arc::clone(&weather),
        };
        Ok(Soak {
            pool: build_pool(servers, usize::from(options.max_size))?,
            registry,
            tally: Arc::new(Tally::new(options.tasks as usize)),
            weather,
            options,
        })
    }

    /// Starts callers and faults. Every one of them draws from a seed of its own.
    fn start(&self, thread: &mpsc::Sender<Guard>) -> JoinSet<()> {
        let mut seeds = Rng::with_seed(self.options.seed);
        let mut load = JoinSet::new();
        let storm = Storm::new(
            seeds.u64(..),
            Arc::clone(&self.weather),
            Arc::clone(&self.registry.roster),
            Arc::clone(&self.tally),
        );
        load.spawn(storm.blow());
        let around = Surroundings {
            pool: self.pool.clone(),
            tally: Arc::clone(&self.tally),
            weather: Arc::clone(&self.weather),
            thread: thread.clone(),
        };
        for number in 0..self.options.tasks as usize {
            load.spawn(Caller::new(number, seeds.u64(..), around.clone()).call());
        }
        if self.options.leak {
            let (pool, tally) = (self.pool.clone(), Arc::clone(&self.tally));
            load.spawn(async move { leak(pool, &tally).await });
        }
        load
    }

    /// Closes the pool, and waits until what it started is reaped and gone.
    async fn close(&self, thread: thread::JoinHandle<()>) -> Result<End, Box<dyn Error>> {
        let left_in_pool = self.pool.close_within(GRACE).await;
        let ledger = &self.registry.ledger;
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if ledger.departing() == 0 && thread.is_finished() && vitals::count_children()? == 0 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(End {
            left_in_pool,
            statistics: self.pool.statistics(),
            books: ledger.totals(),
            vitals: Vitals::take()?,
        })
    }

    fn title(&self, loaded_for: Duration) -> String {
        let Options {
            tasks,
            max_size,
            seed,
            ..
        } = self.options;
        let length = Duration::from_secs_f64(loaded_for.as_secs_f64().round());
        format!(
            "soak: {}, {tasks} tasks over {max_size} processes, seed {seed}",
            humantime::format_duration(length)
        )
    }

    fn write(
        &self,
        seen: &Seen,
        evidence: &Evidence<'_>,
        verdict: &Verdict,
    ) -> Result<(), Box<dyn Error>> {
        // First, for whatever becomes of the files.
        println!("{verdict}");
        let out = &self.options.out;
        let (csv, svg) = (out.join("samples.csv"), out.join("soak.svg"));
        seen.samples.write_csv(&csv)?;
        if !vitals::AVAILABLE {
            return Ok(());
        }
        Plot {
            title: &evidence.title,
            verdict: &verdict.headline(),
            is_tight: verdict.is_tight(),
            facts: &evidence.summary(),
            samples: evidence.samples,
            warm_up: evidence.warm_up,
        }
        .write(&svg)?;
        println!("samples: {}, plot: {}", csv.display(), svg.display());
        Ok(())
    }
}

/// Every limit is short, so that a short run meets them all.
fn build_pool(servers: Servers, max_size: usize) -> Result<Pool<Servers>, BuildError> {
    let backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(250));
    Pool::builder(servers)
        .max_size(max_size)
        .min_idle(1)
        .return_queue(2)
        .connect_timeout(Duration::from_millis(500))
        .check_timeout(Duration::from_secs(1))
        .recycle_timeout(Duration::from_secs(1))
        .close_timeout(Duration::from_secs(2))
        .idle_timeout(Duration::from_millis(800))
        .max_lifetime(Duration::from_secs(1))
        .max_uses(150)
        .check_policy(CheckPolicy::IdleFor(Duration::from_millis(300)))
        .connect_policy(ConnectPolicy::Retry(backoff))
        .build()
}

/// A thread that no runtime knows, and that drops the guards which are sent to it.
fn start_thread() -> std::io::Result<(thread::JoinHandle<()>, mpsc::Sender<Guard>)> {
    let (sender, guards) = mpsc::channel::<Guard>();
    let thread = thread::Builder::new()
        .name("drops-guards".into())
        .spawn(move || guards.into_iter().for_each(drop))?;
    Ok((thread, sender))
}

/// Waits for the tasks to come to their ends, and returns how many did not.
async fn wind_down(load: &mut JoinSet<()>) -> usize {
    let all = async { while load.join_next().await.is_some() {} };
    let _ = timeout(PATIENCE + ANSWER_WITHIN + GRACE, all).await;
    let stuck = load.len();
    load.shutdown().await;
    stuck
}
