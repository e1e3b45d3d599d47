//! One pool for each key, under a common limit.

mod drawn;
mod entering;
mod sharing;

use futures_lite::future::{or, poll_once};
use watertight::{
    AcquireError, Backoff, BuildError, CheckPolicy, ConnectPolicy, KeyedPool, Phase,
    PooledConnection,
};

use crate::support::{At, Gate, Scripted, World, err, hang, join, laws, ok};

laws! {
    every_mode:
        exhausted_key_does_not_hold_up_another,
        hung_key_takes_no_more_than_its_own_limit,
        dead_key_holds_no_place_between_its_attempts,
        clearing_a_key_wakes_those_who_wait,
        place_of_what_was_cleared_serves_whoever_waits,
        removed_key_is_closed_and_begins_anew,
        key_that_nobody_uses_is_forgotten,
        key_is_kept_as_long_as_somebody_waits,
        keys_come_and_go_without_a_closed_one,
        crowd_of_keys_never_exceeds_the_limit,
        all_keys_are_closed_together,
        holders_of_all_keys_are_severed_after_the_grace_period,
        last_handle_closes_all_keys,
        time_out_tells_how_the_key_stands,
        bad_settings_of_keys_are_errors,
        guard_of_a_key_knows_no_pool,
        loans_are_listed_by_key;
    virtual_only:
        cancelled_waiter_leaves_no_key_behind,
        dead_key_is_tried_again_when_it_is_due,
        key_whose_circuit_is_broken_is_remembered_for_a_while,
        lost_tasks_lose_no_place,
        key_whose_circuit_is_broken_is_not_remembered_without_a_keeper,
        keys_outlive_their_runtime,
        key_that_is_removed_with_a_lost_attempt_keeps_no_place,
        key_whose_connects_fail_keeps_its_schedule_though_nobody_stays,
        nothing_is_made_for_a_caller_of_a_key_who_is_late;
}

/// Law 192.
async fn exhausted_key_does_not_hold_up_another(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(10).max_per_key(2));
    let held = pool.acquire_many(1, 2).await;
    let waiters = [pool.waiter(1).await, pool.waiter(1).await];
    let watch = w.stopwatch();
    drop(pool.acquire_many(2, 2).await);
    watch.assert_at(0);
    let status = pool.status(&1).unwrap();
    assert_eq!((status.size, status.max_size, status.waiting), (2, 2, 2));
    drop(held);
    for result in join(waiters).await {
        drop(result.unwrap());
    }
    assert_eq!(w.ledger().count().made, 4);
}

/// Laws 73 and 197.
async fn key_whose_circuit_is_broken_is_remembered_for_a_while(w: World) {
    let schedule = Backoff::new(w.ms(1000), w.ms(1000));
    let pool = w.keyed_pool(|b| {
        b.each(|pool| pool.connect_policy(ConnectPolicy::CircuitBreaker(schedule)))
    });
    let connects = pool.connects(1);
    connects.always(err());
    for _ in 0..10 {
        let told = pool.acquire(1).await;
        assert!(matches!(told, Err(AcquireError::Connect(_))));
    }
    assert_eq!(connects.calls(), 1);
    w.sleep(1500).await;
    assert!(pool.acquire(1).await.is_err());
    assert_eq!(connects.calls(), 2);
    drop(pool.acquire(2).await.unwrap());
    w.sleep(1999).await;
    assert!(pool.keys().contains(&1));
    w.until_time(1, || !pool.keys().contains(&1)).await;
    connects.always(ok());
    drop(pool.acquire(1).await.unwrap());
}

/// Law 192: its connects hang.
async fn hung_key_takes_no_more_than_its_own_limit(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(5).max_per_key(3));
    pool.connects(1).always(hang());
    let hung: Vec<_> = (0..10).map(|_| pool.acquiring(1)).collect();
    w.until(|| w.ledger().count().connecting == 3).await;
    let watch = w.stopwatch();
    let held = pool.acquire_many(2, 2).await;
    watch.assert_at(0);
    w.sleep(5000).await;
    assert_eq!(w.ledger().count().connecting, 3);
    drop(held);
    drop(pool.acquire(3).await.unwrap());
    pool.remove(&1);
    for result in join(hung).await {
        assert!(matches!(result, Err(AcquireError::Closed)));
    }
}

