//! More work than there are connections.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use watertight::{AcquireError, Observer, QueueOrder, Rejection, event};

use crate::support::{Gate, LawPool, Task, World, join, laws, ok};

laws! {
    every_mode:
        queue_can_be_limited,
        those_for_whom_a_connection_is_made_do_not_count,
        closing_one_after_a_shrink_keeps_nobody_out,
        nobody_waits_if_nobody_may,
        overloaded_pool_says_so_and_for_how_long_one_waited;
    // These need exact times.
    virtual_only:
        short_waits_turn_nobody_away,
        first_of_an_interval_is_served_whatever_its_wait,
        one_short_wait_ends_the_turning_away,
        steady_overload_has_short_waits_and_full_goodput,
        stall_turns_waiters_away_after_two_to_three_intervals,
        burst_that_drains_loses_nobody,
        last_to_come_is_first_served_while_overloaded,
        pause_is_no_overload,
        idle_pool_with_a_controlled_delay_sets_no_timer,
        quiet_time_ends_an_overload;
}

/// Law 148.
async fn queue_can_be_limited(w: World) {
    let pool = w.pool(|b| b.max_size(1).max_waiters(2));
    let held = pool.acquire().await.unwrap();
    let first = w.waiter(&pool).await;
    let second = w.acquiring_within(&pool, 200);
    w.until(|| pool.status().waiting == 2).await;
    let watch = w.stopwatch();
    let error = pool.acquire().await.unwrap_err();
    watch.assert_at(0);
    assert!(error.is_queue_full(), "{error:?}");
    assert!(error.to_string().contains("max_waiters"));
    assert_eq!(pool.statistics().rejections.queue_full, 1);
    assert_eq!(pool.statistics().rejections.total(), 1);
    // One leaves, and the next is admitted.
    assert!(second.await.unwrap_err().is_timed_out());
    let third = w.waiter(&pool).await;
    drop(held);
    for waiter in [first, third] {
        drop(waiter.await.unwrap());
    }
}

/// Law 148, at the start.
async fn those_for_whom_a_connection_is_made_do_not_count(w: World) {
    let gate = Gate::new();
    w.connects().always(ok().at(&gate));
    let pool = w.pool(|b| b.max_size(3).max_waiters(1));
    let mut waiters = Vec::new();
    for _ in 0..4 {
        waiters.push(w.waiter(&pool).await);
    }
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    gate.open();
    for waiter in waiters {
        drop(waiter.await.unwrap());
    }
}

/// Law 148, above the limit on places.
async fn closing_one_after_a_shrink_keeps_nobody_out(w: World) {
    let (gate, closing) = (Gate::new(), Gate::new());
    let pool = w.pool(|b| b.max_size(3).max_waiters(1));
    let held = pool.acquire().await.unwrap();
    w.connects().always(ok().at(&gate));
    w.closes().next([ok().at(&closing)]);
    held.discard();
    let mut waiters = vec![w.waiter(&pool).await, w.waiter(&pool).await];
    w.until(|| pool.status().connecting == 2).await;
    pool.resize(2);
    assert_eq!(pool.status().size, 3);
    waiters.push(w.waiter(&pool).await);
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    gate.open();
    closing.open();
    for waiter in waiters {
        drop(waiter.await.unwrap());
    }
}

/// Laws 147 and 148.
async fn nobody_waits_if_nobody_may(w: World) {
    let pool = w.pool(|b| b.max_size(1).max_waiters(0));
    let held = pool.acquire().await.unwrap();
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    let gate = Gate::new();
    w.connects().next([ok().at(&gate)]);
    held.discard();
    w.until(|| pool.status().size == 0).await;
    let waiter = w.waiter(&pool).await;
    w.until(|| pool.status().connecting == 1).await;
    assert!(pool.acquire().await.unwrap_err().is_queue_full());
    gate.open();
    drop(waiter.await.unwrap());
}

/// So many connections, a target of 50 ms, and this interval.
fn controlled(w: &World, max_size: usize, interval: u64) -> LawPool {
    w.pool(|b| {
        b.max_size(max_size)
            .controlled_delay(w.ms(50), w.ms(interval))
    })
}

/// How it ended for those who came at a steady rate.
#[derive(Clone)]
struct Arrivals {
    start: Instant,
    ends: Arc<Mutex<Vec<End>>>,
}

#[derive(Clone, Copy, Debug)]
struct End {
    came: u64,
    served: bool,
    /// Milliseconds from the start, and of waiting.
    at: u64,
    waited: u64,
}

impl Arrivals {
    fn new(w: &World) -> Self {
        Arrivals {
            start: w.now(),
            ends: Arc::default(),
        }
    }

