//! Every way out of the pool serves the one who waits. The plain ones are in `fairness`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use watertight::{Condition, Pool};

use crate::support::{Acquired, Gate, LawPool, Virtual, World, hang, laws, ok};

laws! {
    every_mode:
        hung_recycling_serves_the_waiter_at_its_time_out,
        hung_close_serves_the_waiter_at_its_time_out,
        panicking_destructor_serves_the_waiter,
        return_through_a_full_queue_serves_the_waiter;
    tasks_only:
        connection_that_retain_keeps_serves_who_came_meanwhile,
        connection_that_retain_rejects_makes_room_for_who_came_meanwhile;
}

/// Laws 52 and 106.
async fn hung_recycling_serves_the_waiter_at_its_time_out(w: World) {
    let pool = w.pool(|b| b.max_size(1).recycle_timeout(w.ms(100)));
    let mut held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    w.recycles().next([hang()]);
    let watch = w.stopwatch();
    held.condition = Condition::Dirty;
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(100);
}

/// Laws 52 and 111.
async fn hung_close_serves_the_waiter_at_its_time_out(w: World) {
    let pool = w.pool(|b| b.max_size(1).close_timeout(w.ms(100)));
    let held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    w.closes().next([hang()]);
    let watch = w.stopwatch();
    held.discard();
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(100);
}

/// Law 52 and guarantee 13.
async fn panicking_destructor_serves_the_waiter(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let mut held = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    let watch = w.stopwatch();
    held.panics_when_dropped = true;
    held.condition = Condition::Broken;
    drop(held);
    assert_eq!(waiter.await.unwrap().id(), 1);
    watch.assert_at(0);
}

/// Law 52 and guarantee 13.
async fn return_through_a_full_queue_serves_the_waiter(w: World) {
    let gate = Gate::new();
    w.recycles().always(ok().at(&gate));
    let pool = w.pool(|b| b.max_size(3).return_queue(1));
    let held = pool.acquire_many(3).await;
    let waiter = w.waiter(&pool).await;
    for (waiting, mut conn) in held.into_iter().enumerate() {
        conn.condition = Condition::Dirty;
        drop(conn);
        // One is being recycled, one waits for it, and for one there is no room.
        w.until(|| waiting > 0 || w.recycles().calls() == 1).await;
    }
    assert_eq!(waiter.await.unwrap().id(), 3);
    gate.open();
    w.until(|| pool.status().idle == 3).await;
}

/// Law 52 and guarantee 13.
async fn connection_that_retain_keeps_serves_who_came_meanwhile(w: World) {
    assert_eq!(served_although_retain_looks(&w, true).await, 0);
}

/// Law 52 and guarantee 13.
async fn connection_that_retain_rejects_makes_room_for_who_came_meanwhile(w: World) {
    assert_eq!(served_although_retain_looks(&w, false).await, 1);
}

/// Somebody comes while `retain` looks at the only connection; which one is he given?
async fn served_although_retain_looks(w: &World, keep: bool) -> usize {
    let pool = w.pool(|b| b.max_size(1));
    drop(pool.acquire().await.unwrap());
    let mut caller = Box::pin(pool.acquire());
    let removed = pool.retain(|_, _| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(caller.as_mut().poll(&mut cx).is_pending());
        keep
    });
    assert_eq!(removed, usize::from(!keep));
    if keep {
        let served = futures_lite::future::poll_once(&mut caller).await;
        return served.expect("it is served at once").unwrap().id();
    }
    let watch = w.stopwatch();
    let conn = caller.await.unwrap();
    watch.assert_at(0);
    conn.id()
}

type Waiting = Pin<Box<dyn Future<Output = Acquired> + Send>>;

fn waiting(pool: &LawPool) -> Waiting {
    let pool = pool.clone();
    let mut waiting: Waiting = Box::pin(async move { pool.acquire().await });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    waiting
}

