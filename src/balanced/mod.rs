//! Several endpoints behind one pool.

mod books;
mod connection;
mod error;
mod time;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use self::books::{Attempt, Books, Rank};
use self::time::Time;
use crate::clock::Moment;
use crate::error::ConnectError;
use crate::manager::{Condition, Manager, Metrics};
use crate::primitives::{Arc, contain};
use crate::runtime::Runtime;
use crate::work::{Stopped, bounded};

pub use self::books::BalancePolicy;
pub use self::connection::BalancedConnection;
pub use self::error::{BalancedError, EndpointFailure};

/// A [`Manager`] of several endpoints that can stand in for each other: the replicas of a database,
/// say. Each endpoint is a manager itself, all of one type.
///
/// A call to [`connect`](Manager::connect) picks an endpoint by the [`BalancePolicy`]. If that
/// fails it goes on to the next within the same call, until one succeeds or all have failed. One
/// that failed is *down*: it is passed over until its [recheck](Balanced::recheck_after) is due,
/// and then tried by one call at a time, while the others go on passing it over. Its share goes to
/// all others evenly, not to its neighbour. If nothing else is left, those that are down are tried
/// as well.
///
/// What a pool does with a connection afterwards (check, inspect, recycle, close) goes to the
/// manager that made it. A check that fails, or a connection that breaks, costs that connection
/// and says nothing about others; to be rid of all of an endpoint's, ask for it with
/// [`retain`](crate::Pool::retain), as below.
///
/// # Time
///
/// One deadline, [`connect_timeout`](Balanced::connect_timeout), covers all that a call tries. An
/// endpoint that does not answer may use up its fair share of what is left: with three, a third,
/// and the next one half of the rest. Then the attempt is dropped, and only then is the next
/// begun: to race them would be quicker, but then one place in the pool would stand for two
/// connections in the making, and the server would see more than `max_size`.
///
/// The time is that of the pool's runtime, which `build()` hands over. A `Balanced` that is used
/// without a pool reads the system's clock and has no time-outs.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use std::io;
/// use watertight::{Balanced, Manager, Pool};
///
/// struct Server(&'static str);
///
/// impl Manager for Server {
///     type Connection = &'static str;
///     type Error = io::Error;
///
///     async fn connect(&self) -> io::Result<&'static str> {
///         match self.0 {
///             "a" => Err(io::ErrorKind::ConnectionRefused.into()),
///             name => Ok(name),
///         }
///     }
/// }
///
/// let pool = Pool::builder(Balanced::new(["a", "b", "c"].map(Server)))
/// #   .runtime(Threads)
///     .build()?;
/// let session = pool.acquire().await?;
/// assert_eq!((**session, session.endpoint()), ("b", 1)); // "a" is down
/// drop(session);
///
/// // "b" is about to be shut down: close its idle connections, and no others.
/// let closed = pool.retain(|session, _| session.endpoint() != 1);
/// assert_eq!(closed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// With roles, which may be of any type that can be compared:
///
/// ```
/// # use watertight::{Balanced, FromFn};
/// # let server = |name: &'static str| FromFn::new(move || async move { Ok::<_, std::io::Error>(name) });
/// #[derive(PartialEq)]
/// enum Role {
///     Primary,
///     Replica,
/// }
///
/// // The primary serves while no replica can be reached.
/// let balanced = Balanced::preferring(
///     Role::Replica,
///     [
///         (Role::Primary, server("a")),
///         (Role::Replica, server("b")),
///         (Role::Replica, server("c")),
///     ],
/// );
/// ```
pub struct Balanced<M> {
    endpoints: Vec<Endpoint<M>>,
    books: Arc<Books>,
    policy: BalancePolicy,
    connect_timeout: Option<Duration>,
    endpoint_timeout: Option<Duration>,
    recheck_after: Duration,
    time: Time,
}

// The roles themselves are not kept: their type would be one more parameter of every guard.
struct Endpoint<M> {
    manager: M,
    rank: Rank,
}

impl<M: Manager> Balanced<M> {
    /// Makes a manager of these endpoints, which are all alike. Their numbers are their places in
    /// this list, from 0.
    ///
    /// With none at all every call to `connect` fails, permanently.
    pub fn new(endpoints: impl IntoIterator<Item = M>) -> Self {
        let endpoints = endpoints.into_iter();
        Balanced::ranked(endpoints.map(|manager| (Rank::First, manager)))
    }

