//! How the pool is used: from tasks on tokio or smol, or from plain threads.

use std::future::Future;
use std::thread;
use std::time::Duration;

use smol::future::{block_on, or};
use watertight::{AcquireError, Builder, Manager, Pool, PooledConnection, SmolRuntime, SyncPool};
use watertight_services::net::Net;

/// The settings that the tests change.
#[derive(Clone)]
pub struct Settings {
    pub size: usize,
    pub min_idle: usize,
    pub acquire_timeout: Duration,
    pub every_timeout: Duration,
    pub keepalive: Option<Duration>,
    pub check: watertight::CheckPolicy,
    pub reset_on_failed_check: bool,
}

impl Settings {
    fn apply<M: Manager, P>(&self, builder: Builder<M, P>) -> Builder<M, P> {
        let backoff = watertight::Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        builder
            .max_size(self.size)
            .min_idle(self.min_idle)
            .acquire_timeout(self.acquire_timeout)
            .connect_timeout(self.every_timeout)
            .check_timeout(self.every_timeout)
            .recycle_timeout(self.every_timeout)
            .close_timeout(self.every_timeout)
            .keepalive(self.keepalive)
            .check_policy(self.check)
            .reset_on_failed_check(self.reset_on_failed_check)
            .connect_policy(watertight::ConnectPolicy::Retry(backoff))
    }
}

type Acquired<M> = Result<PooledConnection<M>, AcquireError<<M as Manager>::Error>>;

pub trait Mode: Send + Sync + 'static {
    /// Runs a test.
    fn run(body: impl Future<Output = ()>);
    /// Runs a caller beside, and resolves when he is through.
    fn spawn<T: Send + 'static>(
        caller: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send;
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send;
    /// Drops `work` half-way if it takes longer; on a thread, which cannot do that, waits for it.
    fn within<T: Send>(
        limit: Duration,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send;
    fn build<M: Manager>(manager: M, settings: &Settings) -> Pool<M>;
    fn acquire<M: Manager>(pool: &Pool<M>) -> impl Future<Output = Acquired<M>> + Send;
}

/// A mode whose callers can be dropped half-way.
pub trait Tasks: Mode {
    const NET: Net;
}

pub struct Tokio;
pub struct Smol;
pub struct Threads;

impl Tasks for Tokio {
    const NET: Net = Net::Tokio;
}

impl Tasks for Smol {
    const NET: Net = Net::Smol;
}

impl Mode for Tokio {
    fn run(body: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("there is room for a runtime").block_on(body);
    }

    fn spawn<T: Send + 'static>(
        caller: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        let task = tokio::spawn(caller);
        async { task.await.expect("it does not panic") }
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn within<T: Send>(limit: Duration, work: impl Future<Output = T> + Send) -> Option<T> {
        tokio::time::timeout(limit, work).await.ok()
    }

    fn build<M: Manager>(manager: M, settings: &Settings) -> Pool<M> {
        let builder = settings.apply(Pool::builder(manager));
        builder.build().expect("the settings make sense")
    }

    async fn acquire<M: Manager>(pool: &Pool<M>) -> Acquired<M> {
        pool.acquire().await
    }
}

impl Mode for Smol {
    fn run(body: impl Future<Output = ()>) {
        smol::block_on(body);
    }

    fn spawn<T: Send + 'static>(
        caller: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        smol::spawn(caller)
    }

    async fn sleep(duration: Duration) {
        smol::Timer::after(duration).await;
    }

    async fn within<T: Send>(limit: Duration, work: impl Future<Output = T> + Send) -> Option<T> {
        or(async { Some(work.await) }, async {
            smol::Timer::after(limit).await;
            None
        })
        .await
    }

    fn build<M: Manager>(manager: M, settings: &Settings) -> Pool<M> {
        let builder = settings.apply(Pool::builder(manager));
        let builder = builder.runtime(SmolRuntime::new());
        builder.build().expect("the settings make sense")
    }

    async fn acquire<M: Manager>(pool: &Pool<M>) -> Acquired<M> {
        pool.acquire().await
    }
}

impl Mode for Threads {
    fn run(body: impl Future<Output = ()>) {
        block_on(body);
    }

    fn spawn<T: Send + 'static>(
        caller: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        let thread = thread::spawn(|| block_on(caller));
        async { thread.join().expect("it does not panic") }
    }

    async fn sleep(duration: Duration) {
        thread::sleep(duration);
    }

    async fn within<T: Send>(_: Duration, work: impl Future<Output = T> + Send) -> Option<T> {
        Some(work.await)
    }

    fn build<M: Manager>(manager: M, settings: &Settings) -> Pool<M> {
        let builder = settings.apply(SyncPool::builder(manager));
        let pool = builder.build().expect("the settings make sense");
        pool.as_async().clone()
    }

    async fn acquire<M: Manager>(pool: &Pool<M>) -> Acquired<M> {
        pool.sync().acquire()
    }
}
