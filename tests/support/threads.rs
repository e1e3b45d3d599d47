/// A runtime of plain threads, written by somebody who knows only the public traits.
pub(crate) struct Threads;

impl watertight::Spawner for Threads {
    fn spawn(&self, task: watertight::BoxFuture<()>) {
        std::thread::spawn(move || futures_lite::future::block_on(task));
    }
}

impl watertight::Timer for Threads {
    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn sleep_until(&self, at: std::time::Instant) -> watertight::BoxFuture<()> {
        let (done, waiting) = async_channel::bounded::<()>(1);
        let (alive, dropped) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            // Most are dropped long before their time.
            let left = at.saturating_duration_since(std::time::Instant::now());
            let _ = dropped.recv_timeout(left);
            drop(done);
        });
        Box::pin(async move {
            let _alive = alive;
            let _ = waiting.recv().await;
        })
    }
}
