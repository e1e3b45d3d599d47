//! Servers that are silent, reset their connections, or are gone for a while.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use watertight::{
    AcquireError, Backoff, Builder, CheckPolicy, Condition, ConnectError, ConnectPolicy, Manager,
    Metrics, Phase, Pool,
};

use super::server::{Manner, Server};
use super::{PATIENCE, Site, Stopwatch, faults, is_long};

const FIRST: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_millis(300);

/// Dials a server, and counts how often.
struct Dialler {
    address: SocketAddr,
    attempts: Arc<AtomicUsize>,
}

/// A socket of the runtime's own kind.
enum Wire {
    Tokio(tokio::net::TcpStream),
    Smol(smol::net::TcpStream),
}

struct Line {
    wire: Wire,
    broken: bool,
}

impl Wire {
    async fn dial(address: SocketAddr) -> io::Result<Self> {
        Ok(match tokio::runtime::Handle::try_current() {
            Ok(_) => Wire::Tokio(tokio::net::TcpStream::connect(address).await?),
            Err(_) => Wire::Smol(smol::net::TcpStream::connect(address).await?),
        })
    }

    async fn ping(&mut self) -> io::Result<()> {
        let mut answer = [0];
        match self {
            Wire::Tokio(stream) => {
                stream.write_all(b"?").await?;
                stream.read_exact(&mut answer).await?;
            }
            Wire::Smol(stream) => {
                stream.write_all(b"?").await?;
                stream.read_exact(&mut answer).await?;
            }
        }
        Ok(())
    }
}

impl Line {
    async fn ping(&mut self) -> io::Result<()> {
        self.broken = true;
        self.wire.ping().await?;
        self.broken = false;
        Ok(())
    }
}

impl Manager for Dialler {
    type Connection = Line;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Line> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let wire = Wire::dial(self.address).await?;
        let mut line = Line {
            wire,
            broken: false,
        };
        line.ping().await?;
        Ok(line)
    }

    async fn check(&self, line: &mut Line, _: &Metrics) -> io::Result<()> {
        line.ping().await
    }

    fn inspect(&self, line: &mut Line) -> Condition {
        match line.broken {
            true => Condition::Broken,
            false => Condition::Clean,
        }
    }
}

/// A pool of lines to a server, and how often it has dialled.
fn pool_on(
    site: &Site,
    server: &Server,
    configure: impl FnOnce(Builder<Dialler>) -> Builder<Dialler>,
) -> (Pool<Dialler>, Arc<AtomicUsize>) {
    let attempts = Arc::<AtomicUsize>::default();
    let builder = Pool::builder(Dialler {
        address: server.address(),
        attempts: Arc::clone(&attempts),
    });
    let builder = builder
        .acquire_timeout(PATIENCE)
        .connect_policy(ConnectPolicy::Retry(Backoff::new(FIRST, CAP)))
        .runtime(site.runtime());
    (configure(builder).build().unwrap(), attempts)
}

/// The server, too, sees that nothing is left.
async fn end(site: &Site, server: Server, pool: Pool<Dialler>) {
    assert_eq!(pool.close_within(PATIENCE).await, 0);
    site.until(|| server.is_deserted()).await;
}

/// What a caller was doing when it gave up, and what it is told.
fn late(error: &AcquireError<io::Error>) -> (Phase, Option<io::ErrorKind>) {
    let AcquireError::TimedOut { phase, cause, .. } = error else {
        panic!("it is not late: {error:?}");
    };
    (*phase, kind(cause.as_ref().expect("it has a cause")))
}

/// The kind of an error, unless it is a time-out.
fn kind(error: &ConnectError<io::Error>) -> Option<io::ErrorKind> {
    match error {
        ConnectError::Failed(error) => Some(error.kind()),
        ConnectError::TimedOut => None,
        other => panic!("{other:?}"),
    }
}

/// So many attempts at most can have begun since, one at each step of the schedule and all at
/// once at first.
#[track_caller]
fn assert_no_herd(attempts: usize, since: Instant, at_first: usize) {
    let steps = since.elapsed().as_nanos() / FIRST.as_nanos();
    let most = at_first + 1 + usize::try_from(steps).unwrap();
    assert!(attempts <= most, "{attempts} attempts, at most {most}");
}

async fn server_that_never_answers_costs_a_caller_its_deadline(site: Site) {
    let server = Server::start();
    server.welcome(Manner::Silent);
    let quick = Duration::from_millis(150);
    let (pool, attempts) = pool_on(&site, &server, |b| b.max_size(2).connect_timeout(quick));
    let (start, watch) = (Instant::now(), Stopwatch::start());
    let timeout = Duration::from_millis(500);
    let error = site.acquire_timeout(&pool, timeout).await.map(drop);
    watch.assert_at(timeout);
    assert_eq!(late(&error.unwrap_err()), (Phase::Connect, None));
    assert_no_herd(attempts.load(Ordering::SeqCst), start, 2);

    server.welcome(Manner::Answers);
    site.acquire(&pool).await.unwrap().ping().await.unwrap();
    end(&site, server, pool).await;
}

