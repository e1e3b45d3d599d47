//! Every transition by plain calls, a long random walk over all of them, and all walks that a small
//! pool can take.

mod explore;
mod failing;
mod joining;
mod keeping;
mod lost;
mod pausing;
mod renewing;
mod serving;
mod shedding;
mod short_way;
mod tenancy;
mod twins;
mod walk;
mod warming;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::*;
use crate::attempts::AttemptId;
use crate::backoff::Backoff;
use crate::config::ConnectPolicy;
use crate::error::ConnectError;

// Boxed, as everywhere in the pool.
type Conn = Box<Live<u32>>;
type Pool = State<u32, &'static str>;
type Fx = Effects<u32, &'static str>;

/// Milliseconds since the pool was built.
fn at(ms: u64) -> Moment {
    Moment::START.after(Duration::from_millis(ms))
}

fn config() -> Config {
    Config {
        max_size: 2,
        lifetime_jitter: 0.0,
        check_policy: CheckPolicy::Never,
        connect_policy: ConnectPolicy::Retry(Backoff::new(
            Duration::from_millis(10),
            Duration::from_millis(1000),
        )),
        ..Config::default()
    }
}

fn pool(change: impl FnOnce(&mut Config)) -> Pool {
    let mut config = config();
    change(&mut config);
    State::new(config, 7)
}

