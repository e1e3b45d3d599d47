//! Connections that are held for too long.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watertight::{Loan, Observer, Pool, SyncPool};

use crate::support::{Mortal, Virtual, World, laws};

laws! {
    every_mode:
        one_held_for_too_long_is_reported_once,
        one_that_comes_back_in_time_is_not_reported,
        shutdown_and_shrink_are_no_leaks,
        new_threshold_holds_for_later_loans,
        loans_are_listed_with_the_oldest_first,
        however_a_loan_ends_it_is_noticed;
    virtual_only:
        report_comes_when_the_threshold_has_passed,
        nobody_is_reported_unless_asked_for,
        one_handed_over_is_a_loan_of_its_own;
}

/// What was reported.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    leaked: Vec<Loan>,
    returned: Vec<Loan>,
}

impl Observer for Reports {
    fn leaked(&self, loan: &Loan) {
        self.0.lock().unwrap().leaked.push(loan.clone());
    }

    fn leak_returned(&self, loan: &Loan) {
        self.0.lock().unwrap().returned.push(loan.clone());
    }
}

impl Reports {
    fn counts(&self) -> (usize, usize) {
        let told = self.0.lock().unwrap();
        (told.leaked.len(), told.returned.len())
    }

    fn first(&self) -> Loan {
        self.0.lock().unwrap().leaked[0].clone()
    }
}

/// Law 160.
async fn one_held_for_too_long_is_reported_once(w: World) {
    let reports = Reports::default();
    let pool = w.pool(|b| b.leak_threshold(w.ms(100)).observer(reports.clone()));
    let mut held = pool.acquire().await.unwrap();
    assert_eq!(reports.counts(), (0, 0));
    w.until_time(100, || reports.counts() == (1, 0)).await;
    let loan = reports.first();
    assert_eq!(loan.connection(), held.metrics().id());
    assert!(loan.held() >= w.ms(100));
    assert!(
        loan.location().file().ends_with("support/pool.rs"),
        "{loan}"
    );
    w.sleep(300).await;
    assert_eq!(reports.counts(), (1, 0));
    assert_eq!(pool.statistics().leaks, 1);
    // Its holder is undisturbed.
    held.condition = watertight::Condition::Clean;
    drop(held);
    w.until(|| reports.counts() == (1, 1)).await;
    assert_eq!(pool.status().idle, 1);
    assert!(pool.loans().is_empty());
    w.sleep(300).await;
    assert_eq!(reports.counts(), (1, 1));
}

/// Law 161.
async fn one_that_comes_back_in_time_is_not_reported(w: World) {
    let reports = Reports::default();
    let pool = w.pool(|b| b.leak_threshold(w.ms(200)).observer(reports.clone()));
    for _ in 0..3 {
        let held = pool.acquire().await.unwrap();
        w.sleep(90).await;
        drop(held);
    }
    w.sleep(300).await;
    assert_eq!(reports.counts(), (0, 0));
    assert_eq!(pool.statistics().leaks, 0);
}

/// Law 162.
async fn shutdown_and_shrink_are_no_leaks(w: World) {
    let reports = Reports::default();
    let pool = w.pool(|b| b.leak_threshold(w.ms(1000)).observer(reports.clone()));
    let held = pool.acquire_many(2).await;
    pool.resize(1);
    let closed = w.spawn(pool.close());
    w.sleep(100).await;
    assert_eq!(pool.loans().len(), 2, "they are still out");
    drop(held);
    closed.await;
    assert_eq!(reports.counts(), (0, 0));
    assert_eq!(pool.statistics().leaks, 0);
    assert!(pool.loans().is_empty());
}

/// Law 162: what was forgotten is counted, and its place with it.
#[test]
fn forgotten_guard_is_counted_as_a_leak() {
    let runtime = Virtual::new();
    let threshold = Duration::from_secs(1);
    let reports = Reports::default();
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(()) })
        .max_size(2)
        .leak_threshold(threshold)
        .observer(reports.clone())
        .runtime(runtime.clone())
        .build()
        .unwrap();
    std::mem::forget(runtime.block_on(pool.acquire()).unwrap());
    runtime.advance(threshold - Duration::from_millis(1));
    assert_eq!(pool.statistics().leaks, 0);
    runtime.advance(Duration::from_millis(1));
    assert_eq!((pool.statistics().leaks, reports.counts()), (1, (1, 0)));
    assert_eq!((pool.loans().len(), pool.status().in_use), (1, 1));
    let left = runtime.block_on(pool.close_within(Duration::from_secs(1)));
    assert_eq!(left, 1);
    runtime.kill();
}

/// Law 163.
async fn new_threshold_holds_for_later_loans(w: World) {
    let reports = Reports::default();
    let pool = w.pool(|b| b.max_size(3).observer(reports.clone()));
    let before = pool.acquire().await.unwrap();
    assert!(pool.loans().is_empty());
    pool.set_leak_threshold(w.ms(100)).unwrap();
    let noted = pool.acquire().await.unwrap();
    pool.set_leak_threshold(w.ms(1_000_000)).unwrap();
    let patient = pool.acquire().await.unwrap();
    w.until_time(100, || reports.counts() == (1, 0)).await;
    assert_eq!(reports.first().connection(), noted.metrics().id());
    pool.set_leak_threshold(None).unwrap();
    drop((noted, patient));
    w.until(|| reports.counts() == (1, 1)).await;
    let unnoted = pool.acquire().await.unwrap();
    w.sleep(200).await;
    assert_eq!(reports.counts(), (1, 1));
    assert!(pool.loans().is_empty());
    drop((before, unnoted));
    assert!(pool.set_leak_threshold(Duration::ZERO).is_err());
}

