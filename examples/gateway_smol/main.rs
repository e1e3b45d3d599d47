//! The gateway on smol: the same pools of stdio servers as in the example `gateway`, behind hyper.
//! It serves `/mcp`, `/test`, `/status`, `/healthz` and the operator, and takes the same options
//! except those about logs.
//!
//! ```text
//! cargo run --release --example gateway_smol --features smol
//! curl http://localhost:8080/test
//! ```

mod child;
#[path = "../gateway/stdio/mod.rs"]
mod stdio;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_signal::{Signal, Signals};
use clap::Parser;
use futures_lite::future::or;
use futures_lite::stream::StreamExt;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use smol::lock::Semaphore;
use smol::net::{TcpListener, TcpStream};
use smol_hyper::rt::{FuturesIo, SmolTimer};

use watertight::Observer;

use child::Server;
#[cfg(unix)]
use stdio::process::outlives_its_terminal;
use stdio::{BODY_LIMIT, Fleet, Head, Options, Reply, Visitors, complain, say};

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
            complain(format_args!("gateway_smol: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Outcome {
    let plan = options.plan()?;
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
    // Up to here, nothing is lost if a signal ends it all.
    let stop = signals()?;
    let local = listener.local_addr()?.ip().is_loopback();
    let visitors = Visitors::new(&options.allow_host, local);
    let fleet = Arc::new(Fleet::new(plan, visitors, |_| Nobody)?);
    let graceful = async {
        let served = serve(listener, admin, &fleet, options, &stop.once).await;
        fleet.close(false).await;
        Some(served)
    };
    let hurried = async {
        closing(&stop.twice).await;
        None
    };
    match or(graceful, hurried).await {
        Some(served) => served,
        None => {
            fleet.close(true).await;
            Err("ended at once, as asked; requests may have been lost".into())
        }
    }
}

/// How often the user has asked for the end. Nothing is ever sent through these: each tells by its
/// closing.
struct Stop {
    once: Receiver<()>,
    twice: Receiver<()>,
}

/// Listens from now on.
fn signals() -> io::Result<Stop> {
    let mut ends = vec![Signal::Int, Signal::Term];
    #[cfg(unix)]
    if !outlives_its_terminal() {
        ends.push(Signal::Hup);
    }
    let mut signals = Signals::new(ends)?;
    let (first, once) = async_channel::bounded(1);
    let (second, twice) = async_channel::bounded(1);
    smol::spawn(async move {
        signals.next().await;
        drop(first);
        // It comes twice when a terminal is closed, from the shell and from the system, and nobody
        // means anything by the second.
        while matches!(signals.next().await, Some(Ok(Signal::Hup))) {}
        drop(second);
    })
    .detach();
    Ok(Stop { once, twice })
}

/// Resolves when this is closed.
async fn closing(told: &Receiver<()>) {
    // Nothing else ever happens to it.
    let _ = told.recv().await;
}

/// Watches the pools, in vain.
struct Nobody;

impl Observer for Nobody {}

/// Serves until the user asks for the end, and lets requests finish until the time-out.
async fn serve(
    listener: TcpListener,
    admin: Option<TcpListener>,
    fleet: &Arc<Fleet<Server>>,
    options: &Options,
    stop: &Receiver<()>,
) -> Outcome {
    // Those that are ready are served while others still start.
    let warm = fleet.warm_up(|flaw| complain(format_args!("{flaw}; trying again")));
    if let Some(admin) = &admin {
        let address = admin.local_addr()?;
        say(format_args!("administration on http://{address}"));
    }
    let address = listener.local_addr()?;
    say(format_args!("listening on http://{address}"));

    // It has ended when the last connection has dropped its `busy`.
    let (busy, drained) = async_channel::bounded(1);
    let entrance = |door| Entrance {
        door,
        fleet: Arc::clone(fleet),
        places: Arc::new(Semaphore::new(options.max_connections.get())),
        patience: options.client_timeout,
        stop: stop.clone(),
    };
    let serving = accept(listener, entrance(Door::Clients), busy);
    // Nobody waits for an operator who waits himself.
    let (unminded, _) = async_channel::bounded(1);
    let administering = async {
        match admin {
            Some(admin) => accept(admin, entrance(Door::Operator), unminded).await,
            None => std::future::pending().await,
        }
    };
    let no_way = async {
        match warm.await {
            Err(flaw) => Err(flaw.into()),
            Ok(()) => std::future::pending().await,
        }
    };
    let stopped = async {
        closing(stop).await;
        Ok(())
    };
    let served: Outcome = or(or(serving, administering), or(no_way, stopped)).await;
    served?;
    fleet.drain();
    complain("ending; once more to hurry");

    let too_late = async {
        smol::Timer::after(options.shutdown_timeout).await;
        complain("requests are still in progress; ending all the same");
    };
    or(closing(&drained), too_late).await;
    Ok(())
}

/// Which address somebody came to.
#[derive(Clone, Copy)]
enum Door {
    Clients,
    Operator,
}

/// What whoever comes to an address finds there.
#[derive(Clone)]
struct Entrance {
    door: Door,
    fleet: Arc<Fleet<Server>>,
    /// For as many connections at a time.
    places: Arc<Semaphore>,
    /// How long a client may take to send the header of a request, and then its body.
    patience: Duration,
    stop: Receiver<()>,
}

async fn accept(listener: TcpListener, entrance: Entrance, busy: Sender<()>) -> Outcome {
    loop {
        let place = entrance.places.acquire_arc().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let (entrance, busy) = (entrance.clone(), busy.clone());
                smol::spawn(async move {
                    converse(stream, &entrance).await;
                    drop((place, busy));
                })
                .detach();
            }
            // Most likely out of file descriptors: some will be free soon.
            Err(error) => {
                complain(format_args!("cannot accept a connection: {error}"));
                smol::Timer::after(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one client until it leaves, or until the answer that it waits for when all stops.
async fn converse(stream: TcpStream, entrance: &Entrance) {
    let service = service_fn(|request| async move {
        let reply = route(request, entrance).await;
        Ok::<_, Infallible>(to_response(reply.unwrap_or_else(|reply| reply)))
    });
    // hyper waits for as long as nobody takes what it sends; the system can be told not to.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(entrance.patience));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(SmolTimer::new())
            .header_read_timeout(entrance.patience)
            .serve_connection(FuturesIo::new(stream), service)
    );
    let stop = async {
        closing(&entrance.stop).await;
        None
    };
    let ended = or(async { Some(connection.as_mut().await) }, stop).await;
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        // An error is a client that left early, which is its own affair.
        let _ = connection.await;
    }
}

async fn route(request: Request<Incoming>, entrance: &Entrance) -> Result<Reply, Reply> {
    let Entrance { door, fleet, .. } = entrance;
    let visitors = match door {
        Door::Clients => &fleet.visitors,
        Door::Operator => &fleet.operators,
    };
    let named = |name: &'static str| request.headers().get(name).map(HeaderValue::as_bytes);
    if let Some(reply) = visitors.refuse(named) {
        return Err(reply);
    }
    let path = request.uri().path().to_owned();
    let mut parts = path.splitn(4, '/').skip(1);
    let (verb, first, second) = (parts.next(), parts.next(), parts.next());
    let get = request.method() == Method::GET;
    match (door, verb.unwrap_or_default(), first, second) {
        (Door::Clients, "mcp", name, None) => {
            let server = fleet.find(name.unwrap_or_default())?;
            match *request.method() {
                Method::POST => {}
                Method::DELETE => return Ok(server.end_session(&head(request.headers()))),
                _ => return Err(not_offered("POST,DELETE")),
            }
            let (parts, body) = request.into_parts();
            let too_late = async {
                smol::Timer::after(entrance.patience).await;
                Err(Reply::too_slow())
            };
            let read = async { Ok(Limited::new(body, BODY_LIMIT).collect().await) };
            match or(read, too_late).await? {
                Ok(body) => Ok(server.post(&head(&parts.headers), &body.to_bytes()).await),
                Err(error) if error.is::<LengthLimitError>() => Err(Reply::too_large()),
                Err(_) => Err(Reply::cut_short()),
            }
        }
        (Door::Operator, "admin", Some(first), second) => {
            let (name, action) = second.map_or(("", first), |action| (first, action));
            match *request.method() {
                Method::POST => Ok(fleet.find(name)?.operate(action).await),
                _ => Err(not_offered("POST")),
            }
        }
        (Door::Clients, "test", name, None) if get => {
            Ok(fleet.find(name.unwrap_or_default())?.test().await)
        }
        (_, "healthz", name, None) if get => Ok(fleet.health(name)),
        (_, "status", None, None) if get => Ok(fleet.status()),
        (Door::Clients, "test", _, None) => Err(not_offered("GET")),
        (_, "healthz", _, None) | (_, "status", None, None) => Err(not_offered("GET")),
        _ => Err(Reply::empty(404)),
    }
}

fn not_offered(allowed: &str) -> Reply {
    Reply::empty(405).with("allow", allowed)
}

fn head(headers: &HeaderMap) -> Head<'_> {
    Head::read(|name| {
        let values = headers.get_all(name).iter();
        values.map(HeaderValue::as_bytes).collect()
    })
}

fn to_response(reply: Reply) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(reply.status);
    let has_body = !reply.body.is_empty();
    let mut response = Response::new(Full::from(reply.body));
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if has_body {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
    }
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}
