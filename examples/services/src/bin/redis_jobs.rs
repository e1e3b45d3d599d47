//! Redis: four workers wait for jobs in a list. When they are told to stop, in the middle of waiting,
//! their connections are closed, not lent: the server would answer the next command only after a job.
//!
//! ```sh
//! cargo run --bin redis_jobs -- redis://localhost
//! ```

use std::time::{Duration, Instant};

use redis::cmd;
use tokio::sync::watch;
use watertight::Pool;
use watertight_services::redis::Redis;
use watertight_services::{Outcome, url};

const JOBS: &str = "watertight-jobs";
const WORKERS: usize = 4;

#[tokio::main]
async fn main() -> Outcome {
    let pool = Pool::builder(Redis::new(&url("redis://localhost"))?)
        .max_size(WORKERS + 1)
        .acquire_timeout(Duration::from_secs(5))
        .build()?;
    pool.acquire()
        .await?
        .query::<()>(cmd("DEL").arg(JOBS))
        .await?;

    let (stop, stopped) = watch::channel(false);
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| tokio::spawn(work(pool.clone(), stopped.clone())))
        .collect();
    for job in 1..=100 {
        pool.acquire()
            .await?
            .query::<()>(cmd("LPUSH").arg(JOBS).arg(job))
            .await?;
    }
    while pool
        .acquire()
        .await?
        .query::<u32>(cmd("LLEN").arg(JOBS))
        .await?
        > 0
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!(
        "all workers wait, and each holds a connection: {}",
        pool.status()
    );

    stop.send(true)?;
    let mut done = 0;
    for (number, worker) in workers.into_iter().enumerate() {
        let jobs = worker.await??;
        println!("worker {number} did {jobs} jobs");
        done += jobs;
    }
    assert_eq!(done, 100);

    // Nobody gets a connection on which a worker's command still waits.
    let begin = Instant::now();
    let mut all = Vec::new();
    for _ in 0..=WORKERS {
        let mut connection = pool.acquire().await?;
        assert_eq!(
            connection.query::<String>(cmd("ECHO").arg("mine")).await?,
            "mine"
        );
        all.push(connection);
    }
    drop(all);
    let statistics = pool.statistics();
    println!(
        "{} connections answered within {:.1?}; {} of {} were given up",
        WORKERS + 1,
        begin.elapsed(),
        statistics.closes.broken,
        statistics.connects
    );
    pool.close().await;
    Ok(())
}

/// Does jobs until it is told to stop; returns how many.
async fn work(
    pool: Pool<Redis>,
    mut stopped: watch::Receiver<bool>,
) -> Result<u32, redis::RedisError> {
    let mut done = 0;
    loop {
        let Ok(mut connection) = pool.acquire().await else {
            return Ok(done);
        };
        let wait = cmd("BRPOP").arg(JOBS).arg(60).to_owned();
        tokio::select! {
            job = connection.query::<(String, u32)>(&wait) => {
                job?;
                done += 1;
            }
            _ = stopped.wait_for(|stop| *stop) => return Ok(done),
        }
    }
}