/// Law 192: its server is down.
async fn dead_key_holds_no_place_between_its_attempts(w: World) {
    let backoff = Backoff::new(w.ms(1000), w.ms(1000));
    let policy = ConnectPolicy::Retry(backoff);
    let pool = w.keyed_pool(|b| b.max_total(1).each(|b| b.connect_policy(policy)));
    pool.connects(1).always(err());
    let dead = pool.waiter(1).await;
    w.until(|| pool.connects(1).calls() == 1).await;
    w.until(|| pool.total_status().size == 0).await;
    let held = pool.acquire(2).await.unwrap();
    w.sleep(5000).await;
    assert_eq!(pool.connects(1).calls(), 1, "it has no place for another");
    pool.connects(1).forget();
    drop(held);
    drop(dead.await.unwrap());
    assert_eq!(pool.connects(1).calls(), 2);
}

/// Law 195.
async fn clearing_a_key_wakes_those_who_wait(w: World) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| b.max_total(3));
    drop(pool.acquire_many(1, 3).await);
    let lent = pool.acquire(1).await.unwrap();
    w.closes().always(ok().at(&gate));
    let waiters = [pool.waiter(2).await, pool.waiter(2).await];
    w.until(|| w.ledger().closes_begun() == 2).await;
    assert_eq!(pool.clear(&1), 0, "they are closing as it is");
    let own = pool.waiter(1).await;
    gate.open();
    let [first, third] = waiters;
    let held = [first.await.unwrap(), own.await.unwrap()];
    assert_eq!(w.ledger().place(lent.id()), At::Holder);
    drop((lent, held));
    drop(third.await.unwrap());
    w.closes().forget();
    // A connect that was begun for the third may still be under way.
    w.until(|| {
        let all = pool.total_status();
        all.size == all.idle
    })
    .await;
    let idle = [1, 2].map(|key| pool.status(&key).map_or(0, |status| status.idle));
    assert_eq!([1, 2].map(|key| pool.clear(&key)), idle);
    assert_eq!(pool.clear(&7), 0);
    w.until(|| pool.keys().is_empty()).await;
}

/// `remove`.
async fn removed_key_is_closed_and_begins_anew(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(2).max_per_key(2));
    let mut held = pool.acquire_many(1, 2).await;
    held.pop();
    let other = pool.acquire(2).await.unwrap();
    let waiter = pool.waiter(1).await;
    assert!(pool.remove(&1) && !pool.remove(&1));
    assert!(matches!(waiter.await, Err(AcquireError::Closed)));
    assert!(pool.status(&1).is_none());
    let anew = pool.waiter(1).await;
    w.settle().await;
    assert_eq!(
        pool.connects(1).calls(),
        2,
        "the old one counts until it is closed"
    );
    assert_eq!(w.ledger().managers(), 3);
    drop(held);
    drop(anew.await.unwrap());
    w.until(|| w.ledger().managers() == 2).await;
    drop(other);
}

/// Law 197.
async fn key_that_nobody_uses_is_forgotten(w: World) {
    let pool = w.keyed_pool(|b| {
        b.each(|b| {
            b.idle_timeout(w.ms(1000))
                .connect_policy(ConnectPolicy::FailFast)
        })
    });
    for key in 0..20 {
        drop(pool.acquire(key).await.unwrap());
    }
    assert_eq!(pool.keys().len(), 20);
    w.until_time(1200, || w.ledger().managers() == 0).await;
    assert!(pool.keys().is_empty());
    pool.acquire(1).await.unwrap().discard();
    w.until(|| w.ledger().managers() == 0).await;
    drop(pool.acquire(1).await.unwrap().detach());
    w.until(|| w.ledger().managers() == 0).await;
    pool.connects(1).next([err()]);
    assert!(pool.acquire(1).await.is_err());
    w.until(|| w.ledger().managers() == 0).await;
    assert!(pool.try_acquire(1).is_none());
    assert!(pool.keys().is_empty());
    let held = pool.acquire(1).await.unwrap();
    w.sleep(2000).await;
    assert_eq!(pool.keys(), [1], "somebody has a connection of it");
    drop(held);
}

/// Law 197.
async fn key_is_kept_as_long_as_somebody_waits(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    let held = pool.acquire(1).await.unwrap();
    let timeout = w.ms(1000);
    let theirs = pool.clone();
    let waiter = w.spawn(async move { theirs.acquire_timeout(2, timeout).await });
    w.until(|| pool.waiting(2) == 1).await;
    assert_eq!(pool.keys().len(), 2);
    assert!(waiter.await.unwrap_err().is_timed_out());
    w.until(|| pool.keys() == [1]).await;
    drop(held);
}

