//! What holds for every adapter.

use std::error::Error;
use std::sync::Arc;

use watertight::{
    AcquireError, Builder, CheckPolicy, ConnectPolicy, Manager, Pool, PooledConnection,
};

use super::server::{Fate, Link, Refused, Scripts, Server};
use crate::support::World;

/// A manager of this crate's, made of one that was written for another.
pub(super) trait Adapted: Manager<Error: Error> {
    fn over(server: Server) -> Self;

    /// The server, through the adapter.
    fn server(&self) -> &Server;

    fn link(connection: &Self::Connection) -> &Link;

    fn link_mut(connection: &mut Self::Connection) -> &mut Link;

    fn refusal(error: &Self::Error) -> Option<&Refused>;
}

/// A pool of such a manager.
pub(super) struct Trial<M: Manager> {
    w: World,
    pub(super) scripts: Arc<Scripts>,
    pub(super) pool: Pool<M>,
}

impl<M: Adapted> Trial<M> {
    pub(super) fn of(w: &World, configure: impl FnOnce(Builder<M>) -> Builder<M>) -> Self {
        let server = Server::default();
        let scripts = Arc::clone(&server.0);
        let builder = w.in_scene(Pool::builder(M::over(server)));
        let pool = configure(builder).build().unwrap();
        assert!(Arc::ptr_eq(&pool.manager().server().0, &scripts));
        let w = w.clone();
        Trial { w, scripts, pool }
    }

    pub(super) async fn acquire(&self) -> Result<PooledConnection<M>, AcquireError<M::Error>> {
        match self.w.blocks() {
            true => self.pool.sync().acquire(),
            false => self.pool.acquire().await,
        }
    }

    /// The number of the link that is lent next.
    pub(super) async fn borrow_briefly(&self) -> usize {
        M::link(&self.acquire().await.unwrap()).number
    }

    /// All places can be had, so none was lost; then nothing is left.
    pub(super) async fn end(self) {
        let mut held = Vec::new();
        for _ in 0..self.pool.status().max_size {
            held.push(self.acquire().await.unwrap());
        }
        drop(held);
        self.pool.close().await;
        assert_eq!(self.scripts.alive(), 0, "links are left");
    }
}

pub(super) async fn is_reused<M: Adapted>(w: World) {
    let trial = Trial::<M>::of(&w, |b| b.max_size(2).check_policy(CheckPolicy::Always));
    assert_eq!(trial.borrow_briefly().await, 0);
    assert_eq!(trial.scripts.checks.calls(), 0, "a new one needs no check");
    assert_eq!(trial.borrow_briefly().await, 0);
    assert_eq!(trial.borrow_briefly().await, 0);
    assert_eq!(trial.scripts.checks.calls(), 2, "before each loan");
    assert_eq!(trial.scripts.connects.calls(), 1);
    trial.end().await;
}

pub(super) async fn is_not_checked_unless_asked<M: Adapted>(w: World) {
    let trial = Trial::<M>::of(&w, |b| b.max_size(1).check_policy(CheckPolicy::Never));
    trial.scripts.checks.always(Fate::Err);
    assert_eq!(trial.borrow_briefly().await, 0);
    assert_eq!(trial.borrow_briefly().await, 0);
    assert_eq!(trial.scripts.checks.calls(), 0);
    trial.end().await;
}

pub(super) async fn broken_one_is_closed_on_return<M: Adapted>(w: World) {
    let trial = Trial::<M>::of(&w, |b| b.max_size(1));
    let mut conn = trial.acquire().await.unwrap();
    M::link_mut(&mut conn).broken = true;
    drop(conn);
    let here = std::thread::current().id();
    assert_eq!(trial.scripts.looks.callers(), [here]);
    w.until(|| trial.pool.status().size == 0).await;
    assert_eq!(trial.scripts.alive(), 0);
    assert_eq!(trial.pool.statistics().closes.broken, 1);
    assert_eq!(trial.borrow_briefly().await, 1);
    trial.end().await;
}

pub(super) async fn failed_check_moves_on<M: Adapted>(w: World) {
    let trial = Trial::<M>::of(&w, |b| b.max_size(2).check_policy(CheckPolicy::Always));
    drop([
        trial.acquire().await.unwrap(),
        trial.acquire().await.unwrap(),
    ]);
    trial.scripts.checks.next([Fate::Err]);
    let survivor = trial.borrow_briefly().await;
    assert_eq!(
        survivor, 0,
        "the last one back is tried first, then the other"
    );
    assert_eq!(trial.scripts.connects.calls(), 2);
    w.until(|| trial.pool.status().size == 1).await;
    trial.scripts.checks.next([Fate::Err]);
    assert_eq!(trial.borrow_briefly().await, 2, "no other was left");
    w.until(|| trial.pool.status().size == 1).await;
    assert_eq!(trial.pool.statistics().closes.check_failed, 2);
    assert_eq!(trial.scripts.alive(), 1);
    trial.end().await;
}

pub(super) async fn panics_cost_a_connection_each<M: Adapted>(w: World) {
    let trial = Trial::<M>::of(&w, |b| b.max_size(1).check_policy(CheckPolicy::Always));
    trial.scripts.connects.next([Fate::Panic]);
    assert_eq!(trial.borrow_briefly().await, 1, "it was tried again");
    assert_eq!(trial.pool.statistics().failed_connects, 1);
    trial.scripts.checks.next([Fate::Panic]);
    assert_eq!(trial.borrow_briefly().await, 2);
    assert_eq!(trial.pool.statistics().closes.check_failed, 1);
    trial.end().await;
}

pub(super) async fn panicking_look_costs_a_connection<M: Adapted>(w: World) {
    let trial = Trial::<M>::of(&w, |b| b.max_size(1));
    trial.scripts.looks.next([Fate::Panic]);
    assert_eq!(trial.borrow_briefly().await, 0);
    w.until(|| trial.pool.status().size == 0).await;
    assert_eq!(trial.pool.statistics().closes.broken, 1);
    assert_eq!(trial.borrow_briefly().await, 1);
    trial.end().await;
}

fn root(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => root(source),
        None => error.to_string(),
    }
}

pub(super) async fn error_reaches_the_caller<M: Adapted>(w: World) {
    let policy = ConnectPolicy::FailFast;
    let trial = Trial::<M>::of(&w, |b| b.max_size(1).connect_policy(policy));
    trial.scripts.connects.next([Fate::Err]);
    let error = trial.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Connect(_)), "{error:?}");
    let refused = error
        .connect_error()
        .and_then(|cause| cause.manager_error());
    assert!(refused.and_then(M::refusal).is_some(), "{error:?}");
    assert_eq!(root(&error), std::fmt::Error.to_string());
    trial.end().await;
}

pub(super) async fn error_is_the_cause_of_a_time_out<M: Adapted>(w: World) {
    let trial = Trial::<M>::of(&w, |b| b.max_size(1));
    trial.scripts.connects.always(Fate::Err);
    let limit = w.ms(500);
    let acquired = match w.blocks() {
        true => trial.pool.sync().acquire_timeout(limit),
        false => trial.pool.acquire_timeout(limit).await,
    };
    let error = acquired.unwrap_err();
    assert!(error.is_timed_out(), "{error:?}");
    let refused = error
        .connect_error()
        .and_then(|cause| cause.manager_error());
    assert!(refused.and_then(M::refusal).is_some(), "{error:?}");
    trial.scripts.connects.always(Fate::Ok);
    trial.end().await;
}
