//! What differs between the runtimes: how to reach a server, and how to run what goes on beside.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_util::compat::FuturesAsyncReadCompatExt;

/// Whose sockets and tasks to use: those of the pool's runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// tokio's.
    Tokio,
    /// smol's.
    Smol,
}

/// A connected stream of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Net {
    /// Connects to a server.
    pub async fn dial(self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Net::Tokio => {
                let stream = tokio::net::TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Net::Smol => {
                let stream = smol::net::TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream.compat())
            }
        })
    }

    /// Waits for `work`, but no longer than this.
    pub async fn within<T>(self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        match self {
            Net::Tokio => tokio::time::timeout(limit, work).await.ok(),
            Net::Smol => {
                let late = async {
                    smol::Timer::after(limit).await;
                    None
                };
                smol::future::or(async { Some(work.await) }, late).await
            }
        }
    }

    /// Runs `task` beside.
    pub fn spawn(self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(Some(match self {
            Net::Tokio => Kind::Tokio(tokio::spawn(task)),
            Net::Smol => Kind::Smol(smol::spawn(task)),
        }))
    }
}

/// What runs beside. Dropping it ends it, on either runtime.
#[derive(Debug)]
pub struct Task(Option<Kind>);

#[derive(Debug)]
enum Kind {
    Tokio(JoinHandle<()>),
    Smol(smol::Task<()>),
}

impl Task {
    /// Resolves when it has come to its end. Can be dropped and called again.
    pub async fn finished(&mut self) {
        match &mut self.0 {
            Some(Kind::Tokio(task)) => drop(task.await),
            Some(Kind::Smol(task)) => task.await,
            None => {}
        }
        self.0 = None;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // smol's ends by being dropped.
        if let Some(Kind::Tokio(task)) = &self.0 {
            task.abort();
        }
    }
}
