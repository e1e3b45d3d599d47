//! Ctrl-C and SIGTERM: the first asks for a graceful end, the second for a prompt one.

use std::io;
use std::time::Duration;

use tokio::signal;
use tokio::sync::watch;
use tokio::time::timeout;

/// How often the user has asked for the end.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    requests: watch::Receiver<u32>,
}

/// Listens from now on.
pub(crate) fn signals() -> io::Result<Shutdown> {
    let (count, requests) = watch::channel(0);
    let mut terminate = terminations()?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = signal::ctrl_c() => {}
                () = terminate.next() => {}
            }
            count.send_modify(|requests| *requests += 1);
        }
    });
    Ok(Shutdown { requests })
}

impl Shutdown {
    /// Resolves at the first signal.
    pub(crate) async fn requested(&self) {
        self.reached(1).await;
    }

    /// Resolves at the second signal, or `limit` after the first.
    pub(crate) async fn patience_ends(&self, limit: Duration) {
        self.reached(1).await;
        eprintln!("ending; once more to hurry");
        let _ = timeout(limit, self.reached(2)).await;
    }

    async fn reached(&self, number: u32) {
        // An error means that nobody listens any more: the runtime is going down.
        let _ = self
            .requests
            .clone()
            .wait_for(|&requests| requests >= number)
            .await;
    }
}

#[cfg(unix)]
struct Terminations(signal::unix::Signal);

#[cfg(unix)]
fn terminations() -> io::Result<Terminations> {
    signal::unix::signal(signal::unix::SignalKind::terminate()).map(Terminations)
}

#[cfg(unix)]
impl Terminations {
    async fn next(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(not(unix))]
struct Terminations;

#[cfg(not(unix))]
fn terminations() -> io::Result<Terminations> {
    Ok(Terminations)
}

#[cfg(not(unix))]
impl Terminations {
    async fn next(&mut self) {
        std::future::pending().await
    }
}