    /// Somebody comes, and holds what he gets for so long.
    fn one(&self, w: &World, pool: &LawPool, hold: u64) -> Task<()> {
        let (world, pool, all) = (w.clone(), pool.clone(), self.clone());
        let came = w.now();
        w.spawn(async move {
            let result = pool.acquire().await;
            let served = match &result {
                Ok(_) => true,
                Err(AcquireError::Shed { waited }) => {
                    assert_eq!(*waited, world.now() - came);
                    false
                }
                Err(error) => panic!("{error}"),
            };
            let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
            all.ends.lock().unwrap().push(End {
                came: ms(came - all.start),
                served,
                at: ms(world.now() - all.start),
                waited: ms(world.now() - came),
            });
            if served {
                world.sleep(hold).await;
            }
            drop(result);
        })
    }

    /// One every so many milliseconds, for so long.
    async fn steady(&self, w: &World, pool: &LawPool, every: u64, hold: u64, until: u64) {
        let mut tasks = Vec::new();
        for _ in 0..until / every {
            tasks.push(self.one(w, pool, hold));
            w.sleep(every).await;
        }
        join(tasks).await;
    }

    fn all(&self) -> Vec<End> {
        self.ends.lock().unwrap().clone()
    }

    fn shed(&self) -> Vec<End> {
        self.all().into_iter().filter(|end| !end.served).collect()
    }
}

/// Law 149.
async fn short_waits_turn_nobody_away(w: World) {
    let pool = controlled(&w, 2, 500);
    let arrivals = Arrivals::new(&w);
    // Two at a time come for one that is free, so that every other waits, but not for long.
    for _ in 0..400 {
        let tasks = (0..4).map(|_| arrivals.one(&w, &pool, 10));
        join(tasks.collect::<Vec<_>>()).await;
        w.sleep(5).await;
    }
    assert!(arrivals.shed().is_empty());
    assert!(pool.statistics().waits > 700);
}

/// Law 150.
async fn first_of_an_interval_is_served_whatever_its_wait(w: World) {
    let pool = controlled(&w, 1, 1000);
    let arrivals = Arrivals::new(&w);
    arrivals.steady(&w, &pool, 5, 10, 20_000).await;
    let all = arrivals.all();
    let patient = |end: &&End| end.served && end.waited > 100;
    let late: Vec<u64> = all.iter().filter(patient).map(|end| end.at).collect();
    // After the beginning there is one such in an interval at most.
    let late: Vec<_> = late.into_iter().filter(|at| *at > 5_000).collect();
    assert!(!late.is_empty());
    assert!(
        late.windows(2).all(|two| two[1] - two[0] >= 1000),
        "{late:?}"
    );
}

/// Law 151.
async fn one_short_wait_ends_the_turning_away(w: World) {
    let pool = controlled(&w, 1, 1000);
    let arrivals = Arrivals::new(&w);
    arrivals.steady(&w, &pool, 5, 10, 6_000).await;
    let sheds = arrivals.shed().len();
    assert!(sheds > 100);
    // The queue is empty now. What comes waits little, then a long wait in the next interval.
    w.sleep(100).await;
    arrivals.steady(&w, &pool, 10, 10, 2_000).await;
    let sheds = arrivals.shed().len();
    let held = pool.acquire().await.unwrap();
    let long = arrivals.one(&w, &pool, 0);
    w.sleep(300).await;
    drop(held);
    long.await;
    assert_eq!(arrivals.shed().len(), sheds);
}

/// Law 152.
async fn steady_overload_has_short_waits_and_full_goodput(w: World) {
    let pool = controlled(&w, 1, 2000);
    drop(pool.acquire().await.unwrap());
    let arrivals = Arrivals::new(&w);
    arrivals.steady(&w, &pool, 5, 10, 30_000).await;
    let all = arrivals.all();
    let first = arrivals.shed().iter().map(|end| end.at).min().unwrap();
    assert!((4_000..=4_020).contains(&first), "first shed at {first}");
    let served = all.iter().filter(|end| end.served && end.at < 30_000);
    let served = served.count();
    assert!((2970..=3030).contains(&served), "{served} served");
    let late = all.iter().filter(|end| end.served && end.came > 10_000);
    let longest = late.map(|end| end.waited).max().unwrap();
    assert!(longest <= 110, "a served one waited {longest}");
}

/// Law 153.
async fn stall_turns_waiters_away_after_two_to_three_intervals(w: World) {
    let pool = controlled(&w, 1, 1000);
    let held = pool.acquire().await.unwrap();
    let arrivals = Arrivals::new(&w);
    w.sleep(10).await;
    let waiter = arrivals.one(&w, &pool, 0);
    waiter.await;
    let [end] = arrivals.shed()[..] else {
        panic!("{:?}", arrivals.all());
    };
    assert_eq!((end.at, end.waited), (3000, 2990));
    // One who comes when the pool is known to be slow is turned away sooner, but has his time.
    let waiter = arrivals.one(&w, &pool, 0);
    waiter.await;
    assert!(arrivals.shed()[1].waited < 2990);
    drop(held);
    assert_eq!(pool.statistics().rejections.shed, 2);
}