/// Runs a transition and returns what it asks for.
fn fx<T>(change: impl FnOnce(&mut Fx) -> T) -> (T, Fx) {
    let mut fx = Fx::new();
    let result = change(&mut fx);
    (result, fx)
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn waker() -> Option<Waker> {
    Some(Waker::from(Arc::new(Woken::default())))
}

/// An attempt to connect succeeds.
fn connected<C, E>(
    pool: &mut State<C, E>,
    connection: C,
    from: Stage,
    now: Moment,
    fx: &mut Effects<C, E>,
) -> Option<(Box<Live<C>>, CloseReason)> {
    let id = pool.draw_id();
    pool.connected(connection, id, from, now, fx)
}

/// Queues a waiter that cannot be served at once.
fn wait(pool: &mut Pool, ms: u64, deadline: u64) -> (usize, Fx) {
    let (joined, fx) = fx(|fx| pool.join(at(ms), at(deadline), &mut waker(), fx));
    match joined {
        Join::Queued { key, .. } => (key, fx),
        other => panic!("not queued but {other:?}"),
    }
}

/// The attempt that these effects begin succeeds.
fn connect(pool: &mut Pool, begun: &Fx, id: u32, ms: u64) -> Fx {
    let from = attempt(begun);
    let (rejected, fx) = fx(|fx| connected(pool, id, from, at(ms), fx));
    assert!(rejected.is_none(), "{rejected:?}");
    fx
}

/// The first attempt to connect that these effects begin.
fn attempt(begun: &Fx) -> Stage {
    Stage::Connecting(*begun.connect.first().expect("an attempt begins"))
}

/// The attempt that these effects begin fails.
fn refuse(pool: &mut Pool, begun: &Fx, ms: u64) -> Fx {
    let from = attempt(begun);
    fx(|fx| pool.connect_failed(from, ConnectError::TimedOut, false, at(ms), fx)).1
}

/// The keeper has looked, and sleeps until then.
fn asleep(pool: &mut Pool, ms: u64) -> Moment {
    fx(|fx| pool.keep(at(ms), fx)).0
}

fn served(pool: &mut Pool, key: usize) -> Box<Live<u32>> {
    match pool.poll_waiter(key, None) {
        Turn::Over(Outcome::Connection(live)) => live,
        other => panic!("not served but {other:?}"),
    }
}

/// A waiter takes over an attempt that lost its task.
fn drive(pool: &mut Pool, key: usize, ms: u64) -> AttemptId {
    assert!(matches!(pool.poll_waiter(key, None), Turn::Drive));
    pool.drive(key, at(ms)).expect("nobody was quicker")
}

fn give_back(pool: &mut Pool, live: Box<Live<u32>>, ms: u64) -> Fx {
    let (returned, fx) = fx(|fx| pool.returned(live, Verdict::Clean, at(ms), fx));
    assert!(matches!(returned, Returned::Kept), "{returned:?}");
    fx
}

/// A pool with this many lent connections, numbered from 1.
fn lent(pool: &mut Pool, number: u32) -> Vec<Conn> {
    (1..=number)
        .map(|id| {
            let (key, fx) = wait(pool, 0, 1_000_000);
            assert_eq!(fx.connect.len(), 1);
            let _ = connect(pool, &fx, id, 0);
            served(pool, key)
        })
        .collect()
}

#[test]
fn a_waiter_starts_a_connect_and_gets_it() {
    let mut pool = pool(|_| {});
    let (key, begun) = wait(&mut pool, 0, 100);
    assert_eq!(begun.connect.len(), 1);
    let made = connect(&mut pool, &begun, 1, 5);
    assert!(made.wake.is_some());
    assert_eq!(served(&mut pool, key).connection, 1);
    assert_eq!(pool.status(at(5)).in_use, 1);
}

#[test]
fn connects_are_never_more_than_places() {
    let mut pool = pool(|_| {});
    let begun: usize = (0..5)
        .map(|_| wait(&mut pool, 0, 100).1.connect.len())
        .sum();
    assert_eq!(begun, 2);
    assert_eq!(pool.size(), 2);
}

#[test]
fn connect_concurrency_limits_attempts_under_way() {
    let mut pool = pool(|config| config.connect_concurrency = Some(1));
    let (_, begun) = wait(&mut pool, 0, 100);
    assert_eq!(begun.connect.len(), 1);
    assert!(wait(&mut pool, 0, 100).1.connect.is_empty());
    let made = connect(&mut pool, &begun, 1, 5);
    assert_eq!(made.connect.len(), 1, "the next begins when one has ended");
}

#[test]
fn a_return_goes_to_the_first_live_waiter() {
    let mut pool = pool(|config| config.max_size = 1);
    let conn = lent(&mut pool, 1).remove(0);
    let (late, _) = wait(&mut pool, 1, 10);
    let (first, _) = wait(&mut pool, 2, 1000);
    let (second, _) = wait(&mut pool, 3, 1000);
    let fx = give_back(&mut pool, conn, 20);
    assert_eq!(
        1 + fx.wake_more.len(),
        2,
        "both the late and the served one are woken"
    );
    assert!(matches!(
        pool.poll_waiter(late, None),
        Turn::Over(Outcome::Late { .. })
    ));
    let conn = served(&mut pool, first);
    assert!(matches!(pool.poll_waiter(second, None), Turn::Wait(_)));
    drop(conn);
}

#[test]
fn a_served_waiter_that_goes_away_passes_its_connection_on() {
    let mut pool = pool(|config| config.max_size = 1);
    let conn = lent(&mut pool, 1).remove(0);
    let (first, _) = wait(&mut pool, 1, 1000);
    let (second, _) = wait(&mut pool, 2, 1000);
    let _ = give_back(&mut pool, conn, 3);
    let (_, passed_on) = fx(|fx| pool.cancel(first, at(4), fx));
    assert!(passed_on.wake.is_some());
    let conn = served(&mut pool, second);
    assert_eq!(conn.uses, 2, "the loan that nobody saw does not count");
    assert_eq!(pool.statistics().cancellations, 1);
}

#[test]
fn a_newcomer_does_not_overtake() {
    let mut pool = pool(|config| config.max_size = 1);
    let conn = lent(&mut pool, 1).remove(0);
    let (first, _) = wait(&mut pool, 1, 1000);
    let _ = give_back(&mut pool, conn, 2);
    assert!(pool.lend().is_none());
    let (lend, _) = fx(|fx| pool.lend_at(at(2), false, fx));
    assert!(matches!(lend, Lend::Unavailable));
    let (second, _) = wait(&mut pool, 3, 1000);
    assert_eq!(served(&mut pool, first).connection, 1);
    assert!(matches!(pool.poll_waiter(second, None), Turn::Wait(_)));
}

#[test]
fn every_way_out_serves_the_next_waiter() {
    type Exit = fn(&mut Pool, Box<Live<u32>>) -> Fx;
    let exits: [(&str, Exit); 3] = [
        ("detached", |pool, _| fx(|fx| pool.detached(0, at(5), fx)).1),
        ("broken, then closed", |pool, live| {
            let broken = Verdict::Condemned(CloseReason::Broken);
            let (returned, begun) = fx(|fx| pool.returned(live, broken, at(5), fx));
            assert!(matches!(returned, Returned::Close(..)));
            assert!(begun.connect.is_empty(), "its place is not free yet");
            fx(|fx| pool.given_back(Stage::Closing, 0, CloseReason::Broken, false, at(6), fx)).1
        }),
        ("recycling failed, then closed", |pool, live| {
            let (returned, _) = fx(|fx| pool.returned(live, Verdict::Dirty, at(5), fx));
            assert!(matches!(returned, Returned::Recycle(_)));
            let _ = fx(|fx| pool.condemned(Stage::Recycling, 0, at(6), fx));
            fx(|fx| {
                pool.given_back(
                    Stage::Closing,
                    0,
                    CloseReason::RecycleFailed,
                    false,
                    at(7),
                    fx,
                )
            })
            .1
        }),
    ];
    for (name, exit) in exits {
        let mut pool = pool(|config| config.max_size = 1);
        let conn = lent(&mut pool, 1).remove(0);
        let (key, _) = wait(&mut pool, 1, 1000);
        let begun = exit(&mut pool, conn);
        assert_eq!(begun.connect.len(), 1, "{name}");
        let _ = connect(&mut pool, &begun, 2, 8);
        assert_eq!(served(&mut pool, key).connection, 2, "{name}");
    }
}

#[test]
fn an_expired_connection_is_neither_lent_nor_kept() {
    let mut pool = pool(|config| config.max_lifetime = Some(Duration::from_millis(100)));
    let mut held = lent(&mut pool, 2);
    let _ = give_back(&mut pool, held.remove(0), 50);
    let (lend, fx_lend) = fx(|fx| pool.lend_at(at(100), true, fx));
    assert!(matches!(lend, Lend::Unavailable));
    assert_eq!(fx_lend.close.len(), 1);
    let (returned, _) = fx(|fx| pool.returned(held.remove(0), Verdict::Clean, at(100), fx));
    assert!(matches!(
        returned,
        Returned::Close(_, CloseReason::Lifetime)
    ));
}

#[test]
fn idle_ones_go_when_their_time_is_over_but_not_below_min_idle() {
    let mut pool = pool(|config| {
        config.max_size = 4;
        config.idle_timeout = Some(Duration::from_millis(100));
        config.max_lifetime = None;
    });
    let held = lent(&mut pool, 3);
    pool.config.min_idle = 1;
    for (conn, ms) in held.into_iter().zip([10, 20, 30]) {
        let _ = give_back(&mut pool, conn, ms);
    }
    assert_eq!(pool.next_due(at(0)), at(110));
    let (_, early) = fx(|fx| pool.advance(at(109), fx));
    assert!(early.close.is_empty());
    let (due, fx_due) = fx(|fx| pool.advance(at(125), fx));
    let gone: Vec<_> = fx_due
        .close
        .iter()
        .map(|(live, _)| live.connection)
        .collect();
    assert_eq!(gone, [1, 2], "the longest idle go first");
    assert_eq!(due, Moment::NEVER, "the last is kept");
}

#[test]
fn min_idle_is_refilled_while_connections_are_lent() {
    let mut pool = pool(|config| {
        config.max_size = 3;
        config.min_idle = 2;
    });
    let (_, start) = fx(|fx| pool.hurry(at(0), fx));
    assert_eq!(start.connect.len(), 2);
    for (id, &attempt) in (1..).zip(&start.connect) {
        let from = Stage::Connecting(attempt);
        let _ = fx(|fx| connected(&mut pool, id, from, at(1), fx));
    }
    let (lend, refill) = fx(|fx| pool.lend_at(at(2), true, fx));
    assert!(matches!(lend, Lend::Connection(_)));
    assert_eq!(refill.connect.len(), 1);
}

#[test]
fn shrinking_closes_idle_ones_now_and_lent_ones_later() {
    let mut pool = pool(|config| config.max_size = 4);
    let mut held = lent(&mut pool, 4);
    let _ = give_back(&mut pool, held.remove(0), 1);
    let (_, shrunk) = fx(|fx| pool.resize(2, at(2), fx));
    assert_eq!(shrunk.close.len(), 1);
    let (returned, _) = fx(|fx| pool.returned(held.remove(0), Verdict::Clean, at(3), fx));
    assert!(matches!(returned, Returned::Close(_, CloseReason::Resize)));
    let _ = give_back(&mut pool, held.remove(0), 4);
    assert_eq!(pool.live(), 2);
}

#[test]
fn a_stale_connection_is_checked_while_its_caller_queues() {
    let mut pool = pool(|config| {
        config.check_policy = CheckPolicy::IdleFor(Duration::from_millis(100));
    });
    let conn = lent(&mut pool, 1).remove(0);
    let _ = give_back(&mut pool, conn, 0);
    let (key, mut begun) = wait(&mut pool, 101, 1000);
    assert_eq!((begun.check.len(), begun.connect.len()), (1, 0));
    let (live, id) = begun.check.remove(0);
    let (rejected, _) = fx(|fx| pool.passed(live, Stage::Checking(Some(id)), true, at(102), fx));
    assert!(rejected.is_none());
    assert_eq!(served(&mut pool, key).connection, 1);
}

#[test]
fn nobody_waits_for_a_check_beside_a_fit_connection() {
    let mut pool = pool(|config| {
        config.check_policy = CheckPolicy::IdleFor(Duration::from_millis(100));
        config.idle_order = IdleOrder::Fifo;
    });
    let mut held = lent(&mut pool, 2);
    let _ = give_back(&mut pool, held.remove(0), 0);
    let _ = give_back(&mut pool, held.remove(0), 150);
    let (joined, begun) = fx(|fx| pool.join(at(160), at(1000), &mut waker(), fx));
    let Join::Queued { key, .. } = joined else {
        panic!("the first in order is stale, so the caller joins the queue");
    };
    assert_eq!(begun.check.len(), 1, "the stale one is checked");
    assert_eq!(
        served(&mut pool, key).connection,
        2,
        "and the fit one lent meanwhile"
    );
}

#[test]
fn closing_answers_all_and_is_over_with_the_last_place() {
    let mut pool = pool(|_| {});
    let mut held = lent(&mut pool, 2);
    let _ = give_back(&mut pool, held.remove(0), 1);
    let (_, fx_close) = fx(|fx| pool.close(fx));
    assert_eq!(fx_close.close.len(), 1);
    assert!(!fx_close.drained);
    let (joined, _) = fx(|fx| pool.join(at(2), at(9), &mut waker(), fx));
    assert!(matches!(joined, Join::Closed));
    let (returned, _) = fx(|fx| pool.returned(held.remove(0), Verdict::Clean, at(2), fx));
    assert!(matches!(
        returned,
        Returned::Close(_, CloseReason::Shutdown)
    ));
    let over = |pool: &mut Pool| {
        fx(|fx| pool.given_back(Stage::Closing, 0, CloseReason::Shutdown, false, at(3), fx))
            .1
            .drained
    };
    assert!(!over(&mut pool));
    assert!(over(&mut pool));
}

#[test]
fn coarse_time_is_used_only_with_credit() {
    let mut pool = pool(|_| {});
    let conn = lent(&mut pool, 1).remove(0);
    let _ = give_back(&mut pool, conn, 1);
    assert!(pool.lend().is_none(), "little happens: read the clock");
    for ms in 2..9 {
        let (lend, _) = fx(|fx| pool.lend_at(at(ms), true, fx));
        let Lend::Connection(live) = lend else {
            panic!("it is idle");
        };
        let _ = give_back(&mut pool, live, ms);
    }
    let conn = pool.lend().expect("traffic: there is credit");
    let _ = give_back(&mut pool, conn, 9);
    let (_, gone) = fx(|fx| pool.keeper_gone(fx));
    drop(gone);
    assert!(pool.lend().is_none(), "nobody keeps the time");
}
