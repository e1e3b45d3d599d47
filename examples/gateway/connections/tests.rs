//! Connections of clients that do nothing, or are many.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Instant;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

const SOON: Duration = Duration::from_secs(5);

/// A server that takes half a second for `/late` and a lot of words for `/large`, and what stops it.
async fn server(limits: Limits) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let late = get(async || {
        sleep(Duration::from_millis(500)).await;
        "late"
    });
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/large", get(async || "x".repeat(1 << 20)))
        .route("/late", late);
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(serve(listener, router, limits, async {
        let _ = stopped.await;
    }));
    (address, stop, serving)
}

fn limits(connections: usize, patience: u64) -> Limits {
    Limits {
        connections,
        patience: Duration::from_millis(patience),
    }
}

/// Whatever comes until the server closes the connection; `None` if it does not soon.
async fn rest(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let read = timeout(SOON, stream.read_to_string(&mut text)).await;
    read.ok().map(|_| text)
}

/// Sends a request and reads an answer, after which the connection is still open.
async fn ask(stream: &mut TcpStream) {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        let mut byte = [0];
        let read = timeout(SOON, stream.read_exact(&mut byte)).await;
        read.expect("an answer").unwrap();
        answer.extend(byte);
    }
}

#[tokio::test]
async fn a_client_that_sends_no_request_loses_its_connection() {
    let (address, _stop, _) = server(limits(10, 1000)).await;
    let begun = Instant::now();
    for beginning in [&b""[..], b"GET / HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        assert!(rest(&mut stream).await.is_some(), "{beginning:?}");
    }
    assert!(begun.elapsed() >= Duration::from_secs(2));
    // One that has been answered may send another, but not when it likes.
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream).await;
    sleep(Duration::from_millis(300)).await;
    ask(&mut stream).await;
    assert_eq!(rest(&mut stream).await.as_deref(), Some(""));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_takes_no_answer_loses_its_connection() {
    let (address, _stop, _) = server(limits(1, 1000)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let many = b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    stream.write_all(&many).await.unwrap();
    // There is but one place.
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(REQUEST).await.unwrap();
    let answered = timeout(2 * SOON, other.read_u8()).await;
    assert!(answered.is_ok_and(|read| read.is_ok()));
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_waits_for_one() {
    let (address, _stop, _) = server(limits(2, 60_000)).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    ask(&mut first).await;
    ask(&mut second).await;
    let mut third = TcpStream::connect(address).await.unwrap();
    let early = timeout(Duration::from_millis(300), ask(&mut third)).await;
    assert!(early.is_err(), "served as one too many");
    drop(first);
    let mut fourth = [0; 4];
    let answered = timeout(SOON, third.read_exact(&mut fourth)).await;
    assert!(answered.is_ok_and(|read| read.is_ok()) && &fourth == b"HTTP");
}

#[tokio::test]
async fn a_request_in_progress_is_answered_when_all_stops() {
    let (address, stop, serving) = server(limits(10, 60_000)).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask(&mut idle).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    let request = b"GET /late HTTP/1.1\r\nhost: localhost\r\n\r\n";
    busy.write_all(request).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await.as_deref(), Some(""));
    assert!(rest(&mut busy).await.unwrap().ends_with("late"));
    timeout(SOON, serving).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
