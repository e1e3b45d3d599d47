//! What a pool logs.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use watertight::{AcquireError, Pool, PooledConnection, VirtualRuntime};

use crate::support::Mortal;

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

impl Log {
    /// The lines in which all of these stand.
    fn lines_with(&self, words: &[&str]) -> usize {
        let text = self.text();
        let lines = text.lines();
        lines
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Runs a story under a subscriber of its own.
///
/// As long as there is only one, tracing asks the thread that comes to a callsite first whether
/// anybody listens, and that may be the thread of another test, where nobody does. A second one that
/// stays makes it ask them all.
fn under(subscriber: impl Subscriber + Send + Sync, story: impl FnOnce()) {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| Dispatch::new(NoSubscriber::default()));
    tracing::subscriber::with_default(subscriber, story);
}

/// Runs a story and returns what the log says of it.
fn logged(story: impl FnOnce(&VirtualRuntime)) -> Log {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
        .with_writer(log.clone())
        .finish();
    under(subscriber, || story(&Mortal::new()));
    log
}

#[test]
fn life_of_a_pool_is_in_the_log() {
    let log = logged(|runtime| {
        let pool = Pool::from_fn(|| async {
            tracing::info!("dialling");
            Ok::<_, io::Error>(1)
        })
        .name("orders")
        .max_size(1)
        .leak_threshold(Duration::from_secs(1))
        .runtime(runtime.clone())
        .build()
        .unwrap();
        runtime.block_on(async {
            let caller = tracing::info_span!("request", id = 7);
            let held = tracing::Instrument::instrument(pool.acquire(), caller)
                .await
                .unwrap();
            let late = pool.acquire_timeout(Duration::from_secs(2)).await;
            assert!(matches!(late, Err(AcquireError::TimedOut { .. })));
            drop(held);
            drop(pool.acquire().await.unwrap());
            drop(pool.pause());
            pool.resume();
            pool.reset();
            pool.close().await;
        });
    });
    let text = log.text();
    for (words, times) in [
        (&["configured", "pool=\"orders\"", "max_size=1"][..], 1),
        // What the manager logs is inside the span of the attempt.
        (&["connect{", "pool=\"orders\"", "dialling"], 1),
        // The wait is inside the span of whoever waits.
        (&["request{id=7}:wait{", "close", "ending=served"], 1),
        (&["wait{", "close", "ending=timed out"], 1),
        (&["timed out", "phase=Wait", "waited=2s"], 1),
        (&["WARN", "held for too long", "log.rs"], 1),
        (&["WARN", "came back after all"], 1),
        (&["connection closed", "reason=reset", "connection=0"], 1),
        (&["INFO", "paused"], 1),
        (&["INFO", "resumed"], 1),
        (&["INFO", "closing", "pool=\"orders\""], 1),
    ] {
        assert_eq!(log.lines_with(words), times, "{words:?} in\n{text}");
    }
}

/// The runtime drops the attempt, and the future of the manager's with it.
#[test]
fn what_a_dropped_attempt_logs_is_in_its_span() {
    struct Dialling;
    impl Drop for Dialling {
        fn drop(&mut self) {
            tracing::info!("hanging up");
        }
    }
    let log = logged(|runtime| {
        let pool = Pool::from_fn(|| async {
            let _dialling = Dialling;
            std::future::pending::<Result<u8, io::Error>>().await
        })
        .name("orders")
        .min_idle(1)
        .runtime(runtime.clone())
        .build()
        .unwrap();
        runtime.settle();
        assert_eq!(pool.status().connecting, 1);
        runtime.kill();
    });
    let text = log.text();
    let words = ["connect{", "pool=\"orders\"", "hanging up"];
    assert_eq!(log.lines_with(&words), 1, "{text}");
    assert_eq!(log.lines_with(&["connect{", "close"]), 1, "{text}");
}

/// An error may hold a password.
#[test]
fn log_tells_nothing_that_the_manager_holds() {
    let log = logged(|runtime| {
        let pool = Pool::from_fn(|| async { Err::<u32, _>(io::Error::other("hunter2")) })
            .runtime(runtime.clone())
            .build()
            .unwrap();
        runtime.block_on(async {
            assert!(pool.acquire_timeout(Duration::from_secs(1)).await.is_err());
            pool.close().await;
        });
    });
    assert!(log.lines_with(&["WARN", "connect failed", "kind=\"failed\""]) > 0);
    assert!(!log.text().contains("hunter2"));
}

/// Panics at whatever it hears, as long as it is told to.
struct Panicking(Arc<AtomicBool>);

impl Panicking {
    fn panic(&self) {
        if self.0.load(Ordering::SeqCst) {
            std::panic::resume_unwind(Box::new("the subscriber panics"));
        }
    }
}

impl Subscriber for Panicking {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        self.panic();
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {
        self.panic();
    }

    fn event(&self, _: &Event<'_>) {
        self.panic();
    }

    fn enter(&self, _: &Id) {
        self.panic();
    }

    fn exit(&self, _: &Id) {
        self.panic();
    }

    fn try_close(&self, _: Id) -> bool {
        self.panic();
        true
    }
}

/// Guarantee 7, also where the runtime drops the attempts and the callers run them.
#[test]
fn subscriber_that_panics_changes_nothing() {
    for loses_tasks in [false, true] {
        let panics = Arc::new(AtomicBool::new(true));
        let subscriber = Panicking(Arc::clone(&panics));
        under(subscriber, || {
            let runtime = Mortal::new();
            let pool = Pool::from_fn(|| async { Ok::<_, io::Error>(1) })
                .max_size(1)
                .runtime(runtime.clone())
                .build()
                .unwrap();
            runtime.drop_spawned(loses_tasks);
            runtime.block_on(async {
                drop(pool.acquire().await.unwrap());
                let held = pool.acquire().await.unwrap();
                assert!(pool.acquire_timeout(Duration::from_secs(1)).await.is_err());
                PooledConnection::discard(held);
                drop(pool.acquire().await.unwrap());
                assert_eq!((pool.status().size, pool.status().idle), (1, 1));
                runtime.drop_spawned(false);
                pool.close().await;
                assert_eq!(pool.status().size, 0);
            });
        });
        // The thread's own subscriber goes without a panic.
        panics.store(false, Ordering::SeqCst);
    }
}
