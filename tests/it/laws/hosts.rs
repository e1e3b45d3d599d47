//! Several hosts behind one pool.

use std::error::Error;
use std::time::Duration;

use futures_lite::future::{or, yield_now, zip};
use watertight::{
    AcquireError, BalancePolicy, Balanced, BalancedConnection, BalancedError, CheckPolicy,
    Condition, ConnectError, ConnectPolicy, EndpointStatus, Manager, Pool, PooledConnection,
};

use crate::support::{
    Gate, Refused, Scripted, World, err, hang, join, laws, ok, panics, permanent,
};

laws! {
    every_mode:
        host_that_is_down_is_passed_over_until_its_recheck,
        hosts_begin_anew_with_a_reset,
        hosts_that_are_all_down_are_one_error,
        hosts_that_are_all_down_are_tried_all_the_same,
        share_of_a_host_that_is_down_is_spread,
        share_is_spread_though_all_opens_come_at_once,
        trouble_with_one_host_is_none_for_the_others,
        connections_of_one_host_can_be_cleared,
        every_call_goes_to_the_manager_that_connected,
        preferred_role_falls_back_on_the_others,
        required_role_does_not_fall_back,
        least_loaded_host_is_chosen,
        error_is_permanent_only_if_all_are,
        host_whose_manager_panics_is_passed_over,
        host_without_endpoints_fails_at_once;
    virtual_only:
        hung_host_takes_no_more_than_its_share,
        host_that_is_due_is_tried_by_one_at_a_time,
        host_that_hangs_is_tried_by_one_at_a_time_however_soon_it_is_due,
        attempt_that_is_broken_off_takes_its_host_down,
        attempt_that_is_broken_off_before_its_time_says_nothing,
        host_that_hangs_is_found_out_by_those_who_never_give_it_its_time,
        attempt_that_is_broken_off_brings_no_host_back,
        attempt_that_is_broken_off_early_says_nothing_of_a_host_that_nobody_knows,
        what_was_broken_off_before_a_success_or_a_reset_does_not_count,
        recheck_that_is_broken_off_before_its_time_keeps_nobody_away,
        host_that_is_due_at_once_is_never_set_apart,
        late_failure_says_nothing_of_a_host_that_is_back,
        unattached_hosts_need_no_runtime;
}

type Session = PooledConnection<Balanced<Scripted>>;
type Connected = Result<Session, AcquireError<BalancedError<Refused>>>;

/// A pool over hosts that each have a world, and so scripts and a ledger, of their own.
#[derive(Clone)]
struct Hosts {
    pool: Pool<Balanced<Scripted>>,
    world: World,
    hosts: Vec<World>,
}

impl Hosts {
    fn new(
        w: &World,
        hosts: usize,
        set: impl FnOnce(Balanced<Scripted>) -> Balanced<Scripted>,
    ) -> Self {
        Hosts::made_by(w, hosts, None, |managers| {
            set(Balanced::new(managers)
                .connect_timeout(w.ms(9000))
                .recheck_after(w.ms(30_000)))
        })
    }

    /// With one connect at a time, for the pool hedges against one that is slow.
    fn one_by_one(
        w: &World,
        hosts: usize,
        set: impl FnOnce(Balanced<Scripted>) -> Balanced<Scripted>,
    ) -> Self {
        Hosts::made_by(w, hosts, Some(1), |managers| {
            set(Balanced::new(managers).connect_timeout(w.ms(9000)))
        })
    }

    /// Without retries, so that each connect is one of the test's.
    fn made_by(
        w: &World,
        hosts: usize,
        concurrency: Option<usize>,
        make: impl FnOnce(Vec<Scripted>) -> Balanced<Scripted>,
    ) -> Self {
        let hosts: Vec<_> = (0..hosts).map(|_| w.sibling()).collect();
        for host in &hosts {
            host.ledger().set_limit(usize::MAX);
        }
        let balanced = make(hosts.iter().map(World::manager).collect());
        let pool = w.in_scene(Pool::builder(balanced));
        let pool = pool
            .max_size(100)
            .connect_concurrency(concurrency)
            .connect_timeout(w.ms(10_000))
            .connect_policy(ConnectPolicy::FailFast)
            .build();
        Hosts {
            pool: pool.unwrap(),
            world: w.clone(),
            hosts,
        }
    }