/// Law 197: whoever comes just then finds a new pool, not a closed one.
async fn keys_come_and_go_without_a_closed_one(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(2));
    let rounds = w.times(50, 200);
    let tasks = (0..4).map(|_| {
        let pool = pool.clone();
        w.spawn(async move {
            for _ in 0..rounds {
                pool.acquire(1).await.unwrap().discard();
            }
        })
    });
    join(tasks.collect::<Vec<_>>()).await;
    w.until(|| pool.keys().is_empty() && w.ledger().managers() == 0)
        .await;
}

/// Law L4, over all keys.
async fn crowd_of_keys_never_exceeds_the_limit(w: World) {
    w.closes().always(ok().after(w.ms(3)));
    let pool = w.keyed_pool(|b| b.max_total(4).max_per_key(3));
    let rounds = w.times(40, 40);
    let tasks = (0..16).map(|n: u32| {
        let (world, pool) = (w.clone(), pool.clone());
        w.spawn(async move {
            for round in 0..rounds as u32 {
                let lent = pool.acquire((n + round) % 7).await.unwrap();
                world.sleep(u64::from(round % 5)).await;
                if (n + round) % 6 == 0 {
                    lent.discard();
                }
            }
        })
    });
    join(tasks.collect::<Vec<_>>()).await;
    assert_eq!(w.ledger().peak(), 4);
}

/// Law 165, for all keys.
async fn all_keys_are_closed_together(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(3));
    let mut held = vec![pool.acquire(1).await.unwrap()];
    held.push(pool.acquire(2).await.unwrap());
    drop(pool.acquire(3).await.unwrap());
    pool.connects(2).always(hang());
    let waiter = {
        held.push(pool.acquire(3).await.unwrap());
        pool.waiter(2).await
    };
    let closing = w.spawn(pool.close());
    assert!(matches!(waiter.await, Err(AcquireError::Closed)));
    assert!(pool.is_closed() && pool.total_status().closed);
    for key in 1..5 {
        assert!(matches!(pool.acquire(key).await, Err(AcquireError::Closed)));
        assert!(pool.try_acquire(key).is_none());
    }
    drop(held);
    closing.await;
    assert_eq!(pool.total_status().size, 0);
    // The last place is free a moment before its key is forgotten.
    w.until(|| pool.keys().is_empty()).await;
    assert_eq!(pool.close_within(w.ms(1000)).await, 0);
}

/// Law 175, for all keys.
async fn holders_of_all_keys_are_severed_after_the_grace_period(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(3));
    let mut held = pool.acquire_many(1, 2).await;
    held.push(pool.acquire(2).await.unwrap());
    let watch = w.stopwatch();
    let grace = w.ms(300);
    let left = match w.blocks() {
        true => pool.sync().close_within(grace),
        false => pool.close_within(grace).await,
    };
    watch.assert_at(300);
    assert_eq!(left, 3);
    drop(held);
    w.until(|| pool.keys().is_empty()).await;
}

/// Law 176, for all keys.
async fn last_handle_closes_all_keys(w: World) {
    let pool = w.lone_keyed_pool(|b| b.max_total(4));
    let held = pool.acquire(1).await.unwrap();
    drop(pool.acquire(2).await.unwrap());
    let clone = pool.clone();
    drop(pool);
    w.settle().await;
    assert_eq!(w.ledger().closes_begun(), 0);
    drop(clone);
    w.until(|| w.ledger().closes_begun() == 1).await;
    assert_eq!(w.ledger().place(held.id()), At::Holder);
    drop(held);
    w.until(|| w.ledger().managers() == 0).await;
    assert_eq!(w.ledger().closes_begun(), 2);
    if let Some(runtime) = w.virtual_time() {
        assert_eq!((runtime.tasks(), runtime.timers()), (0, 0));
    }
}

/// Law 184, for a key.
async fn time_out_tells_how_the_key_stands(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(3).max_per_key(2));
    let held = pool.acquire_many(1, 2).await;
    let error = pool.acquire_timeout(1, w.ms(100)).await.unwrap_err();
    let AcquireError::TimedOut { phase, status, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((status.max_size, status.in_use), (2, 2));
    assert_eq!(phase, Phase::Wait);
    let timeouts = pool.statistics(&1).unwrap().timeouts;
    assert_eq!(timeouts.total(), 1);
    assert!(pool.acquire_timeout(2, w.ms(0)).await.is_err());
    drop(held);
}

