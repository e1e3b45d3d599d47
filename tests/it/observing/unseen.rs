//! Callers who go away without having seen how it ended for them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use watertight::event::{Rejected, TimedOut, WaitEnded, WaitEnding};
use watertight::{
    Builder, ConnectPolicy, FromFn, Observer, Pool, PooledConnection, VirtualRuntime,
};

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Events>>);

#[derive(Default)]
struct Events {
    endings: Vec<WaitEnding>,
    timed_out: u64,
    rejected: u64,
}

impl Observer for Heard {
    fn wait_ended(&self, event: &WaitEnded) {
        self.0.lock().unwrap().endings.push(event.ending());
    }

    fn timed_out(&self, _: &TimedOut) {
        self.0.lock().unwrap().timed_out += 1;
    }

    fn rejected(&self, _: &Rejected) {
        self.0.lock().unwrap().rejected += 1;
    }
}

type Connect = fn() -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
type Manager = FromFn<Connect>;
type Settings = Builder<Manager, Pool<Manager>>;
type Lent = PooledConnection<Manager>;

const PATIENCE: Duration = Duration::from_millis(100);

fn connects() -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
    Box::pin(async { Ok(()) })
}

fn refuses() -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
    Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
}

struct Scene {
    runtime: VirtualRuntime,
    heard: Heard,
    pool: Pool<Manager>,
}

impl Scene {
    fn set(connect: Connect, settings: fn(Settings) -> Settings) -> Self {
        let (runtime, heard) = (VirtualRuntime::new(), Heard::default());
        let builder = Pool::builder(FromFn::new(connect)).max_size(1);
        let pool = settings(builder)
            .observer(heard.clone())
            .runtime(runtime.clone())
            .build()
            .unwrap();
        Scene {
            runtime,
            heard,
            pool,
        }
    }

    fn lent(&self) -> Lent {
        self.runtime.block_on(self.pool.acquire()).unwrap()
    }

    /// A caller is polled once, this happens, and he goes away. What was counted by then is heard of, and
    /// that is how it ended.
    fn ends(self, ending: WaitEnding, happens: impl FnOnce(&Self)) {
        let mut caller = Box::pin(self.pool.acquire_timeout(PATIENCE));
        assert!(block_on(poll_once(caller.as_mut())).is_none());
        happens(&self);
        drop(caller);
        let counted = self.pool.statistics();
        {
            let heard = self.heard.0.lock().unwrap();
            assert_eq!(heard.endings.last(), Some(&ending));
            assert_eq!(heard.timed_out, counted.timeouts.total());
            assert_eq!(heard.rejected, counted.rejections.total());
            let cancelled = heard.endings.iter();
            let cancelled = cancelled.filter(|one| **one == WaitEnding::Cancelled);
            assert_eq!(cancelled.count() as u64, counted.cancellations);
        }
        self.runtime.block_on(self.pool.close());
        self.runtime.kill();
    }
}

/// Laws 183 and 188.
#[test]
fn caller_who_goes_away_served_is_heard_of_as_cancelled() {
    let scene = Scene::set(connects, |b| b);
    let held = scene.lent();
    scene.ends(WaitEnding::Cancelled, |_| drop(held));
}

/// Laws 184 and 188.
#[test]
fn caller_who_goes_away_late_is_heard_of_as_timed_out() {
    let scene = Scene::set(connects, |b| b);
    let held = scene.lent();
    scene.ends(WaitEnding::TimedOut, |scene| {
        scene.runtime.advance(2 * PATIENCE);
        drop(held);
        assert_eq!(scene.pool.statistics().timeouts.wait, 1);
    });
}

/// Laws 157 and 188.
#[test]
fn caller_who_goes_away_shed_is_heard_of_as_that() {
    let ms = Duration::from_millis;
    let scene = Scene::set(connects, |b| {
        b.controlled_delay(Duration::from_millis(1), Duration::from_millis(10))
    });
    let held = scene.lent();
    scene.ends(WaitEnding::Shed, |scene| {
        scene.runtime.advance(ms(50));
        assert_eq!(scene.pool.statistics().rejections.shed, 1);
        drop(held);
    });
}

/// Law 188.
#[test]
fn caller_who_goes_away_with_an_error_is_heard_of_as_that() {
    let scene = Scene::set(refuses, |b| b.connect_policy(ConnectPolicy::FailFast));
    scene.ends(WaitEnding::ConnectFailed, |scene| scene.runtime.settle());
}

/// Law 188.
#[test]
fn caller_who_goes_away_from_a_closed_pool_is_heard_of_as_closed() {
    let scene = Scene::set(connects, |b| b);
    let held = scene.lent();
    scene.ends(WaitEnding::Closed, |scene| {
        let closing = scene.pool.close();
        assert!(block_on(poll_once(Box::pin(closing))).is_none());
        drop(held);
    });
}
