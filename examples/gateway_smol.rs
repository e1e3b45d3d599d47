//! The gateway on smol: the same pool of stdio servers as in the example `gateway`, behind hyper.
//! It serves `POST /mcp`, `GET /test`, `GET /status` and the operator, and takes the same options.
//!
//! ```text
//! cargo run --release --example gateway_smol --features smol
//! curl http://localhost:8080/test
//! ```

#[path = "gateway/stdio/mod.rs"]
mod stdio;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use async_channel::{Receiver, Sender};
use async_signal::{Signal, Signals};
use clap::Parser;
use futures_lite::future::or;
use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use futures_lite::stream::StreamExt;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use smol::net::{TcpListener, TcpStream};
use smol::process::{Child, ChildStdin, ChildStdout};
use smol_hyper::rt::{FuturesIo, SmolTimer};

use stdio::process::{Input, Output, Process, kill_group};
use stdio::{BODY_LIMIT, Gateway, Options, Reply};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = if options.stdio_server {
        stdio::serve_stdio().map_err(Into::into)
    } else {
        smol::block_on(run(&options))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway_smol: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Outcome {
    let signals = Signals::new([Signal::Int, Signal::Term])?;
    let listener = TcpListener::bind(&options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let admin = match options.admin {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.map_err(|error| format!("cannot listen on {address}: {error}"))?)
        }
        None => None,
    };
    let gateway = Arc::new(Gateway::new(options, options.command_line()?, |pool| pool)?);
    let outcome = serve(listener, admin, &gateway, options, signals).await;
    gateway.close().await;
    outcome
}

/// Serves until the first signal, and lets requests finish until the second or the time-out.
async fn serve(
    listener: TcpListener,
    admin: Option<TcpListener>,
    gateway: &Arc<Gateway<Server>>,
    options: &Options,
    mut signals: Signals,
) -> Outcome {
    // A signal that comes this early finds nothing to drain.
    let warm = async { Some(gateway.warm_up().await) };
    let Some(warm) = or(warm, next(&mut signals)).await else {
        return Ok(());
    };
    warm?;
    if let Some(admin) = &admin {
        println!("administration on http://{}", admin.local_addr()?);
    }
    println!("listening on http://{}", listener.local_addr()?);

    // Nothing is ever sent through these: each tells by its closing. Dropping `stop` ends the
    // connections; `drained` has ended when the last of them has dropped its `busy`.
    let (stop, stopped) = async_channel::bounded(1);
    let (busy, drained) = async_channel::bounded(1);
    let serving = accept(listener, Door::Clients, gateway, stopped.clone(), busy);
    // Nobody waits for an operator who waits himself.
    let (unminded, _) = async_channel::bounded(1);
    let administering = async {
        match admin {
            Some(admin) => accept(admin, Door::Operator, gateway, stopped, unminded).await,
            None => std::future::pending().await,
        }
    };
    or(or(serving, administering), next(&mut signals)).await;
    drop(stop);
    eprintln!("ending; once more to hurry");

    let impatient = or(next(&mut signals), async {
        smol::Timer::after(options.drain_timeout).await;
        None
    });
    let done = async {
        let _ = drained.recv().await;
        Some(())
    };
    if or(done, impatient).await.is_none() {
        eprintln!("requests are still in progress; ending all the same");
    }
    Ok(())
}

/// Resolves, always to nothing, at the next signal.
async fn next<T>(signals: &mut Signals) -> Option<T> {
    signals.next().await;
    None
}

/// Which address somebody came to.
#[derive(Clone, Copy)]
enum Door {
    Clients,
    Operator,
}

