//! What the operating system refuses tokio.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Wake, Waker};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use watertight::{Blocking, BlockingManager, ConnectPolicy};

use super::*;

struct Quick;

impl BlockingManager for Quick {
    type Connection = u8;
    type Error = io::Error;

    fn connect(&self) -> io::Result<u8> {
        Ok(7)
    }
}

/// tokio panics, and keeps what it was to run.
#[test]
fn blocking_call_that_tokio_gets_no_thread_for_is_made_all_the_same() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        // More than can be addressed.
        .thread_stack_size(usize::MAX / 4)
        .build()
        .unwrap();
    runtime.block_on(async {
        let pool = Pool::builder(Blocking::new(Quick))
            .connect_policy(ConnectPolicy::FailFast)
            .build()
            .unwrap();
        assert_eq!(**pool.acquire().await.unwrap(), 7);
        pool.close().await;
    });
}

/// Panics on whatever thread it is woken.
struct Explosive;

impl Wake for Explosive {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("as planned"));
    }
}

/// In a process of its own, where somebody has ended the thread that times those who wait elsewhere.
#[test]
fn deadlines_hold_without_a_timer_thread() {
    if !is_alone(
        "on_tokio::refused::deadlines_hold_without_a_timer_thread",
        &[],
    ) {
        return;
    }
    let explosive = Waker::from(Arc::new(Explosive));
    let is_timed = || {
        let mut delay = futures_timer::Delay::new(Duration::from_millis(1));
        let poll = || Pin::new(&mut delay).poll(&mut Context::from_waker(&explosive));
        let polled = catch_unwind(AssertUnwindSafe(poll));
        thread::sleep(Duration::from_millis(5));
        polled.is_ok()
    };
    while is_timed() {}
    let pool = trivial().max_size(1).runtime(TokioRuntime::background());
    let pool = pool.build().unwrap();
    let _held = block_on(pool.acquire()).unwrap();
    let patience = Duration::from_millis(20);
    let late = pool.sync().acquire_timeout(patience);
    assert!(late.unwrap_err().is_timed_out());
    let late = block_on(pool.acquire_timeout(patience));
    assert!(late.unwrap_err().is_timed_out());
    assert_eq!(block_on(pool.close_within(patience)), 1);
}

/// In a process of its own, which may open no more files for a while.
#[test]
fn background_thread_that_could_not_be_started_is_started_later() {
    if !is_alone(
        "on_tokio::refused::background_thread_that_could_not_be_started_is_started_later",
        &[],
    ) {
        return;
    }
    let usual = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..usual
    };
    setrlimit(Resource::Nofile, none).unwrap();
    assert!(catch_unwind(TokioRuntime::background).is_err());
    setrlimit(Resource::Nofile, usual).unwrap();
    let pool = trivial().runtime(TokioRuntime::background()).build();
    drop(pool.unwrap().sync().acquire().unwrap());
}
