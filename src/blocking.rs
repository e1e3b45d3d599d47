//! For drivers that block: SQLite, a serial port, `std::process`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::channel::{Receiver, channel};
use crate::job::{Job, Outcome, Unrun, pass_on};
use crate::late::Calls;
use crate::manager::{Condition, Manager, Metrics};
use crate::primitives::{Arc, Mutex, OnceLock, contain};
use crate::runtime::Runtime;

mod connection;

pub use connection::BlockingConnection;
use connection::Place;

/// A [`Manager`] whose methods block.
///
/// [`Blocking`] makes it a manager that a pool takes; each call but `inspect` and `is_permanent` then runs through
/// [`Spawner::spawn_blocking`](crate::Spawner::spawn_blocking), on a thread where that is allowed.
pub trait BlockingManager: Send + Sync + Sized + 'static {
    /// What the pool lends.
    type Connection: Send + 'static;
    /// Why one could not be made, or is no longer fit.
    type Error: Send + Sync + 'static;

    /// Opens one connection; see [`Manager::connect`].
    ///
    /// # Errors
    ///
    /// Whatever went wrong.
    fn connect(&self) -> Result<Self::Connection, Self::Error>;

    /// Asks an idle connection whether it is fit to be lent again; see [`Manager::check`]. By
    /// default it is.
    ///
    /// # Errors
    ///
    /// Any error closes the connection.
    fn check(
        &self,
        connection: &mut Self::Connection,
        metrics: &Metrics,
    ) -> Result<(), Self::Error> {
        let _ = (connection, metrics);
        Ok(())
    }

    /// Takes a quick look at a connection that is being given back, on the thread that does so;
    /// see [`Manager::inspect`]. It must not block. By default it is clean.
    fn inspect(&self, connection: &mut Self::Connection) -> Condition {
        let _ = connection;
        Condition::Clean
    }

    /// Makes a dirty connection clean again; see [`Manager::recycle`].
    ///
    /// # Errors
    ///
    /// Any error closes the connection.
    fn recycle(&self, connection: &mut Self::Connection) -> Result<(), Self::Error> {
        let _ = connection;
        Ok(())
    }

    /// Says goodbye; by default the connection is just dropped. See [`Manager::close`].
    fn close(&self, connection: Self::Connection) {
        drop(connection);
    }

    /// Says that trying to connect again is of no use; see [`Manager::is_permanent`].
    fn is_permanent(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }
}