/// What is lent now can be asked for.
async fn loans_are_listed_with_the_oldest_first(w: World) {
    let pool = w.pool(|b| b.max_size(3).leak_threshold(w.ms(1_000_000)));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.acquire().await.unwrap());
        w.sleep(20).await;
    }
    // The first connection begins its second loan, and is the youngest now.
    drop(held.remove(0));
    held.push(pool.acquire().await.unwrap());
    let ids = held.iter().map(|conn| conn.metrics().id());
    let loans = pool.loans();
    assert!(loans.iter().map(Loan::connection).eq(ids), "{loans:?}");
    assert!(loans.windows(2).all(|two| two[0].held() >= two[1].held()));
    assert!(loans[0].held() >= w.ms(20));
}

/// Law 161: nothing that was given back, in whatever way, is taken for held.
async fn however_a_loan_ends_it_is_noticed(w: World) {
    let pool = w.pool(|b| b.max_size(4).leak_threshold(w.ms(1_000_000)));
    let mut held = pool.acquire_many(4).await;
    assert_eq!(pool.loans().len(), 4);
    held.pop().unwrap().discard();
    drop(held.pop().unwrap().detach());
    pool.release(held.pop().unwrap()).await;
    assert_eq!(pool.loans().len(), 1);
    let last = held.pop().unwrap();
    let panics = AssertUnwindSafe(|| {
        let _last = last;
        resume_unwind(Box::new("a holder panics"));
    });
    assert!(catch_unwind::<_, ()>(panics).is_err());
    assert!(pool.loans().is_empty());
}

/// Law 160.
async fn report_comes_when_the_threshold_has_passed(w: World) {
    let reports = Reports::default();
    let pool = w.pool(|b| b.leak_threshold(w.ms(100)).observer(reports.clone()));
    let first = pool.acquire().await.unwrap();
    w.sleep(60).await;
    let second = pool.acquire().await.unwrap();
    w.sleep(39).await;
    w.settle().await;
    assert_eq!(reports.counts(), (0, 0));
    w.until_time(1, || reports.counts() == (1, 0)).await;
    assert_eq!(reports.first().held(), w.ms(100));
    w.sleep(59).await;
    assert_eq!(reports.counts(), (1, 0));
    w.until_time(1, || reports.counts() == (2, 0)).await;
    drop((first, second));
}

/// Without a threshold nothing is noted down.
async fn nobody_is_reported_unless_asked_for(w: World) {
    let reports = Reports::default();
    let pool = w.pool(|b| b.observer(reports.clone()));
    let held = pool.acquire().await.unwrap();
    w.sleep(1_000_000).await;
    assert!(pool.loans().is_empty());
    drop(held);
    assert_eq!(reports.counts(), (0, 0));
}

/// Law 161.
async fn one_handed_over_is_a_loan_of_its_own(w: World) {
    let reports = Reports::default();
    let pool = w.pool(|b| {
        let b = b.max_size(1).acquire_timeout(None);
        b.leak_threshold(w.ms(100)).observer(reports.clone())
    });
    let first = pool.acquire().await.unwrap();
    let waiter = w.waiter(&pool).await;
    w.sleep(70).await;
    drop(first);
    let second = waiter.await.unwrap();
    w.sleep(70).await;
    w.settle().await;
    assert_eq!(reports.counts(), (0, 0));
    w.until_time(30, || reports.counts() == (1, 0)).await;
    drop(second);
}

/// Law 160: the line of the call is told, of a future as of a blocking call.
#[test]
fn loan_says_where_it_was_acquired() {
    let runtime = Mortal::new();
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(0) })
        .leak_threshold(Duration::from_secs(1))
        .runtime(runtime.clone())
        .build()
        .unwrap();
    runtime.block_on(async {
        let (future, line) = (pool.acquire(), line!());
        let held = future.await.unwrap();
        let loan = pool.loans().remove(0);
        assert_eq!(loan.location().line(), line);
        assert_eq!(loan.location().file(), file!());
        assert!(loan.to_string().contains("leaks.rs"), "{loan}");
        let thread = std::thread::current();
        assert_eq!(loan.thread(), thread.name());
        drop(held);
        let (held, line) = (pool.try_acquire().unwrap(), line!());
        assert_eq!(pool.loans()[0].location().line(), line);
        drop(held);
        let sync: SyncPool<_> = pool.sync();
        let (held, line) = (sync.acquire().unwrap(), line!());
        assert_eq!(sync.loans()[0].location().line(), line);
        drop(held);
        let timeout = Duration::from_secs(1);
        let (held, line) = (sync.acquire_timeout(timeout).unwrap(), line!());
        assert_eq!(sync.loans()[0].location().line(), line);
        drop(held);
        let (future, line) = (pool.acquire_timeout(timeout), line!());
        let held = future.await.unwrap();
        assert_eq!(pool.loans()[0].location().line(), line);
        drop(held);
        pool.close().await;
    });
}

/// The task is told, where the runtime can tell.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn loan_says_which_task_acquired_it() {
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(0) })
        .leak_threshold(Duration::from_secs(60))
        .runtime(Arc::new(watertight::TokioRuntime::current()))
        .build()
        .unwrap();
    let borrower = pool.clone();
    let task = tokio::spawn(async move {
        let held = borrower.acquire().await.unwrap();
        (held, tokio::task::id().to_string())
    });
    let (held, id) = task.await.unwrap();
    assert_eq!(pool.loans()[0].task(), Some(&*id));
    drop(held);
    pool.close().await;
}