/// `KeyedBuilder`, told what makes no sense.
async fn bad_settings_of_keys_are_errors(w: World) {
    let builder = || {
        let builder = KeyedPool::builder(|_: &u32| -> Scripted { unreachable!() });
        builder.each(|b| b.runtime(w.runtime()))
    };
    let error = builder().max_total(0).build().unwrap_err();
    assert_eq!(
        error,
        BuildError::Zero {
            option: "max_total"
        }
    );
    let error = builder().max_per_key(0).build().unwrap_err();
    assert_eq!(error, BuildError::ZeroMaxSize);
    let error = builder().each(|b| b.min_idle(1)).build_sync().unwrap_err();
    assert_eq!(error, BuildError::MinIdleOfKeys);
}

/// Nobody but the keyed pool says how many places a key has.
async fn guard_of_a_key_knows_no_pool(w: World) {
    let pool = w.keyed_pool(|b| b);
    let guard = pool.acquire(1).await.unwrap().into_guard();
    assert!(PooledConnection::pool(&guard).is_none());
}

/// Law 197, for one that gave up.
async fn cancelled_waiter_leaves_no_key_behind(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    let held = pool.acquire(1).await.unwrap();
    let mut waiting = Box::pin(pool.acquire(2));
    assert!(poll_once(&mut waiting).await.is_none());
    assert_eq!(pool.keys().len(), 2);
    drop(waiting);
    assert_eq!(pool.keys(), [1]);
    w.until(|| w.ledger().managers() == 1).await;
    // A place that was granted in vain goes to the next.
    let mut waiting = Box::pin(pool.acquire(2));
    assert!(poll_once(&mut waiting).await.is_none());
    let next = pool.waiter(3).await;
    let gate = Gate::new();
    pool.connects(2).always(ok().at(&gate));
    drop(held);
    w.until(|| w.ledger().count().connecting == 1).await;
    drop(waiting);
    gate.open();
    drop(next.await.unwrap());
}

/// Law 64, though it holds no place meanwhile.
async fn dead_key_is_tried_again_when_it_is_due(w: World) {
    let backoff = Backoff::new(w.ms(1000), w.ms(1000));
    let policy = ConnectPolicy::Retry(backoff);
    let pool = w.keyed_pool(|b| b.max_total(1).each(|b| b.connect_policy(policy)));
    pool.connects(1).always(err());
    let waiter = pool.waiter(1).await;
    let watch = w.stopwatch();
    drop(pool.acquire(2).await.unwrap());
    w.sleep(3500).await;
    assert_eq!(pool.connects(1).calls(), 4, "each second");
    pool.connects(1).forget();
    drop(waiter.await.unwrap());
    watch.assert_at(4000);
}

/// Guarantee 11: the runtime loses every task.
async fn lost_tasks_lose_no_place(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(2).each(|b| b.check_policy(CheckPolicy::Never)));
    let runtime = w.virtual_time().unwrap().clone();
    runtime.drop_spawned(true);
    for round in 0..3 {
        let held = pool.acquire_many(round, 2).await;
        drop(held);
    }
    let held = pool.acquire_many(7, 2).await;
    let mut waiting = Box::pin(pool.acquire(8));
    assert!(poll_once(&mut waiting).await.is_none());
    drop(held);
    drop(waiting.await.unwrap());
    runtime.drop_spawned(false);
    assert_eq!(w.ledger().peak(), 2);
}

/// Law 197: nobody would forget it later.
async fn key_whose_circuit_is_broken_is_not_remembered_without_a_keeper(w: World) {
    let schedule = Backoff::new(w.ms(1000), w.ms(1000));
    let pool = w.keyed_pool(|b| {
        b.each(|pool| pool.connect_policy(ConnectPolicy::CircuitBreaker(schedule)))
    });
    for key in [1, 2] {
        pool.connects(key).always(err());
    }
    assert!(pool.acquire(1).await.is_err());
    assert_eq!(pool.keys(), [1]);
    let runtime = w.virtual_time().unwrap().clone();
    runtime.drop_spawned(true);
    assert!(pool.acquire(2).await.is_err());
    assert_eq!(pool.keys(), [1]);
    runtime.kill();
    assert!(pool.keys().is_empty());
    runtime.drop_spawned(false);
}