    /// Makes a manager of endpoints with roles. It uses those of `role` as long as one of them can
    /// be reached, then the others. A connection to one of those stays until its end (see
    /// [`max_lifetime`](crate::Builder::max_lifetime)), even if a preferred one is back before.
    pub fn preferring<R: PartialEq>(role: R, endpoints: impl IntoIterator<Item = (R, M)>) -> Self {
        Balanced::with_roles(role, endpoints, Rank::Second)
    }

    /// Makes a manager of endpoints with roles. It uses those of `role` alone; the others have
    /// numbers all the same. If there are none of that role, every call to `connect` fails,
    /// permanently.
    pub fn requiring<R: PartialEq>(role: R, endpoints: impl IntoIterator<Item = (R, M)>) -> Self {
        Balanced::with_roles(role, endpoints, Rank::Unused)
    }

    fn with_roles<R: PartialEq>(
        role: R,
        endpoints: impl IntoIterator<Item = (R, M)>,
        others: Rank,
    ) -> Self {
        let rank = |this: R| if this == role { Rank::First } else { others };
        let endpoints = endpoints.into_iter();
        Balanced::ranked(endpoints.map(|(role, manager)| (rank(role), manager)))
    }

    fn ranked(endpoints: impl Iterator<Item = (Rank, M)>) -> Self {
        let endpoints: Vec<_> = endpoints
            .map(|(rank, manager)| Endpoint { manager, rank })
            .collect();
        Balanced {
            books: Arc::new(Books::new(endpoints.iter().map(|one| one.rank))),
            endpoints,
            policy: BalancePolicy::default(),
            connect_timeout: Some(Duration::from_secs(10)),
            endpoint_timeout: None,
            recheck_after: Duration::from_secs(30),
            time: Time::new(),
        }
    }

    /// How the next endpoint is chosen. In turn, unless set.
    #[must_use]
    pub fn policy(mut self, policy: BalancePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How long one call to `connect` may take, over all that it tries. 10 seconds unless set,
    /// which is also the pool's own [`connect_timeout`](crate::Builder::connect_timeout): if that
    /// is another, set this to the same, or less. A pool with less patience breaks the call off,
    /// with an error that does not say what was tried. `None` sets no limit; zero allows what is over when it
    /// is first polled.
    #[must_use]
    pub fn connect_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = limit.into();
        self
    }

    /// How long one endpoint may take at most, of its share of the
    /// [`connect_timeout`](Balanced::connect_timeout). All of its share, unless set. An endpoint
    /// that needs longer cannot be used at all.
    #[must_use]
    pub fn endpoint_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.endpoint_timeout = limit.into();
        self
    }

    /// How long an endpoint is passed over after it failed. 30 seconds unless set; with zero it is
    /// passed over only in the call in which it failed.
    #[must_use]
    pub fn recheck_after(mut self, delay: Duration) -> Self {
        self.recheck_after = delay;
        self
    }

    /// The manager of an endpoint; `None` if there is none of this number.
    pub fn manager(&self, endpoint: usize) -> Option<&M> {
        self.endpoints.get(endpoint).map(|one| &one.manager)
    }

    /// How the endpoints are at this instant, in the order of their numbers.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.books.status(self.time.moment())
    }

    /// Takes the best of the endpoints that a call has not tried yet.
    fn begin(&self, untried: &mut Vec<usize>) -> Option<Attempt<'_>> {
        let (policy, recheck_after) = (self.policy, self.recheck_after);
        self.books.begin(untried, policy, &self.time, recheck_after)
    }

    /// How long the next attempt may take if so many, with that one, are yet to be made.
    fn limit(&self, end: Moment, attempts: usize) -> Option<Duration> {
        if !self.time.is_attached() {
            // There is no timer.
            return None;
        }
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX).max(1);
        let share =
            (end != Moment::NEVER).then(|| end.elapsed_since(self.time.moment()) / attempts);
        match (share, self.endpoint_timeout) {
            (Some(share), Some(limit)) => Some(share.min(limit)),
            (share, limit) => share.or(limit),
        }
    }

    async fn connect_to(
        &self,
        endpoint: usize,
        limit: Option<Duration>,
    ) -> Result<M::Connection, ConnectError<M::Error>> {
        let manager = &self.endpoints[endpoint].manager;
        match bounded(&self.time, limit, async { manager.connect().await }).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(ConnectError::Failed(Arc::new(error))),
            Err(Stopped::TimedOut) => Err(ConnectError::TimedOut),
            Err(Stopped::Panicked) => Err(ConnectError::Panicked),
        }
    }
}

