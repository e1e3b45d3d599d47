//! hyper's client connections in the pool: HTTP/1 with keep-alive, a thousand requests over at most
//! eight connections. One whose answer was not read to the end is closed, not lent.
//!
//! ```sh
//! cargo run --features http --bin hyper_client -- http://localhost:8080/
//! ```

use std::io;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use watertight::{CheckPolicy, Condition, Manager, Metrics, Pool};
use watertight_services::net::{Net, Task};
use watertight_services::{Outcome, url};

/// Makes connections to one server.
struct Http {
    host: String,
    port: u16,
}

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// An answer was not read to its end.
    unsettled: bool,
    _task: Task,
}

impl Manager for Http {
    type Connection = Connection;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let task = Net::Tokio.spawn(async {
            // What it dies of, the sender is told as well.
            let _ = connection.await;
        });
        Ok(Connection {
            sender,
            unsettled: false,
            _task: task,
        })
    }

    async fn check(&self, connection: &mut Connection, _: &Metrics) -> io::Result<()> {
        connection.sender.ready().await.map_err(io::Error::other)
    }

    fn inspect(&self, connection: &mut Connection) -> Condition {
        match connection.unsettled || connection.sender.is_closed() {
            true => Condition::Broken,
            false => Condition::Clean,
        }
    }
}

impl Connection {
    async fn get(&mut self, uri: &Uri) -> Outcome<Bytes> {
        self.unsettled = true;
        let host = uri.authority().ok_or("the URL has no host")?.as_str();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(header::HOST, host)
            .body(Empty::new())?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.unsettled = false;
        match status.is_success() {
            true => Ok(body),
            false => Err(status.to_string().into()),
        }
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let uri: Uri = url("http://localhost:8080/").parse()?;
    let host = uri.host().ok_or("the URL has no host")?.to_owned();
    let port = uri.port_u16().unwrap_or(80);
    let pool = Pool::builder(Http { host, port })
        .max_size(8)
        .acquire_timeout(Duration::from_secs(10))
        .check_policy(CheckPolicy::Always) // costs no round trip here, and sees who has hung up
        .build()?;
    let begin = Instant::now();
    let tasks: Vec<tokio::task::JoinHandle<Outcome<usize>>> = (0..1000)
        .map(|_| {
            let (pool, uri) = (pool.clone(), uri.clone());
            tokio::spawn(async move { Ok(pool.acquire().await?.get(&uri).await?.len()) })
        })
        .collect();
    let mut bytes = 0;
    for task in tasks {
        bytes += task.await??;
    }
    let (took, made) = (begin.elapsed(), pool.statistics().connects);
    println!("1000 answers, {bytes} bytes, over {made} connections in {took:.1?}");

    let mut connection = pool.acquire().await?;
    let _ = tokio::time::timeout(Duration::from_micros(50), connection.get(&uri)).await;
    drop(connection);
    pool.close().await;
    println!("given up half-way: {}", pool.statistics().closes.broken);
    Ok(())
}