/// Guarantee 11.
async fn keys_outlive_their_runtime(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(2));
    let held = pool.acquire_many(1, 2).await;
    w.virtual_time().unwrap().kill();
    let both = async {
        let (one, other) = (pool.acquire(2), pool.acquire(3));
        let mut one = Box::pin(one);
        assert!(poll_once(&mut one).await.is_none());
        drop(held);
        let one = one.await.unwrap();
        drop((one, other.await.unwrap()));
        true
    };
    let too_late = async {
        w.sleep(25_000).await;
        false
    };
    assert!(or(both, too_late).await);
    assert_eq!(w.ledger().peak(), 2);
}

/// Guarantee 11: nobody comes for the attempt that was lost, and nobody is to keep its place.
async fn key_that_is_removed_with_a_lost_attempt_keeps_no_place(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    pool.connects(1).next([hang()]);
    let mut waiting = Box::pin(pool.acquire(1));
    assert!(poll_once(&mut waiting).await.is_none());
    w.until(|| pool.connects(1).calls() == 1).await;
    w.virtual_time().unwrap().kill();
    assert!(pool.remove(&1));
    assert!(matches!(waiting.await, Err(AcquireError::Closed)));
    drop(pool.acquire(2).await.unwrap());
}

/// Laws 64 and 197: each caller goes away before the next comes.
async fn key_whose_connects_fail_keeps_its_schedule_though_nobody_stays(w: World) {
    let schedule = Backoff::new(w.ms(1000), w.ms(1000));
    let pool = w.keyed_pool(|b| {
        b.max_total(1)
            .each(|pool| pool.connect_policy(ConnectPolicy::Retry(schedule)))
    });
    drop(pool.acquire(2).await.unwrap());
    let connects = pool.connects(1);
    connects.always(err());
    for _ in 0..9 {
        let late = pool.acquire_timeout(1, w.ms(100)).await;
        assert!(late.unwrap_err().is_timed_out());
        drop(pool.acquire(2).await.unwrap());
    }
    assert_eq!(connects.calls(), 1);
    assert_eq!(pool.connects(2).calls(), 2, "it gave its place up once");
    w.sleep(1099).await;
    assert!(pool.keys().contains(&1));
    w.until_time(1, || !pool.keys().contains(&1)).await;
}

/// Law 195.
async fn place_of_what_was_cleared_serves_whoever_waits(w: World) {
    let gate = Gate::new();
    let pool = w.keyed_pool(|b| b.max_total(1));
    drop(pool.acquire(1).await.unwrap());
    w.closes().next([ok().at(&gate)]);
    assert_eq!(pool.clear(&1), 1);
    let waiter = pool.waiter(2).await;
    assert_eq!(pool.connects(2).calls(), 0, "its place is not free yet");
    let watch = w.stopwatch();
    gate.open();
    drop(waiter.await.unwrap());
    watch.assert_at(0);
    assert_eq!(pool.statistics(&2).unwrap().connects, 1);
}

/// Law 10: he is polled no more, and his key has a place granted when he is late.
async fn nothing_is_made_for_a_caller_of_a_key_who_is_late(w: World) {
    let pool = w.keyed_pool(|b| b.max_total(1));
    let held = pool.acquire(1).await.unwrap();
    let mut late = Box::pin(pool.acquire_timeout(2, w.ms(1000)));
    assert!(poll_once(&mut late).await.is_none());
    w.sleep(5000).await;
    drop(held);
    w.settle().await;
    assert_eq!(pool.connects(2).calls(), 0);
    let late = late.await.unwrap_err();
    assert!(matches!(
        late,
        AcquireError::TimedOut {
            phase: Phase::Wait,
            ..
        }
    ));
    drop(pool.acquire(1).await.unwrap());
    assert_eq!(pool.connects(1).calls(), 1, "it kept its connection");
}

/// What is lent of a key can be asked for.
async fn loans_are_listed_by_key(w: World) {
    let pool = w.keyed_pool(|b| b.each(|pool| pool.leak_threshold(w.ms(1_000_000))));
    let held = [
        pool.acquire(1).await.unwrap(),
        pool.acquire(2).await.unwrap(),
    ];
    let counts = || [1, 2, 3].map(|key| pool.loans(&key).len());
    assert_eq!(counts(), [1, 1, 0]);
    drop(held);
    assert_eq!(counts(), [0, 0, 0]);
}