/// Makes a [`BlockingManager`] a [`Manager`].
///
/// A blocking call cannot be interrupted. When one outlives its time-out, the pool gives up on
/// it, but it goes on. A check or recycling keeps its connection until it ends, so nobody gets a
/// connection that is still in use; the place in the pool is free again when the call has ended
/// and the connection is closed, or `close_timeout` later, whichever comes first. A connect
/// that nobody awaits any more serves the next attempt, if it succeeds before that one's own; if
/// there is none, what it makes is closed at once. While more than four such connects are under way
/// that began since the pool's last [reset](crate::Pool::reset), no more are begun: those of before serve
/// nobody. Until they end they are connections in the making that the pool does not count:
/// so many more than `max_size` may reach the server, and one may be closed after
/// [`close`](crate::Pool::close) has resolved.
///
/// Calls are made on the threads that the runtime has for such work. If all of them are taken, by those who
/// wait for this pool, say, a call begins on a thread of its own: with tokio and smol after 100
/// milliseconds. A runtime of tokio's that is dropped waits for the calls that have begun on its own threads,
/// and for no others. If a program is not to wait for one that hangs, end the runtime by
/// `shutdown_timeout` or `shutdown_background`.
///
/// Of checks, recyclings and closes that hang there may be any number: each has a thread and a connection
/// that the pool counts no more once `close_timeout` has passed as well. So give the driver time-outs of its
/// own, shorter than the pool's.
///
/// # Examples
///
/// ```
/// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
/// # use threads::Threads;
/// use std::io::{BufRead, BufReader, Write};
/// use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
/// use watertight::{Blocking, BlockingManager, SyncPool};
///
/// struct Cat;
///
/// impl BlockingManager for Cat {
///     type Connection = (Child, ChildStdin, BufReader<ChildStdout>);
///     type Error = std::io::Error;
///
///     fn connect(&self) -> std::io::Result<Self::Connection> {
///         let mut child = Command::new("cat")
///             .stdin(Stdio::piped())
///             .stdout(Stdio::piped())
///             .spawn()?;
///         let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
///         Ok((child, stdin, BufReader::new(stdout)))
///     }
///
///     fn close(&self, (mut child, stdin, _): Self::Connection) {
///         drop(stdin);
///         let _ = child.wait();
///     }
/// }
///
/// let pool = SyncPool::builder(Blocking::new(Cat))
/// #   .runtime(Threads)
///     .build()?;
/// let mut cat = pool.acquire()?;
/// let (_, stdin, stdout) = &mut **cat;
/// writeln!(stdin, "meow")?;
/// let mut line = String::new();
/// stdout.read_line(&mut line)?;
/// assert_eq!(line, "meow\n");
/// drop(cat);
/// pool.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Blocking<B: BlockingManager> {
    manager: Arc<B>,
    runtime: OnceLock<Arc<dyn Runtime>>,
    /// The connects since the last reset of the pool. What those of before come to is nothing to
    /// anybody who begins one now.
    calls: Mutex<Arc<Calls<Made<B>>>>,
}

impl<B: BlockingManager> Blocking<B> {
    /// Wraps `manager` for a pool.
    pub fn new(manager: B) -> Self {
        Blocking {
            manager: Arc::new(manager),
            runtime: OnceLock::new(),
            calls: Mutex::new(Arc::new(Calls::new())),
        }
    }

    /// The manager inside.
    pub fn get_ref(&self) -> &B {
        &self.manager
    }

    /// Runs `work` where blocking is allowed, and passes its panic on.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&B) -> T + Send + 'static) -> T {
        let manager = Arc::clone(&self.manager);
        let (report, outcome) = channel(1);
        self.spawn(Job::new(
            move || work(&manager),
            // If nobody is interested any more, the result is dropped here.
            move |outcome| drop(report.send(outcome)),
        ));
        pass_on(outcome.next().await.flatten())
    }

    /// Begins a connect. It reports to whoever awaits one then, or closes what it has made.
    fn begin_connect(&self, call: u64, calls: &Arc<Calls<Made<B>>>) {
        let (connecting, closing) = (Arc::clone(&self.manager), Arc::clone(&self.manager));
        let calls = Arc::clone(calls);
        self.spawn(Job::new(
            move || connecting.connect(),
            move |made| {
                let has_failed = !matches!(made, Some(Ok(Ok(_))));
                if let Some(unwanted) = calls.deliver(call, made, has_failed) {
                    dispose(&*closing, unwanted);
                }
            },
        ));
    }

    fn spawn<T: Send + 'static>(&self, job: Job<T>) {
        let job = Unrun(Some(job));
        match self.runtime.get() {
            Some(runtime) => runtime.spawn_blocking(Box::new(move || job.run())),
            None => drop(job),
        }
    }

    /// Runs `work` on a connection, which is away until the work is over, even if the caller has
    /// lost interest by then.
    async fn run_on<T: Send + 'static>(
        &self,
        connection: &mut BlockingConnection<B::Connection>,
        work: impl FnOnce(&B, &mut B::Connection) -> T + Send + 'static,
    ) -> T {
        let (home, way_home) = channel(1);
        let mut away = connection.send_away(way_home);
        let outcome = self
            .run(move |manager| {
                let outcome = catch_unwind(AssertUnwindSafe(|| work(manager, &mut away)));
                if let Err(unwanted) = home.send(away) {
                    contain(|| manager.close(unwanted.into_inner()));
                }
                outcome
            })
            .await;
        connection.come_home().await;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// What a connect came to.
type Made<B> = Outcome<Result<<B as BlockingManager>::Connection, <B as BlockingManager>::Error>>;

/// Closes what a connect has made for nobody.
fn dispose<B: BlockingManager>(manager: &B, made: Made<B>) {
    if let Some(Ok(Ok(connection))) = made {
        contain(|| manager.close(connection));
    }
}

/// Awaits the outcome of a connect.
struct Awaited<'a, B: BlockingManager> {
    blocking: &'a Blocking<B>,
    calls: Arc<Calls<Made<B>>>,
    /// The call that was begun for this.
    call: Option<u64>,
    over: bool,
}