impl<M: Manager> Manager for Balanced<M> {
    type Connection = BalancedConnection<M::Connection>;
    type Error = BalancedError<M::Error>;

    async fn connect(&self) -> Result<Self::Connection, Self::Error> {
        let end = self.time.moment().after_any(self.connect_timeout);
        let mut untried: Vec<_> = (0..self.endpoints.len())
            .filter(|&endpoint| self.endpoints[endpoint].rank != Rank::Unused)
            .collect();
        let mut failures = Vec::new();
        while let Some(attempt) = self.begin(&mut untried) {
            let endpoint = attempt.endpoint();
            let limit = self.limit(end, untried.len() + 1);
            attempt.may_take(limit);
            match self.connect_to(endpoint, limit).await {
                Ok(connection) => {
                    let load = attempt.succeeded();
                    // Errors have destructors, and one that panicked on the way out would take the
                    // connection with it.
                    contain(|| drop(failures));
                    return Ok(BalancedConnection { connection, load });
                }
                Err(error) => {
                    attempt.failed();
                    failures.push(EndpointFailure::new(endpoint, error));
                }
            }
        }
        Err(BalancedError::new(failures))
    }

    async fn check(
        &self,
        connection: &mut Self::Connection,
        metrics: &Metrics,
    ) -> Result<(), Self::Error> {
        let endpoint = connection.endpoint();
        let manager = &self.endpoints[endpoint].manager;
        let checked = manager.check(&mut connection.connection, metrics).await;
        checked.map_err(|error| BalancedError::of_one(endpoint, error))
    }

    fn inspect(&self, connection: &mut Self::Connection) -> Condition {
        let manager = &self.endpoints[connection.endpoint()].manager;
        manager.inspect(&mut connection.connection)
    }

    async fn recycle(&self, connection: &mut Self::Connection) -> Result<(), Self::Error> {
        let endpoint = connection.endpoint();
        let manager = &self.endpoints[endpoint].manager;
        let recycled = manager.recycle(&mut connection.connection).await;
        recycled.map_err(|error| BalancedError::of_one(endpoint, error))
    }

    async fn close(&self, connection: Self::Connection) {
        let BalancedConnection { connection, load } = connection;
        let manager = &self.endpoints[load.endpoint()].manager;
        manager.close(connection).await;
        drop(load);
    }

    /// Only if every endpoint's error is permanent, or there is no endpoint.
    fn is_permanent(&self, error: &Self::Error) -> bool {
        error.failures().iter().all(|failure| {
            let manager = self.manager(failure.endpoint());
            let error = failure.error().manager_error();
            manager
                .zip(error)
                .is_some_and(|(manager, error)| manager.is_permanent(error))
        })
    }

    /// No endpoint counts as down any more.
    fn renew(&self) {
        self.books.renew();
        let mut first_panic = None;
        for endpoint in &self.endpoints {
            let renewed = catch_unwind(AssertUnwindSafe(|| endpoint.manager.renew()));
            if let Err(panic) = renewed {
                let other = first_panic.replace(panic);
                contain(|| drop(other));
            }
        }
        if let Some(panic) = first_panic {
            resume_unwind(panic);
        }
    }

    fn attach(&self, runtime: &Arc<dyn Runtime>) {
        self.time.attach(runtime);
        // What has failed before did so by another clock.
        self.books.renew();
        for endpoint in &self.endpoints {
            endpoint.manager.attach(runtime);
        }
    }
}

impl<M> fmt::Debug for Balanced<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balanced")
            .field("endpoints", &self.endpoints.len())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// An endpoint of a [`Balanced`] manager at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Its connections, those in the making included.
    pub connections: usize,
    /// True if it failed and is passed over, until its recheck is due.
    pub is_down: bool,
}
