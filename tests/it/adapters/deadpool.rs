//! Managers that were written for deadpool.

use std::error::Error;
use std::sync::Mutex;

use ::deadpool::managed::{self, RecycleError, RecycleResult};
use watertight::{CheckPolicy, DeadpoolError, DeadpoolManager, PooledConnection};

use super::server::{Fate, Link, Refused, Server};
use super::trial::{self, Adapted, Trial};
use crate::support::{World, laws};

/// The server, and what `recycle` was told.
struct Told {
    server: Server,
    metrics: Mutex<Vec<managed::Metrics>>,
    /// Whether `recycle` fails with a message instead of the server's own error.
    in_words: bool,
}

impl managed::Manager for Told {
    type Type = Link;
    type Error = Refused;

    async fn create(&self) -> Result<Link, Refused> {
        self.server.connect()
    }

    async fn recycle(&self, link: &mut Link, metrics: &managed::Metrics) -> RecycleResult<Refused> {
        self.metrics.lock().unwrap().push(*metrics);
        let checked = self.server.check(link);
        match self.in_words {
            true => checked.map_err(|_| RecycleError::message("too old")),
            false => Ok(checked?),
        }
    }

    fn detach(&self, link: &mut Link) {
        self.server.0.detached.lock().unwrap().push(link.number);
    }
}

type Subject = DeadpoolManager<Told>;

impl Adapted for Subject {
    fn over(server: Server) -> Self {
        DeadpoolManager::new(Told {
            server,
            metrics: Mutex::default(),
            in_words: false,
        })
    }

    fn server(&self) -> &Server {
        &self.get_ref().server
    }

    fn link(connection: &Link) -> &Link {
        connection
    }

    fn link_mut(connection: &mut Link) -> &mut Link {
        connection
    }

    fn refusal(error: &DeadpoolError<Refused>) -> Option<&Refused> {
        match error {
            DeadpoolError::Backend(refused) => Some(refused),
            _ => None,
        }
    }
}

async fn object_is_reused_and_recycle_runs_before_each_loan_but_the_first(w: World) {
    trial::is_reused::<Subject>(w).await;
}

async fn recycle_does_not_run_unless_asked(w: World) {
    trial::is_not_checked_unless_asked::<Subject>(w).await;
}

async fn failing_recycle_moves_on_to_the_next(w: World) {
    trial::failed_check_moves_on::<Subject>(w).await;
}

async fn panicking_create_or_recycle_gives_its_place_back(w: World) {
    trial::panics_cost_a_connection_each::<Subject>(w).await;
}

async fn error_of_create_reaches_the_caller(w: World) {
    trial::error_reaches_the_caller::<Subject>(w).await;
}

async fn error_of_create_is_the_cause_of_a_time_out(w: World) {
    trial::error_is_the_cause_of_a_time_out::<Subject>(w).await;
}

async fn detach_is_called_once_for_each_that_is_closed(w: World) {
    let trial = Trial::<Subject>::of(&w, |b| b.max_size(1).check_policy(CheckPolicy::Always));
    let detached = || trial.scripts.detached.lock().unwrap().clone();
    trial.borrow_briefly().await;
    trial.scripts.checks.next([Fate::Err]);
    let conn = trial.acquire().await.unwrap();
    assert_eq!(detached(), [0], "it could not be recycled");
    PooledConnection::discard(conn);
    w.until(|| trial.pool.status().size == 0).await;
    assert_eq!(detached(), [0, 1]);
    let conn = trial.acquire().await.unwrap();
    let mut mine = PooledConnection::detach(conn);
    assert_eq!(detached(), [0, 1], "its new owner may say so");
    managed::Manager::detach(trial.pool.manager().get_ref(), &mut mine);
    drop(mine);
    trial.borrow_briefly().await;
    let scripts = trial.scripts.clone();
    trial.end().await;
    assert_eq!(*scripts.detached.lock().unwrap(), [0, 1, 2, 3]);
}

async fn recycle_is_told_the_history_of_the_object(w: World) {
    // An age so short that every return reads the clock.
    let policy = CheckPolicy::IdleFor(w.ms(1));
    let trial = Trial::<Subject>::of(&w, |b| b.max_size(1).check_policy(policy));
    let created = w.now();
    let mut returned = Vec::new();
    for _ in 0..4 {
        let conn = trial.acquire().await.unwrap();
        w.sleep(20).await;
        drop(conn);
        returned.push(w.now());
        w.sleep(100).await;
    }
    let told = std::mem::take(&mut *trial.pool.manager().get_ref().metrics.lock().unwrap());
    let counts: Vec<_> = told.iter().map(|metrics| metrics.recycle_count).collect();
    assert_eq!(counts, [0, 1, 2]);
    assert!(told.iter().all(|metrics| metrics.created == created));
    let used: Vec<_> = told.iter().map(|metrics| metrics.recycled).collect();
    assert_eq!(used, [None, Some(returned[1]), Some(returned[2])]);
    trial.end().await;
}

laws! {
    every_mode:
        object_is_reused_and_recycle_runs_before_each_loan_but_the_first,
        recycle_does_not_run_unless_asked,
        failing_recycle_moves_on_to_the_next,
        panicking_create_or_recycle_gives_its_place_back,
        error_of_create_reaches_the_caller,
        error_of_create_is_the_cause_of_a_time_out,
        detach_is_called_once_for_each_that_is_closed;
    virtual_only: recycle_is_told_the_history_of_the_object;
}

#[test]
fn recycle_may_fail_in_words() {
    World::by_hand(|w, runtime| {
        let server = Server::default();
        let manager = DeadpoolManager::new(Told {
            server: server.clone(),
            metrics: Mutex::default(),
            in_words: true,
        });
        let pool = w.in_scene(watertight::Pool::builder(manager));
        let pool = pool.check_policy(CheckPolicy::Always).build().unwrap();
        runtime.block_on(async {
            drop(pool.acquire().await.unwrap());
            server.0.checks.next([Fate::Err]);
            assert_eq!(pool.acquire().await.unwrap().number, 1);
            pool.close().await;
        });
        assert_eq!(pool.statistics().closes.check_failed, 1);
    });
}

#[test]
fn error_reads_like_the_one_that_it_stands_for() {
    let refused = DeadpoolError::Backend(Refused);
    assert_eq!(refused.to_string(), Refused.to_string());
    let sources = [refused.source(), Refused.source()];
    assert_eq!(
        sources.map(|s| s.map(ToString::to_string)),
        [
            Some(std::fmt::Error.to_string()),
            Some(std::fmt::Error.to_string())
        ]
    );
    let message = DeadpoolError::from(RecycleError::<Refused>::message("too old"));
    assert_eq!(message.to_string(), "too old");
    assert!(message.source().is_none());
}

#[test]
fn adapter_shows_nothing_and_gives_back_what_it_wraps() {
    let server = Server::default();
    let adapter = Subject::over(server.clone());
    assert_eq!(format!("{adapter:?}"), "DeadpoolManager { .. }");
    let back = adapter.into_inner().server;
    assert!(std::sync::Arc::ptr_eq(&server.0, &back.0));
}
