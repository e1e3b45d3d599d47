//! The pool on a runtime of one's own, which needs nothing but the two public traits: here
//! `async-executor` on two threads, and a timer thread.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use async_executor::Executor;
use futures_lite::future::{block_on, pending};
use watertight::{BoxFuture, Pool, Spawner, Timer};

static EXECUTOR: Executor<'static> = Executor::new();

/// Who wants to be woken, and when: by the closing of the channel.
type Alarm = (Instant, async_channel::Sender<()>);

/// A runtime: somewhere to run tasks, and a clock.
struct Custom {
    alarms: mpsc::Sender<Alarm>,
}

impl Custom {
    fn start() -> Self {
        for _ in 0..2 {
            thread::spawn(|| block_on(EXECUTOR.run(pending::<()>())));
        }
        let (alarms, orders) = mpsc::channel();
        thread::spawn(move || keep_time(&orders));
        Custom { alarms }
    }
}

impl Spawner for Custom {
    fn spawn(&self, task: BoxFuture<()>) {
        EXECUTOR.spawn(task).detach();
    }
}

impl Timer for Custom {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<()> {
        let (ring, rung) = async_channel::bounded(1);
        // Without its thread there is no timer; the alarm, dropped, then rings at once.
        let _ = self.alarms.send((at, ring));
        Box::pin(async move {
            let _ = rung.recv().await;
        })
    }
}

/// Drops each alarm when its time has come. Ends with the runtime.
fn keep_time(orders: &mpsc::Receiver<Alarm>) {
    let mut pending: BTreeMap<Instant, Vec<async_channel::Sender<()>>> = BTreeMap::new();
    loop {
        let now = Instant::now();
        pending = pending.split_off(&now);
        let order = match pending.keys().next() {
            Some(&next) => orders.recv_timeout(next - now),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match order {
            Ok((at, alarm)) => pending.entry(at).or_default().push(alarm),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::from_fn(|| async { Ok::<_, std::io::Error>(thread::current().id()) })
        .max_size(2)
        .runtime(Custom::start())
        .build()?;

    block_on(async {
        let first = pool.acquire().await?;
        let second = pool.acquire().await?;
        println!("connections made on {:?} and {:?}", *first, *second);

        // Nobody gives one back, so the custom timer decides.
        if let Err(error) = pool.acquire_timeout(Duration::from_millis(50)).await {
            println!("a third: {error}");
        }

        drop((first, second));
        println!("{}", pool.status());
        pool.close().await;
        Ok(())
    })
}
