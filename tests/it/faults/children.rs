//! Real child processes that are stopped or killed.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use watertight::{Blocking, Builder, CheckPolicy, Pool, PooledConnection};

use super::child::{Asynchronous, Child, Nursery, Plodding, Register};
use super::{PATIENCE, Site, Stopwatch, faults};

const CHECK_TIMEOUT: Duration = Duration::from_millis(150);
const RECYCLE_TIMEOUT: Duration = Duration::from_millis(200);
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// Runs a body on a pool of one child, and sees to it that no process is left. Whoever is stopped
/// goes on when the body is over.
async fn with_a_child<N: Nursery>(
    site: &Site,
    configure: impl FnOnce(Builder<N>) -> Builder<N>,
    body: impl AsyncFnOnce(Pool<N>),
) {
    let register = Register::default();
    let builder = Pool::builder(N::new(register.clone()))
        .max_size(1)
        .acquire_timeout(PATIENCE)
        .check_timeout(CHECK_TIMEOUT)
        .recycle_timeout(RECYCLE_TIMEOUT)
        .close_timeout(CLOSE_TIMEOUT)
        .runtime(site.runtime());
    let pool = configure(builder).build().unwrap();
    body(pool.clone()).await;
    for pid in register.all() {
        let _ = kill_process(pid, Signal::CONT);
    }
    assert_eq!(pool.close_within(PATIENCE).await, 0);
    assert!(register.all().len() > 1, "the child was replaced");
    let left = || register.are_all_reaped();
    site.until(left).await;
}

async fn lend<N: Nursery>(site: &Site, pool: &Pool<N>) -> PooledConnection<N> {
    match site.acquire(pool).await {
        Ok(child) => child,
        Err(_) => panic!("no child to be had: {:?}", pool.status()),
    }
}

/// The next to be lent is another one, and well.
async fn replaced<N: Nursery>(site: &Site, pool: &Pool<N>, old: Pid) {
    let mut next = lend(site, pool).await;
    assert_ne!(next.pid(), old);
    next.ask().await.unwrap();
}

async fn stop_before_a_check<N: Nursery>(site: Site) {
    let always = |b: Builder<N>| b.check_policy(CheckPolicy::Always);
    with_a_child(&site, always, async |pool| {
        let child = lend(&site, &pool).await;
        let stopped = child.pid();
        drop(child);
        kill_process(stopped, Signal::STOP).unwrap();
        let watch = Stopwatch::start();
        replaced(&site, &pool, stopped).await;
        watch.assert_at(CHECK_TIMEOUT + CLOSE_TIMEOUT);
        let closes = pool.statistics().closes;
        assert_eq!((closes.check_failed, closes.total()), (1, 1), "{closes:?}");
    })
    .await;
}

async fn stop_before_a_recycling<N: Nursery>(site: Site) {
    with_a_child(
        &site,
        |b: Builder<N>| b,
        async |pool| {
            let mut child = lend(&site, &pool).await;
            let stopped = child.pid();
            child.set_dirty();
            kill_process(stopped, Signal::STOP).unwrap();
            let watch = Stopwatch::start();
            drop(child);
            watch.assert_before(RECYCLE_TIMEOUT);
            replaced(&site, &pool, stopped).await;
            watch.assert_at(RECYCLE_TIMEOUT + CLOSE_TIMEOUT);
            let closes = pool.statistics().closes;
            assert_eq!(
                (closes.recycle_failed, closes.total()),
                (1, 1),
                "{closes:?}"
            );
        },
    )
    .await;
}

async fn stop_before_a_close<N: Nursery>(site: Site) {
    with_a_child(
        &site,
        |b: Builder<N>| b,
        async |pool| {
            let child = lend(&site, &pool).await;
            let stopped = child.pid();
            kill_process(stopped, Signal::STOP).unwrap();
            let watch = Stopwatch::start();
            PooledConnection::discard(child);
            assert_eq!(pool.status().closing, 1);
            replaced(&site, &pool, stopped).await;
            watch.assert_at(CLOSE_TIMEOUT);
            assert_eq!(pool.statistics().closes.discarded, 1);
        },
    )
    .await;
}

async fn kill_while_idle<N: Nursery>(site: Site) {
    let always = |b: Builder<N>| b.check_policy(CheckPolicy::Always).check_timeout(PATIENCE);
    with_a_child(&site, always, async |pool| {
        let child = lend(&site, &pool).await;
        let killed = child.pid();
        drop(child);
        kill_process(killed, Signal::KILL).unwrap();
        let watch = Stopwatch::start();
        replaced(&site, &pool, killed).await;
        watch.assert_before(PATIENCE);
        assert_eq!(pool.statistics().closes.check_failed, 1);
    })
    .await;
}

async fn kill_while_lent<N: Nursery>(site: Site) {
    with_a_child(
        &site,
        |b: Builder<N>| b,
        async |pool| {
            let mut child = lend(&site, &pool).await;
            let killed = child.pid();
            kill_process(killed, Signal::KILL).unwrap();
            assert!(child.ask().await.is_err());
            drop(child);
            replaced(&site, &pool, killed).await;
            assert_eq!(pool.statistics().closes.broken, 1);
        },
    )
    .await;
}

async fn kill_during_a_check<N: Nursery>(site: Site) {
    let always = |b: Builder<N>| b.check_policy(CheckPolicy::Always).check_timeout(PATIENCE);
    with_a_child(&site, always, async |pool| {
        let child = lend(&site, &pool).await;
        let killed = child.pid();
        drop(child);
        // Stopped, it is sure to be in the middle of its check.
        kill_process(killed, Signal::STOP).unwrap();
        let watch = Stopwatch::start();
        let caller = {
            let (site, pool) = (site.clone(), pool.clone());
            site.clone()
                .spawn(async move { replaced(&site, &pool, killed).await })
        };
        site.until(|| pool.status().checking == 1).await;
        kill_process(killed, Signal::KILL).unwrap();
        caller.await;
        watch.assert_before(PATIENCE);
        assert_eq!(pool.statistics().closes.check_failed, 1);
    })
    .await;
}

/// A fault for both kinds of manager.
macro_rules! children {
    ($($name:ident: $fault:ident;)+) => {
        $(async fn $name(site: Site) {
            $fault::<Asynchronous>(site.clone()).await;
            $fault::<Blocking<Plodding>>(site).await;
        })+
        faults!($($name),+);
    };
}

children! {
    stopped_child_fails_its_check_on_time: stop_before_a_check;
    stopped_child_fails_its_recycling_on_time: stop_before_a_recycling;
    stopped_child_holds_up_its_close_no_longer_than_allowed: stop_before_a_close;
    child_killed_while_idle_is_replaced: kill_while_idle;
    child_killed_while_lent_is_replaced: kill_while_lent;
    child_killed_during_a_check_is_replaced: kill_during_a_check;
}