/// Guarantee 1: what is forgotten takes its own place along and no other, and the others can be
/// closed.
#[test]
fn forgotten_guard_costs_its_own_place_and_no_other() {
    let runtime = Virtual::new();
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(()) })
        .max_size(2)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    std::mem::forget(runtime.block_on(pool.acquire()).unwrap());
    for _ in 0..10 {
        drop(runtime.block_on(pool.acquire()).unwrap());
    }
    let held = runtime.block_on(pool.acquire()).unwrap();
    assert!(pool.try_acquire().is_none());
    drop(held);
    let grace = std::time::Duration::from_secs(1);
    assert_eq!(runtime.block_on(pool.close_within(grace)), 1);
    assert_eq!(pool.statistics().closes.shutdown, 1);
}

/// Guarantee 1: a waiter that is forgotten is served in its turn, which costs one place, and does
/// not hold up those behind it.
#[test]
fn forgotten_waiter_costs_one_place_and_holds_up_nobody() {
    let runtime = Virtual::new();
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(()) })
        .max_size(2)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let mut held: Vec<_> = (0..2)
        .map(|_| runtime.block_on(pool.acquire()).unwrap())
        .collect();
    let mut forgotten = Box::pin(pool.acquire());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(forgotten.as_mut().poll(&mut cx).is_pending());
    std::mem::forget(forgotten);
    let mut next = Box::pin(pool.acquire());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    held.pop();
    assert!(
        next.as_mut().poll(&mut cx).is_pending(),
        "it is not its turn"
    );
    held.pop();
    let Poll::Ready(conn) = next.as_mut().poll(&mut cx) else {
        panic!("it is its turn");
    };
    drop(conn.unwrap());
    assert_eq!((pool.status().idle, pool.status().in_use), (1, 1));
}

/// Law 26, where a waker is code like any other: woken for a hand-off, it drops the very future
/// that was served.
#[test]
fn waker_that_drops_its_own_future_passes_the_hand_off_on() {
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct DropsWhenWoken(Mutex<Option<Waiting>>);
    impl std::task::Wake for DropsWhenWoken {
        fn wake(self: Arc<Self>) {
            let own = self.0.lock().unwrap().take();
            drop(own);
        }
    }

    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        let held = runtime.block_on(pool.acquire()).unwrap();
        for _ in 0..3 {
            let cell = Arc::new(DropsWhenWoken::default());
            let mut first = waiting(&pool);
            let waker = Waker::from(Arc::clone(&cell));
            assert!(
                first
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            *cell.0.lock().unwrap() = Some(first);
        }
        let last = waiting(&pool);
        drop(held);
        assert_eq!(pool.status().waiting, 0);
        assert_eq!(runtime.block_on(last).unwrap().id(), 0);
        assert_eq!(pool.statistics().cancellations, 3);
    });
}

/// Law 39, where the waker polls its own future, in the midst of the return that wakes it.
#[test]
fn waker_that_polls_its_own_future_is_served_on_the_spot() {
    use std::sync::{Arc, Mutex};

    struct PollsWhenWoken(Mutex<Option<Waiting>>, Mutex<Option<Acquired>>);
    impl std::task::Wake for PollsWhenWoken {
        fn wake(self: Arc<Self>) {
            let mut own = self.0.lock().unwrap().take().expect("it is woken once");
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(conn) = own.as_mut().poll(&mut cx) {
                *self.1.lock().unwrap() = Some(conn);
            }
        }
    }

    World::by_hand(|w, runtime| {
        let pool = w.pool(|b| b.max_size(1));
        let held = runtime.block_on(pool.acquire()).unwrap();
        let cell = Arc::new(PollsWhenWoken(Mutex::default(), Mutex::default()));
        let mut first = waiting(&pool);
        let waker = Waker::from(Arc::clone(&cell));
        assert!(
            first
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        *cell.0.lock().unwrap() = Some(first);
        drop(held);
        let conn = cell.1.lock().unwrap().take().expect("it was served");
        assert_eq!(conn.unwrap().id(), 0);
    });
}