/// Law 154.
async fn burst_that_drains_loses_nobody(w: World) {
    let pool = controlled(&w, 10, 2000);
    let arrivals = Arrivals::new(&w);
    for _ in 0..3 {
        let burst = (0..1000).map(|_| arrivals.one(&w, &pool, 10));
        join(burst.collect::<Vec<_>>()).await;
        w.sleep(3_000).await;
    }
    assert!(arrivals.shed().is_empty());
    assert_eq!(arrivals.all().len(), 3000);
}

/// Law 157.
async fn overloaded_pool_says_so_and_for_how_long_one_waited(w: World) {
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<(Rejection, Duration)>>>);
    impl Observer for Told {
        fn rejected(&self, event: &event::Rejected) {
            self.0.lock().unwrap().push((event.why(), event.waited()));
        }
    }
    let told = Told::default();
    let pool = w.pool(|b| {
        b.max_size(1)
            .acquire_timeout(None)
            .controlled_delay(w.ms(50), w.ms(200))
            .observer(told.clone())
    });
    let held = pool.acquire().await.unwrap();
    let error = pool.acquire().await.unwrap_err();
    let AcquireError::Shed { waited } = error else {
        panic!("{error:?}");
    };
    assert!(waited >= w.ms(100), "{waited:?}");
    assert!(error.is_shed() && !error.is_timed_out());
    assert!(error.to_string().contains("overloaded"));
    let told = told.0.lock().unwrap().clone();
    assert_eq!(told, [(Rejection::Shed, waited)]);
    let statistics = pool.statistics();
    assert_eq!(statistics.rejections.shed, 1);
    assert_eq!(
        (statistics.timeouts.total(), statistics.cancellations),
        (0, 0)
    );
    drop(held);
}

/// Law 157: the option.
async fn last_to_come_is_first_served_while_overloaded(w: World) {
    let run = async |order: QueueOrder| {
        let w = w.sibling();
        let pool = w.pool(|b| {
            b.max_size(1)
                .controlled_delay(w.ms(50), w.ms(1000))
                .queue_order(order)
        });
        let arrivals = Arrivals::new(&w);
        arrivals.steady(&w, &pool, 5, 10, 10_000).await;
        let all = arrivals.all();
        let served = all.iter().filter(|end| end.served && end.came > 5_000);
        let waits: Vec<u64> = served.map(|end| end.waited).collect();
        let mean = waits.iter().sum::<u64>() / u64::try_from(waits.len()).unwrap();
        (mean, waits.len())
    };
    let (fifo, many) = run(QueueOrder::Fifo).await;
    let (lifo, as_many) = run(QueueOrder::AdaptiveLifo).await;
    assert!((80..=110).contains(&fifo), "{fifo}");
    assert!(lifo < 30, "{lifo}");
    assert!(many.abs_diff(as_many) <= many / 50, "{many} and {as_many}");
}

/// Laws 141 and 154.
async fn pause_is_no_overload(w: World) {
    let pool = controlled(&w, 1, 1000);
    drop(pool.acquire().await.unwrap());
    let arrivals = Arrivals::new(&w);
    pool.pause().await;
    let tasks: Vec<_> = (0..20).map(|_| arrivals.one(&w, &pool, 10)).collect();
    w.sleep(10_000).await;
    pool.resume();
    join(tasks).await;
    assert!(arrivals.shed().is_empty());
}

/// Guarantee 10: what nobody waits for costs nothing.
async fn idle_pool_with_a_controlled_delay_sets_no_timer(w: World) {
    let pool = w.pool(|b| {
        b.max_size(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .controlled_delay(w.ms(50), w.ms(1000))
    });
    drop(pool.acquire().await.unwrap());
    w.sleep(10_000).await;
    w.settle().await;
    assert_eq!(w.virtual_time().unwrap().timers(), 0);
}

/// Law 151: an idle connection says that nobody had to wait.
async fn quiet_time_ends_an_overload(w: World) {
    let pool = controlled(&w, 1, 1000);
    let arrivals = Arrivals::new(&w);
    arrivals.steady(&w, &pool, 5, 10, 6_000).await;
    w.sleep(60_000).await;
    drop(pool.acquire().await.unwrap());
    let sheds = arrivals.shed().len();
    // A burst that takes two seconds, of which the first is not in a slow interval.
    let burst = (0..100).map(|_| arrivals.one(&w, &pool, 10));
    join(burst.collect::<Vec<_>>()).await;
    assert_eq!(arrivals.shed().len(), sheds);
}
