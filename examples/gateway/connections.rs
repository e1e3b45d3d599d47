//! The connections of clients: how many there may be, and how long one may be without a request.

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

/// What clients may use up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most connections at a time. Who comes when there are so many waits until one is closed.
    pub(crate) connections: usize,
    /// How long a client may take to send the header of a request, the first as well as one that
    /// follows an answer; and how long to take any of that.
    pub(crate) patience: Duration,
}

/// How long to wait for a file descriptor, if there is none to accept a connection with.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves, and then the requests that are in progress.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let places = Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS));
    let places = Arc::new(places);
    let open = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.patience);
    let accepting = async {
        // An error would mean that there are no places any more, which nobody takes away.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let stream = accept(&listener).await;
            limit_sending(&stream, limits.patience);
            let stream = TokioIo::new(stream);
            let service = TowerToHyperService::new(router.clone());
            let connection = open.watch(http.serve_connection(stream, service));
            tokio::spawn(async move {
                // A client that left early, or took too long, which is its own affair.
                if let Err(error) = connection.await {
                    debug!(%error, "a connection failed");
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop(listener);
    open.shutdown().await;
}

/// hyper waits for as long as nobody takes what it sends; the system can be told not to.
#[cfg(target_os = "linux")]
fn limit_sending(stream: &TcpStream, patience: Duration) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(patience)) {
        debug!(%error, "an answer may be waited for without end");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_sending(_: &TcpStream, _: Duration) {}

async fn accept(listener: &TcpListener) -> TcpStream {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // It has left already.
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionRefused | ConnectionReset
                ) => {}
            // Most likely out of file descriptors: some will be free soon.
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
