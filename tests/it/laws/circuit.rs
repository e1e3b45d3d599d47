//! A pool that says at once that its server is down.

use std::time::Duration;

use futures_lite::future::or;
use watertight::{AcquireError, Backoff, Builder, ConnectPolicy, Pool};

use crate::support::{Gate, LawPool, Scripted, World, err, hang, join, laws, ok};

laws! {
    every_mode:
        callers_are_told_at_once_while_the_server_is_down,
        one_caller_tries_when_the_next_attempt_is_due,
        all_who_wait_are_told_that_the_server_is_down,
        attempt_under_way_is_hope,
        return_is_hope,
        filled_pool_finds_out_that_the_server_is_back;
    virtual_only:
        hung_server_is_down,
        attempt_that_hangs_is_no_hope,
        whoever_comes_is_told_though_nobody_waited_when_hope_ended,
        whoever_waited_out_a_pause_is_told_that_hope_ended_meanwhile,
        nobody_waits_behind_an_attempt_that_hangs_where_no_other_can_begin,
        failure_of_before_the_last_success_is_forgotten,
        whoever_had_his_attempt_is_told_when_it_fails,
        whoever_had_none_is_not_judged_by_that_of_another,
        whoever_has_one_is_not_judged_by_a_later_one,
        end_of_an_attempt_that_hung_says_nothing_to_those_with_one_of_their_own,
        new_caller_does_not_cut_the_delay_short,
        everybody_waits_in_a_pause,
        attempt_that_is_due_as_a_caller_comes_is_made_though_he_is_turned_away;
}

const DELAY: u64 = 1000;

/// Every delay is the same, up to the unit of the world's time.
fn breaks_circuits(
    w: &World,
    builder: Builder<Scripted, Pool<Scripted>>,
) -> Builder<Scripted, Pool<Scripted>> {
    let delay = w.ms(DELAY);
    builder.connect_policy(ConnectPolicy::CircuitBreaker(Backoff::new(delay, delay)))
}

/// Asks for a connection and gets the error of an attempt, in no time.
async fn is_told(w: &World, pool: &LawPool) {
    let watch = w.stopwatch();
    let error = pool.acquire().await.unwrap_err();
    watch.assert_at(0);
    assert!(matches!(error, AcquireError::Connect(_)), "{error:?}");
}

/// Law 73.
async fn callers_are_told_at_once_while_the_server_is_down(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(4)));
    for _ in 0..10 {
        is_told(&w, &pool).await;
    }
    assert_eq!(w.connects().calls(), 1);
    assert_eq!(pool.statistics().rejections.circuit_broken, 9);
    assert_eq!(pool.statistics().rejections.total(), 9);
    w.sleep(DELAY).await;
    is_told(&w, &pool).await;
    is_told(&w, &pool).await;
    assert_eq!(w.connects().calls(), 2);
    w.connects().always(ok());
    w.sleep(DELAY).await;
    drop(pool.acquire_many(4).await);
}

/// Law 73.
async fn one_caller_tries_when_the_next_attempt_is_due(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(4)));
    is_told(&w, &pool).await;
    w.sleep(DELAY).await;
    let gate = Gate::new();
    w.connects().always(ok().at(&gate));
    let probe = w.waiter(&pool).await;
    is_told(&w, &pool).await;
    w.until(|| w.connects().calls() == 2).await;
    gate.open();
    drop(probe.await.unwrap());
    drop(pool.acquire_many(4).await);
}

/// Law 73.
async fn nobody_waits_behind_an_attempt_that_hangs_where_no_other_can_begin(w: World) {
    w.connects().next([err()]);
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(1)));
    is_told(&w, &pool).await;
    w.sleep(DELAY).await;
    let gate = Gate::new();
    w.connects().always(ok().at(&gate));
    let probe = w.waiter(&pool).await;
    w.until(|| w.connects().calls() == 2).await;
    w.sleep(3 * DELAY).await;
    is_told(&w, &pool).await;
    assert!(matches!(probe.await, Err(AcquireError::Connect(_))));
    gate.open();
    w.until(|| pool.status().idle == 1).await;
    drop(pool.acquire().await.unwrap());
}

/// Law 73.
async fn all_who_wait_are_told_that_the_server_is_down(w: World) {
    let gate = Gate::new();
    w.connects().always(err().at(&gate));
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(2)));
    let mut waiters = Vec::new();
    for _ in 0..5 {
        waiters.push(w.waiter(&pool).await);
    }
    gate.open();
    for answer in join(waiters).await {
        assert!(matches!(answer, Err(AcquireError::Connect(_))));
    }
    assert_eq!(w.connects().calls(), 2);
}

/// Law 73: one of several attempts that fails says little.
async fn attempt_under_way_is_hope(w: World) {
    let (failing, gate) = (Gate::new(), Gate::new());
    w.connects().next([err().at(&failing), ok().at(&gate)]);
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(2)));
    let first = w.acquiring(&pool);
    let second = w.acquiring(&pool);
    w.until(|| pool.status().connecting == 2).await;
    failing.open();
    w.until(|| pool.statistics().failed_connects == 1).await;
    let third = w.waiter(&pool).await;
    assert_eq!(pool.status().waiting, 3);
    gate.open();
    for waiter in [first, second, third] {
        drop(waiter.await.unwrap());
    }
}

