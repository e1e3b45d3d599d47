//! The modes: every way to run a pool.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use watertight::{BoxFuture, Runtime, Spawner};

use super::Virtual;
use super::world::World;

/// A test on a real clock that takes this long will never end.
const FOR_EVER: Duration = Duration::from_secs(120);

/// A way to run the body of a law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    VirtualClock,
    #[cfg(feature = "tokio")]
    TokioMultiThread,
    #[cfg(feature = "tokio")]
    TokioCurrentThread,
    #[cfg(feature = "smol")]
    Smol,
    /// Every acquire is made by a plain thread.
    SyncFacade,
}

impl Mode {
    /// Tries one law, and checks the ledger afterwards.
    pub(crate) fn run<F: Future<Output = ()>>(self, law: fn(World) -> F) {
        match self {
            Mode::VirtualClock => {
                let runtime = Virtual::new();
                let world = World::new(Scene::Virtual(runtime.clone()));
                runtime.block_on(try_law(law, world));
            }
            #[cfg(feature = "tokio")]
            Mode::TokioMultiThread => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                on_tokio(builder.worker_threads(2), law);
            }
            #[cfg(feature = "tokio")]
            Mode::TokioCurrentThread => {
                on_tokio(&mut tokio::runtime::Builder::new_current_thread(), law);
            }
            #[cfg(feature = "smol")]
            Mode::Smol => {
                let runtime = Arc::new(watertight::SmolRuntime::new());
                smol::block_on(in_time(law, Scene::Tasks(runtime)));
            }
            Mode::SyncFacade => {
                let scene = Scene::Threads(background());
                futures_lite::future::block_on(in_time(law, scene));
            }
        }
    }
}

#[cfg(feature = "tokio")]
fn on_tokio<F: Future<Output = ()>>(builder: &mut tokio::runtime::Builder, law: fn(World) -> F) {
    let runtime = builder.enable_all().build().expect("tokio starts");
    runtime.block_on(async {
        let scene = Scene::Tasks(Arc::new(watertight::TokioRuntime::current()));
        in_time(law, scene).await;
    });
}

async fn try_law<F: Future<Output = ()>>(law: fn(World) -> F, world: World) {
    law(world.clone()).await;
    world.finish().await;
}

/// A law that hangs is broken.
async fn in_time<F: Future<Output = ()>>(law: fn(World) -> F, scene: Scene) {
    let runtime = scene.runtime();
    let too_late = async {
        runtime.sleep_until(runtime.now() + FOR_EVER).await;
        panic!("the law hangs");
    };
    futures_lite::future::or(try_law(law, World::new(scene)), too_late).await;
}

/// What runs the pools that plain threads use.
#[cfg(feature = "tokio")]
fn background() -> Arc<dyn Runtime> {
    Arc::new(watertight::TokioRuntime::background())
}

#[cfg(all(feature = "smol", not(feature = "tokio")))]
fn background() -> Arc<dyn Runtime> {
    Arc::new(watertight::SmolRuntime::new())
}

#[cfg(not(any(feature = "smol", feature = "tokio")))]
fn background() -> Arc<dyn Runtime> {
    Arc::new(Custom)
}

/// A runtime that the crate does not know.
#[cfg(not(any(feature = "smol", feature = "tokio")))]
pub(crate) struct Custom;

#[cfg(not(any(feature = "smol", feature = "tokio")))]
impl Spawner for Custom {
    fn spawn(&self, task: BoxFuture<()>) {
        smol::spawn(task).detach();
    }
}

#[cfg(not(any(feature = "smol", feature = "tokio")))]
impl watertight::Timer for Custom {
    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn sleep_until(&self, at: std::time::Instant) -> BoxFuture<()> {
        Box::pin(async move {
            smol::Timer::at(at).await;
        })
    }
}

/// Where a world is set.
#[derive(Clone)]
pub(super) enum Scene {
    Virtual(Virtual),
    /// Tasks on the runtime that surrounds the test, which pools are to find by themselves.
    Tasks(Arc<dyn Runtime>),
    /// Plain threads, beside a runtime that only the pool uses.
    Threads(Arc<dyn Runtime>),
}

impl Scene {
    pub(super) fn blocks(&self) -> bool {
        matches!(self, Scene::Threads(_))
    }

    /// The runtime to give to a pool, unless it is to find it by itself.
    pub(super) fn explicit_runtime(&self) -> Option<Arc<dyn Runtime>> {
        match self {
            Scene::Tasks(_) => None,
            Scene::Virtual(_) | Scene::Threads(_) => Some(self.runtime()),
        }
    }

    pub(super) fn runtime(&self) -> Arc<dyn Runtime> {
        match self {
            Scene::Virtual(runtime) => Arc::new(runtime.clone()),
            Scene::Tasks(runtime) | Scene::Threads(runtime) => Arc::clone(runtime),
        }
    }

    /// True if the runtime has dropped tasks of the pool's.
    pub(super) fn loses_tasks(&self) -> bool {
        matches!(self, Scene::Virtual(runtime) if runtime.lost_tasks())
    }

    pub(super) fn spawn(&self, task: BoxFuture<()>) {
        match self {
            Scene::Virtual(runtime) => runtime.spawn(task),
            Scene::Tasks(runtime) => runtime.spawn(task),
            Scene::Threads(_) => {
                std::thread::spawn(|| futures_lite::future::block_on(task));
            }
        }
    }
}
