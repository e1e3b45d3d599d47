//! What goes wrong, at moments that are drawn.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use watertight::Pool;
use watertight_services::postgres::Postgres;
use watertight_services::servers::{PostgreSql, Server};

use crate::{CLIENT, SIZE};

/// What has been done to the server and to the pool, and how it got over it.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) kills: u64,
    pub(crate) silences: u64,
    pub(crate) terminations: u64,
    pub(crate) resets: u64,
    pub(crate) resizes: u64,
    pub(crate) pauses: u64,
    /// For how long there was no server that answered.
    pub(crate) down: Duration,
    /// How long after each the pool had its least number of sessions again.
    pub(crate) recoveries: Vec<Duration>,
    /// How often it had not within ten seconds.
    pub(crate) never: u64,
    /// The most sessions that were seen at the server at a quiet moment.
    pub(crate) most_sessions: usize,
}

pub(crate) struct Faults {
    over: Arc<AtomicBool>,
    task: JoinHandle<History>,
}

impl Faults {
    pub(crate) fn start(pool: &Pool<Postgres>, server: &Arc<PostgreSql>, seed: u64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let weather = Weather {
            pool: pool.clone(),
            server: Arc::clone(server),
            draw: Rng::with_seed(seed),
            history: History::default(),
        };
        let task = tokio::spawn(weather.blow(Arc::clone(&over)));
        Faults { over, task }
    }

    /// Ends it, with the server up and the pool as it was.
    pub(crate) async fn stop(self) -> History {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.expect("faults do not panic")
    }
}

struct Weather {
    pool: Pool<Postgres>,
    server: Arc<PostgreSql>,
    draw: Rng,
    history: History,
}

impl Weather {
    async fn blow(mut self, over: Arc<AtomicBool>) -> History {
        while !over.load(Ordering::Relaxed) {
            self.wait(500..4000).await;
            self.strike().await;
        }
        self.history
    }

    async fn wait(&mut self, millis: Range<u64>) -> Duration {
        let duration = Duration::from_millis(self.draw.u64(millis));
        sleep(duration).await;
        duration
    }

    async fn strike(&mut self) {
        match self.draw.u32(0..100) {
            0..25 => {
                self.history.kills += 1;
                self.with_server(|server| server.kill()).await;
                let down = self.wait(0..8000).await;
                self.history.down += down;
                self.with_server(|server| server.restart()).await;
                self.recover().await;
            }
            25..45 => {
                self.history.silences += 1;
                self.with_server(|server| server.freeze()).await;
                let down = self.wait(200..5000).await;
                self.history.down += down;
                self.with_server(|server| server.thaw()).await;
                self.recover().await;
            }
            45..65 => {
                self.history.terminations += 1;
                self.with_server(|server| server.terminate(CLIENT)).await;
                self.recover().await;
            }
            65..75 => {
                self.history.resets += 1;
                self.pool.reset();
                self.recover().await;
            }
            75..90 => {
                self.history.resizes += 1;
                self.pool.resize(self.draw.usize(SIZE / 2..2 * SIZE));
                self.wait(500..3000).await;
                self.pool.resize(SIZE);
            }
            _ => {
                self.history.pauses += 1;
                drop(self.pool.pause());
                self.wait(100..1000).await;
                self.pool.resume();
            }
        }
    }

    /// Waits until the pool has got over it.
    async fn recover(&mut self) {
        let begin = Instant::now();
        let alive = |pool: &Pool<Postgres>| pool.status().idle + pool.status().in_use;
        while alive(&self.pool) < SIZE / 2 {
            if begin.elapsed() > Duration::from_secs(10) {
                self.history.never += 1;
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.history.recoveries.push(begin.elapsed());
        // What was given up meanwhile has to be gone soon, at the server as well.
        sleep(Duration::from_secs(3)).await;
        let server = Arc::clone(&self.server);
        let sessions = spawn_blocking(move || server.sessions(CLIENT)).await;
        let sessions = sessions.expect("the server is there");
        self.history.most_sessions = self.history.most_sessions.max(sessions);
    }

    /// Does to the server what blocks.
    async fn with_server<T: Send + 'static>(
        &self,
        act: impl FnOnce(&PostgreSql) -> T + Send + 'static,
    ) {
        let server = Arc::clone(&self.server);
        spawn_blocking(move || drop(act(&server)))
            .await
            .expect("it can be done");
    }
}