/// Law 73: a connection that is left may still serve.
async fn return_is_hope(w: World) {
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(2)));
    let held = pool.acquire().await.unwrap();
    w.connects().always(err());
    let waiter = w.waiter(&pool).await;
    w.until(|| pool.statistics().failed_connects == 1).await;
    let another = w.waiter(&pool).await;
    assert_eq!(pool.status().waiting, 2);
    drop(held);
    drop(waiter.await.unwrap());
    let held = another.await.unwrap();
    // It is the last that was left.
    let waiter = w.waiter(&pool).await;
    held.discard();
    w.until(|| pool.status().size == 0).await;
    assert!(pool.status().waiting == 1, "it waits for the next attempt");
    w.sleep(DELAY).await;
    assert!(matches!(waiter.await, Err(AcquireError::Connect(_))));
    is_told(&w, &pool).await;
}

/// Law 73 and guarantee 6.
async fn filled_pool_finds_out_that_the_server_is_back(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(2).min_idle(1)));
    w.until(|| pool.statistics().failed_connects == 1).await;
    is_told(&w, &pool).await;
    w.connects().always(ok());
    w.until_time(DELAY, || pool.status().idle == 1).await;
    drop(pool.acquire().await.unwrap());
}

/// Law 73, unlike guarantee 14.
async fn new_caller_does_not_cut_the_delay_short(w: World) {
    w.connects().always(err());
    let schedule = Backoff::new(Duration::from_millis(10), Duration::from_secs(100));
    let pool = w.pool(|b| b.connect_policy(ConnectPolicy::CircuitBreaker(schedule)));
    let mut told = 0;
    while w.connects().calls() < 30 {
        is_told(&w, &pool).await;
        told += 1;
        w.sleep(1).await;
    }
    let times = w.connects().call_times();
    let gaps: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.iter().max().unwrap() > &w.ms(50), "{gaps:?}");
    assert_eq!(pool.statistics().rejections.circuit_broken, told - 30);
}

/// Laws 73 and 140.
async fn everybody_waits_in_a_pause(w: World) {
    w.connects().always(err());
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(1)));
    is_told(&w, &pool).await;
    pool.pause().await;
    let waiter = w.waiter(&pool).await;
    w.sleep(DELAY).await;
    assert_eq!(pool.status().waiting, 1);
    w.connects().always(ok());
    pool.resume();
    drop(waiter.await.unwrap());
}

/// Law 73: a server that never answers is down as well, once an attempt has timed out.
async fn hung_server_is_down(w: World) {
    w.connects().always(hang());
    let pool = w.pool(|b| b.connect_policy(ConnectPolicy::CircuitBreaker(Backoff::default())));
    let mut callers = Vec::new();
    for _ in 0..200 {
        callers.push(w.acquiring(&pool));
        w.sleep(500).await;
    }
    let answers = join(callers).await;
    let told = |answer: &&_| matches!(answer, Err(AcquireError::Connect(_)));
    // Those of the first ten seconds wait for the first attempt to time out.
    assert_eq!(answers.iter().filter(told).count(), answers.len());
    let broken = pool.statistics().rejections.circuit_broken;
    assert!(broken > 50, "{broken} were told at once");
}

/// Two places. The first attempt fails after 5 ms, and is followed by another 100 ms later. All but the
/// first hang.
fn one_refuses_and_the_rest_hang(w: &World) -> LawPool {
    w.connects().next([err().after(w.ms(5))]);
    w.connects().always(hang());
    let schedule = Backoff::new(w.ms(100), w.ms(5000));
    w.pool(|b| {
        b.max_size(2)
            .connect_policy(ConnectPolicy::CircuitBreaker(schedule))
    })
}

/// Law 73.
async fn whoever_comes_is_told_though_nobody_waited_when_hope_ended(w: World) {
    let pool = one_refuses_and_the_rest_hang(&w);
    let impatient = [0, 1].map(|_| {
        let (pool, patience) = (pool.clone(), w.ms(500));
        w.spawn(async move { pool.acquire_timeout(patience).await })
    });
    for answer in join(impatient).await {
        assert!(answer.unwrap_err().is_timed_out());
    }
    w.sleep(2500).await;
    is_told(&w, &pool).await;
}

/// Law 73.
async fn whoever_waited_out_a_pause_is_told_that_hope_ended_meanwhile(w: World) {
    w.connects().next([err()]);
    w.connects().always(hang());
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(1)));
    is_told(&w, &pool).await;
    w.sleep(DELAY).await;
    let probe = w.waiter(&pool).await;
    w.sleep(100).await;
    pool.pause().await;
    w.sleep(2 * DELAY).await;
    assert_eq!(pool.status().waiting, 1);
    pool.resume();
    let watch = w.stopwatch();
    assert!(matches!(probe.await, Err(AcquireError::Connect(_))));
    watch.assert_at(0);
}