async fn accept(
    listener: TcpListener,
    door: Door,
    gateway: &Arc<Gateway<Server>>,
    stopped: Receiver<()>,
    busy: Sender<()>,
) -> Option<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (gateway, stopped, busy) = (gateway.clone(), stopped.clone(), busy.clone());
                smol::spawn(async move {
                    converse(stream, door, &gateway, &stopped).await;
                    drop(busy);
                })
                .detach();
            }
            // Most likely out of file descriptors: some will be free soon.
            Err(error) => {
                eprintln!("cannot accept a connection: {error}");
                smol::Timer::after(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one client until it leaves, or until the answer that it waits for when all stops.
async fn converse(
    stream: TcpStream,
    door: Door,
    gateway: &Arc<Gateway<Server>>,
    stopped: &Receiver<()>,
) {
    let service = service_fn(|request| async move {
        let reply = match door {
            Door::Clients => route(request, gateway).await,
            Door::Operator => operate(&request, gateway).await,
        };
        Ok::<_, Infallible>(to_response(reply))
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(SmolTimer::new())
            .serve_connection(FuturesIo::new(stream), service)
    );
    let stop = async {
        let _ = stopped.recv().await;
        None
    };
    let ended = or(async { Some(connection.as_mut().await) }, stop).await;
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        // An error is a client that left early, which is its own affair.
        let _ = connection.await;
    }
}

async fn route(request: Request<Incoming>, gateway: &Gateway<Server>) -> Reply {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/mcp") => post(request, gateway).await,
        (&Method::GET, "/test") => gateway.test().await,
        (&Method::GET, "/status") => gateway.status(),
        (_, "/mcp" | "/test" | "/status") => Reply::empty(405),
        _ => Reply::empty(404),
    }
}

async fn operate(request: &Request<Incoming>, gateway: &Gateway<Server>) -> Reply {
    let origin = request.headers().get(header::ORIGIN);
    let origin = origin.map(HeaderValue::as_bytes);
    match request.uri().path().strip_prefix("/admin/") {
        Some(_) if request.method() != Method::POST => Reply::empty(405),
        Some(action) => gateway.operate(origin, action).await,
        None => Reply::empty(404),
    }
}

async fn post(request: Request<Incoming>, gateway: &Gateway<Server>) -> Reply {
    let (head, body) = request.into_parts();
    let origin = head.headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => gateway.post(origin, &body.to_bytes()).await,
        Err(error) if error.is::<LengthLimitError>() => Reply::too_large(),
        Err(_) => Reply::cut_short(),
    }
}

fn to_response(reply: Reply) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(reply.status);
    let mut response = Response::new(Full::from(reply.body));
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Some(seconds) = reply.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A server as a child process of smol's, which does not outlive this.
struct Server {
    child: Child,
    id: u32,
    stdin: Option<Stdin>,
    stdout: Stdout,
}

struct Stdin(ChildStdin);

struct Stdout(BufReader<ChildStdout>);

impl Process for Server {
    type Stdin = Stdin;
    type Stdout = Stdout;

    fn spawn(command: std::process::Command) -> io::Result<Self> {
        use smol::process::{Command, Stdio};

        // smol's command does not see what was set on the one that it is made from.
        let mut child = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the child has no pipes");
        Ok(Server {
            id: child.id(),
            stdin: Some(Stdin(child.stdin.take().ok_or_else(missing)?)),
            stdout: Stdout(BufReader::new(child.stdout.take().ok_or_else(missing)?)),
            child,
        })
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_status(), Ok(None))
    }

    fn pipes(&mut self) -> (Option<&mut Stdin>, &mut Stdout) {
        (self.stdin.as_mut(), &mut self.stdout)
    }

    fn hang_up(&mut self) {
        self.stdin = None;
    }

    async fn ended(&mut self) {
        // An error would mean that there is no such child, so that it has ended.
        let _ = self.child.status().await;
    }

    fn kill(&mut self) {
        // Once it has been reaped, the id may be somebody else's.
        if !self.has_exited() {
            kill_group(self.id);
            let _ = self.child.kill();
        }
    }
}

impl Drop for Server {
    /// For the rest of the group; smol sees to it that the child itself is reaped.
    fn drop(&mut self) {
        self.kill();
    }
}

impl Input for Stdin {
    async fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line).await?;
        self.0.flush().await
    }
}

impl Output for Stdout {
    async fn read_line(&mut self, line: &mut Vec<u8>, limit: u64) -> io::Result<()> {
        (&mut self.0).take(limit).read_until(b'\n', line).await?;
        Ok(())
    }
}
