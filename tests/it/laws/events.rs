//! What an observer is told, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::future::yield_now;
use watertight::{Condition, ConnectPolicy, Observer, event};

use crate::support::{Refused, World, err, hang, join, laws, ok, panics};

laws! {
    every_mode:
        events_of_a_connection_come_in_order,
        each_of_many_connections_has_one_life,
        connection_that_dies_is_reported_and_so_is_the_next,
        observer_learns_who_waited_and_for_how_long,
        observer_learns_how_a_connect_failed,
        observer_learns_what_a_connect_died_of,
        observer_learns_what_a_late_caller_waited_for,
        observer_of_many_keys_can_tell_their_connections_apart;
}

/// Writes down what it hears.
#[derive(Clone, Default)]
struct Scribe(Arc<Mutex<Vec<Heard>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Connected(Duration),
    ConnectFailed(&'static str),
    Acquired(Option<Duration>),
    Returned,
    TimedOut(watertight::Phase, Duration),
    Closed(watertight::CloseReason),
}

impl Heard {
    /// What happened, without how long it took.
    fn what(&self) -> &'static str {
        match self {
            Heard::Connected(_) => "connected",
            Heard::ConnectFailed(_) => "connect failed",
            Heard::Acquired(_) => "acquired",
            Heard::Returned => "returned",
            Heard::TimedOut(..) => "timed out",
            Heard::Closed(_) => "closed",
        }
    }
}

impl Scribe {
    fn hear(&self, heard: Heard) {
        self.0.lock().unwrap().push(heard);
    }

    fn notes(&self) -> Vec<Heard> {
        self.0.lock().unwrap().clone()
    }

    fn whats(&self) -> Vec<&'static str> {
        self.notes().iter().map(Heard::what).collect()
    }
}

impl Observer for Scribe {
    fn connected(&self, event: &event::Connected) {
        self.hear(Heard::Connected(event.took()));
    }

    fn connect_failed(&self, event: &event::ConnectFailed<'_>) {
        self.hear(Heard::ConnectFailed(event.kind()));
    }

    fn acquired(&self, event: &event::Acquired) {
        self.hear(Heard::Acquired(event.waited()));
    }

    fn returned(&self, _: &event::Returned) {
        self.hear(Heard::Returned);
    }

    fn timed_out(&self, event: &event::TimedOut) {
        self.hear(Heard::TimedOut(event.phase(), event.waited()));
    }

    fn closed(&self, event: &event::Closed) {
        self.hear(Heard::Closed(event.reason()));
    }
}

/// Law 188.
async fn events_of_a_connection_come_in_order(w: World) {
    let scribe = Scribe::default();
    let pool = w.pool(|b| b.max_size(1).observer(scribe.clone()));
    for _ in 0..3 {
        drop(pool.acquire().await.unwrap());
    }
    let mut dirty = pool.acquire().await.unwrap();
    dirty.condition = Condition::Dirty;
    pool.release(dirty).await;
    pool.close().await;
    w.until(|| scribe.notes().len() == 10).await;
    let loan = ["acquired", "returned"];
    let whole = [&["connected"][..], &loan.repeat(4), &["closed"]].concat();
    assert_eq!(scribe.whats(), whole);
}