/// The peer is there and dead: only the time-out tells.
async fn connection_gone_silent_is_replaced_when_its_check_times_out(site: Site) {
    let server = Server::start();
    let check_timeout = Duration::from_millis(150);
    let (pool, _) = pool_on(&site, &server, |b| {
        b.max_size(1)
            .check_policy(CheckPolicy::Always)
            .check_timeout(check_timeout)
    });
    drop(site.acquire(&pool).await.unwrap());
    server.turn(Manner::Silent);
    let watch = Stopwatch::start();
    let mut line = site.acquire(&pool).await.unwrap();
    watch.assert_at(check_timeout);
    line.ping().await.unwrap();
    drop(line);
    assert_eq!(pool.statistics().closes.check_failed, 1);
    end(&site, server, pool).await;
}

async fn reset_in_the_handshake_arrives_as_the_cause(site: Site) {
    let server = Server::start();
    server.welcome(Manner::Resets);
    let reset = Some(io::ErrorKind::ConnectionReset);
    let (pool, attempts) = pool_on(&site, &server, |b| b.max_size(2));
    let (start, watch) = (Instant::now(), Stopwatch::start());
    let timeout = Duration::from_millis(300);
    let error = site.acquire_timeout(&pool, timeout).await.map(drop);
    watch.assert_at(timeout);
    assert_eq!(late(&error.unwrap_err()), (Phase::Connect, reset));
    assert_no_herd(attempts.load(Ordering::SeqCst), start, 2);

    let (hasty, _) = pool_on(&site, &server, |b| {
        b.connect_policy(ConnectPolicy::FailFast)
    });
    let failed = site.acquire(&hasty).await.map(drop).unwrap_err();
    assert!(matches!(failed, AcquireError::Connect(_)), "{failed:?}");
    assert_eq!(kind(failed.connect_error().unwrap()), reset);
    assert_eq!(hasty.close_within(PATIENCE).await, 0);
    end(&site, server, pool).await;
}

async fn reset_costs_the_connection_wherever_it_strikes(site: Site) {
    let server = Server::start();
    let (pool, _) = pool_on(&site, &server, |b| {
        b.max_size(1).check_policy(CheckPolicy::Always)
    });
    // On loan.
    let mut line = site.acquire(&pool).await.unwrap();
    server.turn(Manner::Resets);
    let error = line.ping().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    drop(line);
    // In its check.
    drop(site.acquire(&pool).await.unwrap());
    server.turn(Manner::Resets);
    let mut line = site.acquire(&pool).await.unwrap();
    line.ping().await.unwrap();
    drop(line);
    let closes = pool.statistics().closes;
    assert_eq!(
        (closes.broken, closes.check_failed, closes.total()),
        (1, 1, 2)
    );
    assert_eq!(pool.statistics().failed_connects, 0);
    end(&site, server, pool).await;
}

/// Law 61: an outage, with a crowd at its beginning and nobody at its end.
async fn pool_recovers_from_an_outage_unattended(site: Site) {
    let outage = Duration::from_secs(if is_long() { 10 } else { 1 });
    let mut server = Server::start();
    let (pool, attempts) = pool_on(&site, &server, |b| {
        b.max_size(4).min_idle(2).check_policy(CheckPolicy::Always)
    });
    pool.fill().await.unwrap();

    server.go_away();
    let start = Instant::now();
    let before = attempts.load(Ordering::SeqCst);
    let crowd: Vec<_> = (0..20)
        .map(|n| site.spawn(refused(site.clone(), pool.clone(), 200 + 10 * n)))
        .collect();
    for caller in crowd {
        caller.await;
    }
    assert_eq!(pool.statistics().closes.check_failed, 2);
    site.sleep(outage.saturating_sub(start.elapsed())).await;
    let status = pool.status();
    assert_eq!((status.idle, status.waiting), (0, 0), "{status:?}");
    assert_no_herd(attempts.load(Ordering::SeqCst) - before, start, 4);

    let acquires = pool.statistics().acquires;
    server.come_back();
    let watch = Stopwatch::start();
    site.until(|| pool.status().idle == 2).await;
    watch.assert_before(CAP + Duration::from_secs(5));
    assert_eq!(pool.statistics().acquires, acquires, "nobody asked");
    site.acquire(&pool).await.unwrap().ping().await.unwrap();
    end(&site, server, pool).await;
}

/// One of the crowd: told the cause, at its own deadline.
async fn refused(site: Site, pool: Pool<Dialler>, milliseconds: u64) {
    let timeout = Duration::from_millis(milliseconds);
    let watch = Stopwatch::start();
    let error = site.acquire_timeout(&pool, timeout).await.map(drop);
    watch.assert_at(timeout);
    let refused = Some(io::ErrorKind::ConnectionRefused);
    // Those who are too many for the places wait for a return instead.
    assert_eq!(late(&error.unwrap_err()).1, refused);
}

faults!(
    server_that_never_answers_costs_a_caller_its_deadline,
    connection_gone_silent_is_replaced_when_its_check_times_out,
    reset_in_the_handshake_arrives_as_the_cause,
    reset_costs_the_connection_wherever_it_strikes,
    pool_recovers_from_an_outage_unattended,
);
