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
        // Not joined: an example is over before its longest time-out.
        std::thread::spawn(move || {
            std::thread::sleep(at.saturating_duration_since(std::time::Instant::now()));
            drop(done);
        });
        Box::pin(async move {
            let _ = waiting.recv().await;
        })
    }
}