impl<B: BlockingManager> Awaited<'_, B> {
    async fn made(mut self) -> Result<B::Connection, B::Error> {
        let made = self.calls.next().await;
        self.over = true;
        pass_on(made)
    }
}

impl<B: BlockingManager> Drop for Awaited<'_, B> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Some(made) = self.calls.give_up(self.call) {
            let manager = Arc::clone(&self.blocking.manager);
            let dispose = move || dispose(&*manager, made);
            self.blocking.spawn(Job::new(dispose, drop));
        }
    }
}

/// A connection that is to be closed when it comes home from its call. If nobody waits for that any more,
/// the call closes it itself, unless it has come home just then.
struct Expected<'a, B: BlockingManager>(&'a Blocking<B>, Receiver<B::Connection>);

impl<B: BlockingManager> Expected<'_, B> {
    async fn connection(self) -> Option<B::Connection> {
        self.1.next().await
    }
}

impl<B: BlockingManager> Drop for Expected<'_, B> {
    fn drop(&mut self) {
        let Expected(blocking, way_home) = self;
        for connection in way_home.close() {
            let manager = Arc::clone(&blocking.manager);
            blocking.spawn(Job::new(move || manager.close(connection), drop));
        }
    }
}

impl<B: BlockingManager> Manager for Blocking<B> {
    type Connection = BlockingConnection<B::Connection>;
    type Error = B::Error;

    async fn connect(&self) -> Result<Self::Connection, B::Error> {
        let calls = Arc::clone(&self.calls.lock());
        let call = calls.want();
        let awaited = Awaited {
            blocking: self,
            calls,
            call,
            over: false,
        };
        if let Some(call) = call {
            self.begin_connect(call, &awaited.calls);
        }
        awaited.made().await.map(BlockingConnection::from)
    }

    async fn check(
        &self,
        connection: &mut Self::Connection,
        metrics: &Metrics,
    ) -> Result<(), B::Error> {
        let metrics = *metrics;
        self.run_on(connection, move |manager, connection| {
            manager.check(connection, &metrics)
        })
        .await
    }

    fn inspect(&self, connection: &mut Self::Connection) -> Condition {
        self.manager.inspect(connection)
    }

    async fn recycle(&self, connection: &mut Self::Connection) -> Result<(), B::Error> {
        self.run_on(connection, |manager, connection| {
            manager.recycle(connection)
        })
        .await
    }

    async fn close(&self, connection: Self::Connection) {
        let home = match connection.place {
            Place::Here(connection) => Some(connection),
            Place::Away(way_home) => Expected(self, way_home).connection().await,
        };
        if let Some(connection) = home {
            self.run(|manager| manager.close(connection)).await;
        }
    }

    fn is_permanent(&self, error: &B::Error) -> bool {
        self.manager.is_permanent(error)
    }

    fn renew(&self) {
        // Whoever awaits one of before goes on to do so.
        *self.calls.lock() = Arc::new(Calls::new());
    }

    fn attach(&self, runtime: &Arc<dyn Runtime>) {
        // A manager belongs to one pool; should it ever be attached twice, the first wins.
        let _ = self.runtime.set(Arc::clone(runtime));
    }
}

impl<B: BlockingManager> fmt::Debug for Blocking<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}