/// What happened to each connection, in order.
#[derive(Clone, Default)]
struct Lives(Arc<Mutex<BTreeMap<u64, Vec<&'static str>>>>);

impl Lives {
    fn note(&self, connection: u64, what: &'static str) {
        let mut lives = self.0.lock().unwrap();
        lives.entry(connection).or_default().push(what);
    }
}

impl Observer for Lives {
    fn connected(&self, event: &event::Connected) {
        self.note(event.connection(), "connected");
    }

    fn acquired(&self, event: &event::Acquired) {
        self.note(event.connection(), "acquired");
    }

    fn returned(&self, event: &event::Returned) {
        self.note(event.connection(), "returned");
    }

    fn closed(&self, event: &event::Closed) {
        self.note(event.connection(), "closed");
    }
}

/// Law 188, where many are in use at once and go from hand to hand.
async fn each_of_many_connections_has_one_life(w: World) {
    let lives = Lives::default();
    let pool = w.pool(|b| b.max_size(3).observer(lives.clone()));
    let workers = (0..8).map(|worker| {
        let pool = pool.clone();
        w.spawn(async move {
            for round in 0..20 {
                let conn = pool.acquire().await.unwrap();
                yield_now().await;
                match (worker + round) % 7 {
                    0 => conn.discard(),
                    _ => drop(conn),
                }
            }
        })
    });
    join(workers.collect::<Vec<_>>()).await;
    pool.close().await;
    let closed = |lives: &Lives| {
        let lives = lives.0.lock().unwrap();
        lives
            .values()
            .flatten()
            .filter(|&&what| what == "closed")
            .count() as u64
    };
    w.until(|| closed(&lives) == pool.statistics().connects)
        .await;
    let lives = lives.0.lock().unwrap();
    assert!(lives.len() > 20);
    for (connection, life) in &*lives {
        let (first, loans) = life.split_first().expect("something happened");
        let (last, loans) = loans.split_last().expect("something else did");
        assert_eq!(
            (*first, *last),
            ("connected", "closed"),
            "{connection}: {life:?}"
        );
        for loan in loans.chunks(2) {
            assert_eq!(loan, ["acquired", "returned"], "{connection}: {life:?}");
        }
    }
}

/// Law 191.
async fn connection_that_dies_is_reported_and_so_is_the_next(w: World) {
    let scribe = Scribe::default();
    let pool = w.pool(|b| b.max_size(1).observer(scribe.clone()));
    w.closes().next([panics()]);
    let mut broken = pool.acquire().await.unwrap();
    broken.condition = Condition::Broken;
    pool.release(broken).await;
    w.until(|| scribe.notes().len() == 4).await;
    assert_eq!(pool.acquire().await.unwrap().id(), 1);
    w.until(|| pool.status().idle == 1).await;
    let told = scribe.whats();
    let life = ["connected", "acquired", "returned", "closed"];
    assert_eq!(told, [&life[..], &life[..3]].concat());
    let reason = watertight::CloseReason::Broken;
    assert_eq!(scribe.notes()[3], Heard::Closed(reason));
}

/// Law 182.
async fn observer_learns_who_waited_and_for_how_long(w: World) {
    let scribe = Scribe::default();
    w.connects().next([ok().after(w.ms(300))]);
    let pool = w.pool(|b| b.max_size(1).observer(scribe.clone()));
    let created = pool.acquire().await.unwrap();
    let queued = w.waiter(&pool).await;
    w.sleep(200).await;
    drop(created);
    drop(queued.await.unwrap());
    drop(pool.acquire().await.unwrap());
    let notes = scribe.notes();
    let waits: Vec<_> = notes
        .iter()
        .filter_map(|heard| match heard {
            Heard::Acquired(waited) => Some(*waited),
            _ => None,
        })
        .collect();
    let Heard::Connected(took) = notes[0] else {
        panic!("{notes:?}");
    };
    if w.virtual_time().is_some() {
        assert_eq!(took, w.ms(300));
        assert_eq!(waits, [Some(w.ms(300)), Some(w.ms(200)), None]);
    }
    assert!(took >= w.ms(300), "{took:?}");
    assert!(
        waits[0] >= Some(took) && waits[1] >= Some(w.ms(200)),
        "{waits:?}"
    );
    assert_eq!(waits[2], None);
}

/// Law 60, and 38 for a panic.
async fn observer_learns_how_a_connect_failed(w: World) {
    let scribe = Scribe::default();
    w.connects().next([err(), hang(), panics()]);
    let pool = w.pool(|b| {
        b.max_size(1)
            .connect_timeout(w.ms(100))
            .connect_policy(ConnectPolicy::FailFast)
            .observer(scribe.clone())
    });
    for _ in 0..3 {
        assert!(!pool.acquire().await.unwrap_err().is_timed_out());
    }
    let kinds = ["failed", "timed out", "panicked"];
    assert_eq!(scribe.notes(), kinds.map(Heard::ConnectFailed));
}

/// Law 60: how long it took, and the error itself.
async fn observer_learns_what_a_connect_died_of(w: World) {
    #[derive(Clone, Default)]
    struct Deaths(Arc<Mutex<Vec<(Duration, bool, bool)>>>);
    impl Observer for Deaths {
        fn connect_failed(&self, event: &event::ConnectFailed<'_>) {
            let error = event.error::<Refused>();
            let its_own = error.and_then(|error| error.manager_error()).is_some();
            let of_another = event.error::<std::fmt::Error>().is_some();
            assert!(format!("{event:?}").contains("failed"));
            let mut deaths = self.0.lock().unwrap();
            deaths.push((event.took(), its_own, of_another));
        }
    }
    let deaths = Deaths::default();
    w.connects().next([err().after(w.ms(100))]);
    let pool = w.pool(|b| b.max_size(1).observer(deaths.clone()));
    drop(pool.acquire().await.unwrap());
    let deaths = deaths.0.lock().unwrap();
    let [(took, true, false)] = deaths[..] else {
        panic!("{deaths:?}");
    };
    assert!(took >= w.ms(100), "{took:?}");
}

/// Law 184.
async fn observer_learns_what_a_late_caller_waited_for(w: World) {
    let scribe = Scribe::default();
    let pool = w.pool(|b| b.max_size(1).observer(scribe.clone()));
    let held = pool.acquire().await.unwrap();
    assert!(pool.acquire_timeout(w.ms(100)).await.is_err());
    let notes = scribe.notes();
    let Some(&Heard::TimedOut(phase, waited)) = notes.last() else {
        panic!("{notes:?}");
    };
    assert_eq!(phase, watertight::Phase::Wait);
    assert!(waited >= w.ms(100), "{waited:?}");
    drop(held);
}

/// Law 188: all keys share an observer, which hears of one end.
async fn observer_of_many_keys_can_tell_their_connections_apart(w: World) {
    #[derive(Clone, Default)]
    struct Ids(Arc<Mutex<(Vec<u64>, usize)>>);

    impl Observer for Ids {
        fn connected(&self, event: &event::Connected) {
            self.0.lock().unwrap().0.push(event.connection());
        }

        fn closing(&self) {
            self.0.lock().unwrap().1 += 1;
        }
    }

    let ids = Arc::new(Ids::default());
    let pool = w.keyed_pool(|b| b.each(|pool| pool.name("keys").observer(Arc::clone(&ids))));
    for key in 1..4 {
        drop(pool.acquire_many(key, 2).await);
        assert!(pool.remove(&key));
    }
    drop(pool.acquire(1).await.unwrap());
    assert_eq!(pool.name(), Some("keys"));
    let heard = ids.0.lock().unwrap().clone();
    let different: BTreeSet<_> = heard.0.iter().collect();
    assert_eq!((different.len(), heard.1), (7, 0));
    pool.close().await;
    pool.close().await;
    assert_eq!(ids.0.lock().unwrap().1, 1);
}
