//! Those who use the pool: from tasks and from threads, with and without patience.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use smol::future::block_on;
use tokio::time::{sleep, timeout};
use watertight::{AcquireError, Pool, PooledConnection};
use watertight_services::postgres::{Error, Postgres, Session};

use crate::options::Options;

/// How it went.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Right answers, commits included.
    pub(crate) answers: AtomicU64,
    /// Answers to somebody else's request, or with what nobody should see.
    pub(crate) wrong: AtomicU64,
    /// Requests that failed, as they do when the server is killed.
    pub(crate) failed: AtomicU64,
    /// Requests whose caller went away.
    pub(crate) cancelled: AtomicU64,
    /// Transactions that were left open.
    pub(crate) abandoned: AtomicU64,
    /// Transactions that were committed, and those of which nobody knows.
    pub(crate) committed: AtomicU64,
    pub(crate) perhaps_committed: AtomicU64,
    /// Calls to `acquire` that ended at their deadline, or otherwise without a session.
    pub(crate) timed_out: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// The longest that one took, in microseconds.
    pub(crate) longest_acquire: AtomicU64,
    /// The first that was wrong, for whoever has to find out why.
    pub(crate) first_wrong: Mutex<Option<String>>,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    fn wrong(&self, what: String) {
        count(&self.wrong);
        let mut first = self
            .first_wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(what);
    }

    fn acquired<T>(&self, begin: Instant, outcome: Result<T, AcquireError<Error>>) -> Option<T> {
        let took = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.longest_acquire.fetch_max(took, Ordering::Relaxed);
        match outcome {
            Ok(session) => return Some(session),
            Err(error) if error.is_timed_out() => count(&self.timed_out),
            Err(_) => count(&self.refused),
        }
        None
    }

    fn answered(&self, answer: Result<String, Error>, token: u64) {
        match answer {
            Ok(answer) if answer == format!("{token} 0") => count(&self.answers),
            Ok(answer) => self.wrong(format!("{answer:?} for {token}")),
            Err(_) => count(&self.failed),
        }
    }
}

pub(crate) struct Callers {
    tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Callers {
    pub(crate) fn start(pool: &Pool<Postgres>, options: &Options) -> Self {
        let (tally, over) = <(Arc<Tally>, Arc<AtomicBool>)>::default();
        let caller = |number: usize| Caller {
            pool: pool.clone(),
            tally: Arc::clone(&tally),
            over: Arc::clone(&over),
            draw: Rng::with_seed(options.seed + 1000 * number as u64),
        };
        let tasks = (0..options.tasks).map(|number| tokio::spawn(caller(number).run()));
        let tasks = tasks.collect();
        let threads = (0..options.threads).map(|number| {
            let caller = caller(options.tasks + number);
            std::thread::spawn(|| caller.run_on_a_thread())
        });
        let threads = threads.collect();
        Callers {
            tally,
            over,
            tasks,
            threads,
        }
    }

    pub(crate) fn answers(&self) -> u64 {
        self.tally.answers.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) -> Arc<Tally> {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("callers do not panic");
        }
        for thread in self.threads {
            thread.join().expect("callers do not panic");
        }
        self.tally
    }
}

struct Caller {
    pool: Pool<Postgres>,
    tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    draw: Rng,
}

impl Caller {
    async fn run(mut self) {
        while !self.over.load(Ordering::Relaxed) {
            let begin = Instant::now();
            let acquired = self.pool.acquire().await;
            if let Some(session) = self.tally.acquired(begin, acquired) {
                self.use_it(session).await;
            }
            sleep(Duration::from_millis(self.draw.u64(1..20))).await;
        }
    }

    fn run_on_a_thread(mut self) {
        let pool = self.pool.sync();
        while !self.over.load(Ordering::Relaxed) {
            let begin = Instant::now();
            if let Some(mut session) = self.tally.acquired(begin, pool.acquire()) {
                let token = self.draw.u64(..);
                let answer = block_on(ask(&mut session, token));
                self.tally.answered(answer, token);
            }
            std::thread::sleep(Duration::from_millis(self.draw.u64(1..20)));
        }
    }

    async fn use_it(&mut self, mut session: PooledConnection<Postgres>) {
        const PATIENCE: Duration = Duration::from_secs(3);
        let moment = Duration::from_micros(self.draw.u64(0..20_000));
        let token = self.draw.u64(..);
        match self.draw.u32(0..100) {
            0..80 => match timeout(PATIENCE, ask(&mut session, token)).await {
                Ok(answer) => self.tally.answered(answer, token),
                Err(_) => count(&self.tally.cancelled),
            },
            80..90 => match timeout(PATIENCE, keep(&mut session, token)).await {
                Ok(Ok(())) => {
                    count(&self.tally.answers);
                    count(&self.tally.committed);
                }
                // The answer to the commit may have been what was lost.
                _ => count(&self.tally.perhaps_committed),
            },
            90..95 => {
                count(&self.tally.abandoned);
                let _ = timeout(moment, abandon(&mut session, token)).await;
            }
            _ => {
                count(&self.tally.cancelled);
                let _ = timeout(moment, session.ask("select pg_sleep(60)")).await;
            }
        }
    }
}

/// What is answered to it ends with 0, unless somebody sees an abandoned transaction.
async fn ask(session: &mut Session, token: u64) -> Result<String, Error> {
    let statement = format!("select '{token} ' || (select count(*) from abandoned)");
    session.ask(&statement).await
}

async fn keep(session: &mut Session, token: u64) -> Result<(), Error> {
    let transaction = session.transaction().await?;
    let insert = format!("insert into kept values ({})", token >> 1);
    transaction.batch_execute(&insert).await?;
    transaction.commit().await
}

async fn abandon(session: &mut Session, token: u64) -> Result<(), Error> {
    let script = format!("begin; insert into abandoned values ({})", token >> 1);
    session.client().batch_execute(&script).await?;
    session
        .client()
        .batch_execute("select pg_sleep(0.01)")
        .await?;
    Ok(())
}
