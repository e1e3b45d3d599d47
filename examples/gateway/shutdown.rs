//! Ctrl-C, SIGTERM and SIGHUP: the first asks for a graceful end, the second for a prompt one, unless
//! it is SIGHUP. That comes twice when a terminal is closed, from the shell and from the system, and
//! nobody means anything by the second.

use std::io;

use tokio::signal;
use tokio::sync::watch;

/// How often the user has asked for the end.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    requests: watch::Receiver<u32>,
}

#[derive(PartialEq)]
enum Kind {
    /// Somebody wants the end.
    Request,
    /// The terminal is gone.
    #[cfg(unix)]
    Hangup,
}

/// Listens from now on.
pub(crate) fn signals() -> io::Result<Shutdown> {
    let (count, requests) = watch::channel(0);
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        loop {
            let counts = signals.next().await == Kind::Request;
            count.send_modify(|requests| {
                if counts || *requests == 0 {
                    *requests += 1;
                }
            });
        }
    });
    Ok(Shutdown { requests })
}

impl Shutdown {
    /// Resolves at the first signal.
    pub(crate) async fn requested(&self) {
        self.reached(1).await;
    }

    /// Resolves at the second signal that counts.
    pub(crate) async fn hurried(&self) {
        self.reached(2).await;
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
struct Signals {
    interrupt: signal::unix::Signal,
    terminate: signal::unix::Signal,
    hangup: Option<signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use signal::unix::{SignalKind, signal};

        let hangup = match crate::stdio::process::outlives_its_terminal() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    async fn next(&mut self) -> Kind {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        // In this order: a service manager may send SIGTERM and SIGHUP at once, which is no hurry.
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Kind::Request,
            _ = self.terminate.recv() => Kind::Request,
            _ = hangup => Kind::Hangup,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) -> Kind {
        // An error would mean that Ctrl-C cannot be listened for.
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Kind::Request
    }
}