    async fn acquire(&self) -> Connected {
        match self.world.blocks() {
            true => self.pool.sync().acquire(),
            false => self.pool.acquire().await,
        }
    }

    /// Opens so many connections, one after the other.
    async fn open(&self, connections: usize) -> Vec<Session> {
        let mut held = Vec::new();
        for _ in 0..connections {
            held.push(self.acquire().await.unwrap());
        }
        held
    }

    fn opening(&self) -> crate::support::Task<Connected> {
        let hosts = self.clone();
        self.world.spawn(async move { hosts.acquire().await })
    }

    /// How often each host was tried.
    fn tries(&self) -> Vec<usize> {
        let hosts = self.hosts.iter();
        hosts.map(|host| host.connects().calls()).collect()
    }

    /// How many connections each host has.
    fn live(&self) -> Vec<usize> {
        let hosts = self.hosts.iter();
        hosts.map(|host| host.ledger().count().live).collect()
    }

    fn down(&self) -> Vec<bool> {
        let hosts = self.pool.manager().endpoints().into_iter();
        hosts.map(|host| host.is_down).collect()
    }
}

fn endpoints(held: &[Session]) -> Vec<usize> {
    held.iter().map(|conn| conn.endpoint()).collect()
}

/// What each endpoint died of.
fn failures(result: Connected) -> Vec<(usize, ConnectError<Refused>)> {
    match result {
        Err(AcquireError::Connect(ConnectError::Failed(error))) => {
            let failures = error.failures().iter();
            let failures = failures.map(|one| (one.endpoint(), one.error().clone()));
            failures.collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Law 198.
async fn host_that_is_down_is_passed_over_until_its_recheck(w: World) {
    let h = Hosts::new(&w, 2, |b| b);
    h.hosts[0].connects().always(err());
    let mut held = h.open(3).await;
    assert_eq!(endpoints(&held), [1, 1, 1]);
    assert_eq!(h.tries(), [1, 3], "it was tried once, and then passed over");
    assert_eq!(h.down(), [true, false]);
    w.sleep(31_000).await;
    assert_eq!(h.down(), [false, false], "it is due");
    held.extend(h.open(2).await);
    assert_eq!(
        h.tries(),
        [2, 5],
        "it was tried again, and passed over again"
    );
    h.hosts[0].connects().forget();
    w.sleep(31_000).await;
    held.extend(h.open(2).await);
    assert_eq!(endpoints(&held), [1, 1, 1, 1, 1, 0, 1]);
}

/// Law 122: what a host was like before, and what an attempt of before comes to, is past.
async fn hosts_begin_anew_with_a_reset(w: World) {
    let h = Hosts::new(&w, 2, |b| b);
    let gate = Gate::new();
    h.hosts[0].connects().next([err(), err().at(&gate)]);
    let mut held = h.open(2).await;
    assert_eq!(h.down(), [true, false]);
    h.pool.reset();
    assert_eq!(h.down(), [false, false]);
    let before = h.clone();
    let slow = w.spawn(async move { before.acquire().await });
    w.until(|| h.tries()[0] == 2).await;
    h.pool.reset();
    gate.open();
    held.push(slow.await.unwrap());
    assert_eq!(h.down(), [false, false]);
    let tries = h.tries()[0];
    held.extend(h.open(2).await);
    assert_eq!(h.tries()[0], tries + 1);
}

/// Law 199.
async fn hosts_that_are_all_down_are_one_error(w: World) {
    let h = Hosts::one_by_one(&w, 3, |b| b);
    h.hosts[0].connects().always(err());
    h.hosts[1].connects().always(hang());
    h.hosts[2].connects().always(permanent());
    let watch = w.stopwatch();
    let error = h.acquire().await.unwrap_err();
    // The second had half of what was left to two.
    watch.assert_at(4500);
    let Some(ConnectError::Failed(error)) = error.connect_error() else {
        panic!("{error:?}");
    };
    let text = "endpoint 0: refused; endpoint 1: timed out; endpoint 2: refused";
    assert_eq!(error.to_string(), text);
    assert!(error.source().is_none(), "there are three");
    let of_one = &error.failures()[2];
    assert_eq!(of_one.to_string(), "endpoint 2 failed");
    let cause = of_one.source().and_then(Error::source).unwrap();
    assert_eq!(cause.downcast_ref(), Some(&Refused { permanent: true }));
}

/// Law 199: what is known to be down is better than nothing.
async fn hosts_that_are_all_down_are_tried_all_the_same(w: World) {
    let h = Hosts::new(&w, 2, |b| b);
    for host in &h.hosts {
        host.connects().always(err());
    }
    for round in 1..4 {
        assert_eq!(failures(h.acquire().await).len(), 2);
        assert_eq!(h.tries(), [round, round]);
    }
    h.hosts[1].connects().forget();
    assert_eq!(endpoints(&h.open(1).await), [1]);
    assert_eq!(h.down(), [true, false]);
}

/// Law 200, wherever the one is that is down.
async fn share_of_a_host_that_is_down_is_spread(w: World) {
    for policy in [BalancePolicy::RoundRobin, BalancePolicy::LeastLoaded] {
        for down in 0..7 {
            let h = Hosts::new(&w, 7, |b| b.policy(policy));
            h.hosts[down].connects().always(err());
            let held = h.open(12).await;
            let mut each = [2; 7];
            each[down] = 0;
            assert_eq!(h.live(), each);
            drop(held);
        }
    }
}

/// Law 200.
async fn share_is_spread_though_all_opens_come_at_once(w: World) {
    let h = Hosts::new(&w, 7, |b| b);
    h.hosts[0].connects().always(err().after(w.ms(100)));
    for up in &h.hosts[1..] {
        up.connects().always(ok().after(w.ms(200)));
    }
    let tasks: Vec<_> = (0..12).map(|_| h.opening()).collect();
    let held: Vec<_> = join(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(h.live(), [0, 2, 2, 2, 2, 2, 2]);
    drop(held);
}

/// Law 201: a check that fails, a connection that breaks.
async fn trouble_with_one_host_is_none_for_the_others(w: World) {
    let hosts: Vec<_> = (0..2).map(|_| w.sibling()).collect();
    for host in &hosts {
        host.ledger().set_limit(usize::MAX);
    }
    let balanced = Balanced::new(hosts.iter().map(World::manager));
    let pool = w.in_scene(Pool::builder(balanced));
    let pool = pool.check_policy(CheckPolicy::Always).build().unwrap();
    let acquire = async || match w.blocks() {
        true => pool.sync().acquire().unwrap(),
        false => pool.acquire().await.unwrap(),
    };
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(acquire().await);
    }
    drop(held);
    hosts[0].checks().always(err());
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(acquire().await);
    }
    assert!(held.iter().all(|conn| conn.endpoint() == 1));
    assert_eq!(hosts[1].ledger().closes_begun(), 0);
    let up = EndpointStatus::clone(&pool.manager().endpoints()[0]);
    assert!(!up.is_down, "a check says nothing about connecting");
    held[0].condition = Condition::Broken;
    drop(held);
    w.until(|| hosts[1].ledger().count().closed == 1).await;
}

/// Law 201: as when one host is about to be shut down.
async fn connections_of_one_host_can_be_cleared(w: World) {
    let h = Hosts::new(&w, 3, |b| b);
    let mut held = h.open(9).await;
    let lent = held.drain(..2).collect::<Vec<_>>();
    drop(held);
    assert_eq!(h.pool.retain(|conn, _| conn.endpoint() != 1), 2);
    w.until(|| h.live() == [3, 1, 3]).await;
    assert_eq!(endpoints(&lent), [0, 1], "lent ones are left alone");
}

/// Law 201.
async fn every_call_goes_to_the_manager_that_connected(w: World) {
    let h = Hosts::new(&w, 2, |b| b);
    let mut held = h.open(2).await;
    assert_eq!(held[1].id(), 0, "the first of its own host's");
    held[1].condition = Condition::Dirty;
    drop(held);
    w.until(|| h.hosts[1].recycles().calls() == 1).await;
    w.until(|| h.pool.status().idle == 2).await;
    let mut held = h.open(2).await;
    held.sort_by_key(|conn| conn.endpoint());
    assert_eq!(h.hosts[0].recycles().calls(), 0);
    let one = BalancedConnection::into_inner(PooledConnection::detach(held.remove(0)));
    assert_eq!(h.pool.manager().endpoints()[0].connections, 0);
    h.pool.manager().manager(0).unwrap().close(one).await;
    PooledConnection::discard(held.remove(0));
    w.until(|| h.hosts[1].ledger().closes_begun() == 1).await;
    assert_eq!(h.hosts[0].ledger().closes_begun(), 1);
    assert!(h.pool.manager().manager(2).is_none());
}

/// Law 202.
async fn preferred_role_falls_back_on_the_others(w: World) {
    let h = Hosts::made_by(&w, 3, None, |managers| {
        let roles = ["primary", "replica", "replica"];
        Balanced::preferring("replica", roles.into_iter().zip(managers)).recheck_after(w.ms(30_000))
    });
    let mut held = h.open(4).await;
    assert_eq!(endpoints(&held), [1, 2, 1, 2]);
    h.hosts[1].connects().always(err());
    held.extend(h.open(2).await);
    assert_eq!(endpoints(&held)[4..], [2, 2]);
    h.hosts[2].connects().always(err());
    held.extend(h.open(2).await);
    assert_eq!(endpoints(&held)[6..], [0, 0]);
    h.hosts[1].connects().forget();
    w.sleep(31_000).await;
    held.extend(h.open(2).await);
    assert_eq!(endpoints(&held)[8..], [1, 1], "and is preferred again");
}

/// Law 202.
async fn required_role_does_not_fall_back(w: World) {
    let h = Hosts::made_by(&w, 2, None, |managers| {
        let roles = ["primary", "replica"];
        Balanced::requiring("replica", roles.into_iter().zip(managers))
    });
    assert_eq!(endpoints(&h.open(2).await), [1, 1]);
    h.pool.retain(|_, _| false);
    h.hosts[1].connects().always(err());
    let failures = failures(h.acquire().await);
    assert!(matches!(failures[..], [(1, ConnectError::Failed(_))]));
    assert_eq!(h.tries()[0], 0);
}

/// Law 200, by another measure.
async fn least_loaded_host_is_chosen(w: World) {
    let h = Hosts::new(&w, 3, |b| b.policy(BalancePolicy::LeastLoaded));
    let mut held = h.open(6).await;
    held.retain(|conn| conn.endpoint() != 1);
    assert_eq!(h.pool.retain(|_, _| false), 2);
    w.until(|| h.live() == [2, 0, 2]).await;
    held.extend(h.open(3).await);
    assert_eq!(h.live(), [3, 2, 2]);
    let status = h.pool.manager().endpoints();
    let connections = status.iter().map(|host| host.connections);
    assert!(connections.eq([3, 2, 2]), "{status:?}");
}

/// Law 199: there may be hope for one.
async fn error_is_permanent_only_if_all_are(w: World) {
    let h = Hosts::new(&w, 2, |b| b);
    let (one, other) = (h.hosts[0].connects(), h.hosts[1].connects());
    let manager = h.pool.manager();
    for (step, is_permanent) in [(err(), false), (permanent(), true), (panics(), false)] {
        one.next([permanent()]);
        other.next([step]);
        let error = h.acquire().await.unwrap_err();
        let error = error.connect_error().and_then(ConnectError::manager_error);
        assert_eq!(manager.is_permanent(error.unwrap()), is_permanent);
    }
}

/// Law 199.
async fn host_whose_manager_panics_is_passed_over(w: World) {
    let h = Hosts::new(&w, 2, |b| b);
    h.hosts[0].connects().always(panics());
    assert_eq!(endpoints(&h.open(2).await), [1, 1]);
    assert_eq!(h.tries(), [1, 2]);
    h.hosts[1].connects().always(err());
    h.pool.retain(|_, _| false);
    let failures = failures(h.acquire().await);
    let panicked =
        |(host, error): &(usize, _)| *host == 0 && matches!(error, ConnectError::Panicked);
    assert!(failures.iter().any(panicked), "{failures:?}");
}

/// Law 199, and there is nothing to list.
async fn host_without_endpoints_fails_at_once(w: World) {
    let h = Hosts::new(&w, 0, |b| b);
    let watch = w.stopwatch();
    let error = h.acquire().await.unwrap_err();
    watch.assert_at(0);
    let error = error.connect_error().and_then(ConnectError::manager_error);
    assert!(h.pool.manager().is_permanent(error.unwrap()));
    assert!(
        error
            .unwrap()
            .to_string()
            .starts_with("there is no endpoint")
    );
}

/// Law 199: one deadline, and each has its share of it.
async fn hung_host_takes_no_more_than_its_share(w: World) {
    let h = Hosts::one_by_one(&w, 3, |b| b);
    h.hosts[0].connects().always(hang());
    let watch = w.stopwatch();
    assert_eq!(endpoints(&h.open(1).await), [1]);
    watch.assert_at(3000);
    let watch = w.stopwatch();
    drop(h.open(2).await);
    watch.assert_at(0);
    assert_eq!(h.hosts[0].ledger().count().connecting, 0);
    for host in &h.hosts {
        host.connects().always(hang());
    }
    h.pool.retain(|_, _| false);
    let watch = w.stopwatch();
    let failures = failures(h.acquire().await);
    watch.assert_at(9000);
    let timed_out = |(_, error): &_| matches!(error, ConnectError::TimedOut);
    assert!(failures.len() == 3 && failures.iter().all(timed_out));
    let short = Hosts::one_by_one(&w, 3, |b| b.endpoint_timeout(w.ms(400)));
    for host in &short.hosts[1..] {
        host.connects().always(hang());
    }
    short.hosts[0].connects().always(ok().after(w.ms(401)));
    let watch = w.stopwatch();
    short.acquire().await.unwrap_err();
    watch.assert_at(1200);
}

/// Law 198: one that is still down holds up one call, not all.
async fn host_that_is_due_is_tried_by_one_at_a_time(w: World) {
    let h = Hosts::new(&w, 2, |b| b);
    h.hosts[0].connects().always(err());
    let mut held = h.open(1).await;
    w.sleep(30_000).await;
    h.hosts[0].connects().always(hang());
    let watch = w.stopwatch();
    let slow = h.opening();
    w.until(|| h.tries()[0] == 2).await;
    let quick: Vec<_> = (0..5).map(|_| h.opening()).collect();
    held.extend(join(quick).await.into_iter().map(Result::unwrap));
    // One of them by the pool's next attempt, for the first is overdue; that goes on.
    watch.assert_within(0, 250);
    assert_eq!(h.tries()[0], 2);
    held.push(slow.await.unwrap());
    w.sleep(5000).await;
    assert_eq!(h.hosts[0].ledger().count().connecting, 0);
    assert_eq!(h.pool.status().idle, 1, "it went on to the next");
    held.extend(h.open(1).await);
    w.sleep(29_000).await;
    held.extend(h.open(1).await);
    assert_eq!(h.tries()[0], 2, "30 seconds from its end");
    w.sleep(1000).await;
    h.hosts[0].connects().forget();
    assert_eq!(endpoints(&h.open(1).await), [0]);
}

/// Law 198, by a pool with less patience.
async fn attempt_that_is_broken_off_takes_its_host_down(w: World) {
    let h = Hosts::one_by_one(&w, 2, |b| b.connect_timeout(None));
    h.hosts[0].connects().always(hang());
    let first = h.acquire().await;
    assert!(
        matches!(first, Err(AcquireError::Connect(ConnectError::TimedOut))),
        "{first:?}"
    );
    assert_eq!(h.down(), [true, false]);
    assert_eq!(endpoints(&h.open(2).await), [1, 1]);
    // Also if it was due again before that.
    let h = Hosts::one_by_one(&w, 2, |b| b.connect_timeout(None).recheck_after(w.ms(1000)));
    h.hosts[0].connects().always(hang());
    assert!(h.acquire().await.is_err());
    assert_eq!(h.down(), [true, false]);
    w.sleep(1000).await;
    assert_eq!(h.down(), [false, false]);
}

/// Law 198.
async fn host_that_hangs_is_tried_by_one_at_a_time_however_soon_it_is_due(w: World) {
    let h = Hosts::new(&w, 2, |b| b.recheck_after(w.ms(1000)));
    h.hosts[0].connects().next([err()]);
    let held = h.open(1).await;
    assert_eq!(endpoints(&held), [1]);
    h.hosts[0].connects().always(hang());
    w.sleep(1000).await;
    let opening = h.opening();
    w.sleep(1000).await;
    let others = h.open(2).await;
    assert_eq!(endpoints(&others), [1, 1]);
    assert_eq!(h.tries()[0], 2);
    drop(opening.await.unwrap());
}

/// Law 198, by somebody who has no use for it any more.
async fn attempt_that_is_broken_off_before_its_time_says_nothing(w: World) {
    let hosts = [w.sibling()];
    hosts[0].ledger().set_limit(usize::MAX);
    hosts[0].connects().always(ok().after(w.ms(100)));
    let balanced = Balanced::new(hosts.iter().map(World::manager));
    balanced.attach(&w.runtime());
    let down = || balanced.endpoints()[0].is_down;
    let broken_off_after = async |milliseconds| {
        let connect = async { drop(balanced.connect().await) };
        or(connect, w.sleep(milliseconds)).await;
    };
    balanced.close(balanced.connect().await.unwrap()).await;
    broken_off_after(50).await;
    assert!(!down(), "it had no time to succeed");
    hosts[0].connects().always(hang());
    broken_off_after(50).await;
    assert!(!down(), "nor had this one");
    broken_off_after(1000).await;
    assert!(down());
    hosts[0].connects().next([ok()]);
    balanced.close(balanced.connect().await.unwrap()).await;
    assert!(!down());
    hosts[0].connects().next([err()]);
    assert!(balanced.connect().await.is_err());
    assert!(down(), "who fails needs no time for that");
}

/// Law 198, with a pool that has less patience than the host needed once.
async fn host_that_hangs_is_found_out_by_those_who_never_give_it_its_time(w: World) {
    let h = Hosts::one_by_one(&w, 2, |b| b);
    let connects = h.hosts[0].connects();
    connects.next([ok().after(w.ms(3000))]);
    connects.always(hang());
    h.pool.set_connect_timeout(w.ms(4000)).unwrap();
    let held = h.acquire().await.unwrap();
    assert_eq!(endpoints(std::slice::from_ref(&held)), [0]);
    h.pool.set_connect_timeout(w.ms(1000)).unwrap();
    let mut tries = 0;
    while !h.down()[0] {
        drop(h.acquire().await);
        h.pool.retain(|_, _| false);
        tries += 1;
        assert!(tries < 30, "half of the calls, for ever");
    }
    assert!(h.tries()[0] > 4, "{:?}", h.tries());
    drop(held);
}

/// Law 198.
async fn attempt_that_is_broken_off_early_says_nothing_of_a_host_that_nobody_knows(w: World) {
    let hosts = [w.sibling()];
    hosts[0].ledger().set_limit(usize::MAX);
    hosts[0].connects().always(hang());
    let balanced = Balanced::new(hosts.iter().map(World::manager));
    balanced.attach(&w.runtime());
    for (milliseconds, down) in [(200, false), (260, true)] {
        let connect = async { drop(balanced.connect().await) };
        or(connect, w.sleep(milliseconds)).await;
        assert_eq!(balanced.endpoints()[0].is_down, down);
    }
}

/// Law 198: of two at once one fails, and the other is broken off early.
async fn attempt_that_is_broken_off_brings_no_host_back(w: World) {
    let hosts = [w.sibling()];
    hosts[0].ledger().set_limit(usize::MAX);
    let connects = hosts[0].connects();
    connects.next([err().after(w.ms(100)), hang()]);
    let balanced = Balanced::new(hosts.iter().map(World::manager)).recheck_after(w.ms(1000));
    balanced.attach(&w.runtime());
    let down = || balanced.endpoints()[0].is_down;
    let fails = async { assert!(balanced.connect().await.is_err()) };
    let is_broken_off = async {
        or(async { drop(balanced.connect().await) }, w.sleep(150)).await;
    };
    zip(fails, is_broken_off).await;
    w.sleep(900).await;
    assert!(down(), "for a second after it failed");
    w.sleep(100).await;
    assert!(!down());
}

/// Law 198.
async fn what_was_broken_off_before_a_success_or_a_reset_does_not_count(w: World) {
    let hosts = [w.sibling()];
    hosts[0].ledger().set_limit(usize::MAX);
    hosts[0].connects().always(hang());
    let balanced = Balanced::new(hosts.iter().map(World::manager));
    balanced.attach(&w.runtime());
    let broken_off = async || {
        let connect = async { drop(balanced.connect().await) };
        or(connect, w.sleep(200)).await;
        balanced.endpoints()[0].is_down
    };
    for round in 0..3 {
        for _ in 0..4 {
            assert!(!broken_off().await);
        }
        match round {
            0 => {
                hosts[0].connects().next([ok()]);
                balanced.close(balanced.connect().await.unwrap()).await;
            }
            1 => balanced.renew(),
            _ => assert!(broken_off().await, "together they had their time"),
        }
    }
}

/// Law 198.
async fn recheck_that_is_broken_off_before_its_time_keeps_nobody_away(w: World) {
    let hosts = [w.sibling()];
    hosts[0].ledger().set_limit(usize::MAX);
    let connects = hosts[0].connects();
    connects.next([ok().after(w.ms(200)), err(), hang()]);
    let balanced = Balanced::new(hosts.iter().map(World::manager)).recheck_after(w.ms(100));
    balanced.attach(&w.runtime());
    let down = || balanced.endpoints()[0].is_down;
    balanced.close(balanced.connect().await.unwrap()).await;
    assert!(balanced.connect().await.is_err());
    w.sleep(150).await;
    let recheck = async { drop(balanced.connect().await) };
    or(recheck, w.sleep(50)).await;
    assert!(down(), "for as long as if it had not begun");
    w.sleep(100).await;
    assert!(!down());
}

/// Law 198, where a host is passed over only in the call in which it failed.
async fn host_that_is_due_at_once_is_never_set_apart(w: World) {
    let h = Hosts::new(&w, 2, |b| b.recheck_after(Duration::ZERO));
    h.hosts[0].connects().next([err(), hang()]);
    let held = h.open(1).await;
    let opening = h.opening();
    w.until(|| h.tries()[0] == 2).await;
    assert_eq!(h.down(), [false, false], "though it hangs");
    drop((held, opening.await.unwrap()));
}

/// Law 198: a host that hung and is back is not taken down by what hung.
async fn late_failure_says_nothing_of_a_host_that_is_back(w: World) {
    let h = Hosts::new(&w, 1, |b| b);
    h.hosts[0].connects().next([hang(), ok()]);
    let held = or(h.acquire(), async { Ok(h.opening().await.unwrap()) }).await;
    w.sleep(9000).await;
    assert_eq!(h.hosts[0].ledger().count().connecting, 0);
    assert_eq!(h.down(), [false]);
    drop(held);
}

/// Law 198, by hand.
async fn unattached_hosts_need_no_runtime(w: World) {
    let hosts: Vec<_> = (0..2).map(|_| w.sibling()).collect();
    for host in &hosts {
        host.ledger().set_limit(usize::MAX);
    }
    hosts[0].connects().always(err());
    let gate = Gate::new();
    hosts[1].connects().always(ok().at(&gate));
    // Nor does it have time-outs.
    let balanced = Balanced::new(hosts.iter().map(World::manager))
        .connect_timeout(Duration::ZERO)
        .endpoint_timeout(Duration::ZERO);
    let later = async {
        yield_now().await;
        gate.open();
    };
    let conn = zip(balanced.connect(), later).await.0.unwrap();
    assert_eq!(conn.endpoint(), 1);
    assert_eq!(balanced.endpoints()[1].connections, 1);
    assert!(balanced.endpoints()[0].is_down);
    balanced.close(conn).await;
    assert_eq!(balanced.endpoints()[1].connections, 0);
}