/// Law 73: those that were begun beside it make no difference to him.
async fn whoever_had_his_attempt_is_told_when_it_fails(w: World) {
    w.connects().next([err()]);
    w.connects().always(hang());
    let schedule = Backoff::new(w.ms(100), w.ms(300));
    let pool = w.pool(|b| {
        b.max_size(10)
            .connect_timeout(w.ms(5500))
            .connect_policy(ConnectPolicy::CircuitBreaker(schedule))
    });
    is_told(&w, &pool).await;
    w.sleep(400).await;
    let watch = w.stopwatch();
    let told = pool.acquire_timeout(w.ms(20_000)).await;
    assert!(matches!(told, Err(AcquireError::Connect(_))), "{told:?}");
    watch.assert_at(5500);
}

/// Law 73: the one that hangs was begun for somebody who has gone.
async fn whoever_had_none_is_not_judged_by_that_of_another(w: World) {
    w.connects().next([err(), hang()]);
    let schedule = Backoff::new(w.ms(100), w.ms(300));
    let pool = w.pool(|b| b.connect_policy(ConnectPolicy::CircuitBreaker(schedule)));
    is_told(&w, &pool).await;
    w.sleep(400).await;
    let gone = async { drop(pool.acquire().await) };
    or(gone, w.sleep(100)).await;
    assert_eq!(w.connects().calls(), 2);
    w.sleep(800).await;
    let watch = w.stopwatch();
    drop(pool.acquire().await.unwrap());
    watch.assert_at(100);
}

/// Law 73: what fails was begun for somebody who came later.
async fn whoever_has_one_is_not_judged_by_a_later_one(w: World) {
    w.connects().next([err(), ok().after(w.ms(400)), err()]);
    let schedule = Backoff::new(w.ms(100), w.ms(300));
    let pool = w.pool(|b| b.connect_policy(ConnectPolicy::CircuitBreaker(schedule)));
    is_told(&w, &pool).await;
    w.sleep(400).await;
    let first = w.waiter(&pool).await;
    w.sleep(150).await;
    let second = w.acquiring(&pool);
    drop(first.await.unwrap());
    drop(second.await.unwrap());
    assert_eq!(pool.statistics().failed_connects, 2);
}

/// Law 73: as long as another attempt is on time, whatever becomes of one that is not.
async fn end_of_an_attempt_that_hung_says_nothing_to_those_with_one_of_their_own(w: World) {
    w.connects().next([err(), hang(), ok().after(w.ms(400))]);
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(2).connect_timeout(w.ms(3000))));
    is_told(&w, &pool).await;
    w.sleep(DELAY).await;
    let impatient = pool.acquire_timeout(w.ms(100)).await;
    assert!(impatient.unwrap_err().is_timed_out());
    w.sleep(2700).await;
    let watch = w.stopwatch();
    drop(pool.acquire().await.unwrap());
    watch.assert_at(400);
    assert_eq!(pool.statistics().failed_connects, 2);
}

/// Law 73: all but the first are overdue after a second.
async fn attempt_that_hangs_is_no_hope(w: World) {
    let pool = one_refuses_and_the_rest_hang(&w);
    let watch = w.stopwatch();
    let callers = [w.waiter(&pool).await, w.waiter(&pool).await];
    for answer in join(callers).await {
        assert!(matches!(answer, Err(AcquireError::Connect(_))));
    }
    watch.assert_at(1105);
    is_told(&w, &pool).await;
    assert_eq!(w.connects().calls(), 3);
}

/// Law 73: what an attempt of before the last success comes to says nothing.
async fn failure_of_before_the_last_success_is_forgotten(w: World) {
    let (old, new) = (Gate::new(), Gate::new());
    w.connects().next([err().at(&old), err(), ok()]);
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(3)));
    assert!(pool.acquire_timeout(w.ms(2000)).await.is_err());
    is_told(&w, &pool).await;
    w.sleep(DELAY).await;
    let held = pool.acquire().await.unwrap();
    assert_eq!(pool.status().connecting, 1);
    old.open();
    w.until(|| pool.statistics().failed_connects == 2).await;
    held.discard();
    w.until(|| pool.status().size == 0).await;
    w.connects().next([err().at(&new), ok().at(&new)]);
    let callers = [w.waiter(&pool).await, w.waiter(&pool).await];
    new.open();
    for caller in callers {
        drop(caller.await.unwrap());
    }
}

/// Law 73 and guarantee 1: he comes before the keeper does, so it is begun as he asks.
async fn attempt_that_is_due_as_a_caller_comes_is_made_though_he_is_turned_away(w: World) {
    w.connects().next([err()]);
    let pool = w.pool(|b| breaks_circuits(&w, b.max_size(1).min_idle(1)));
    w.until(|| pool.statistics().failed_connects == 1).await;
    w.virtual_time().unwrap().stall(w.ms(DELAY));
    is_told(&w, &pool).await;
    w.until(|| pool.status().idle == 1).await;
    assert_eq!(w.connects().calls(), 2);
}
