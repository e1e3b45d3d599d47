//! The scripted manager, and the connections that it makes.

use std::error::Error;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use watertight::{Condition, Manager, Metrics, PooledConnection, Runtime, Timer};

use super::ledger::{At, Birth, Credentials, Ledger};
use super::script::{End, Gate, Script};

/// What the scripts of a [`Scripted`] manager call an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) permanent: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Error for Refused {}

/// What a manager is to do, and what it and its connections have done. Shared between the test
/// and the manager.
#[derive(Debug)]
pub(crate) struct Stagecraft {
    pub(crate) ledger: Ledger,
    pub(crate) connects: Script,
    pub(crate) checks: Script,
    pub(crate) inspects: Script,
    pub(crate) recycles: Script,
    pub(crate) closes: Script,
    /// Opened when the test is over.
    over: Gate,
}

impl Stagecraft {
    pub(super) fn new() -> Self {
        Stagecraft {
            ledger: Ledger::default(),
            connects: Script::new(),
            checks: Script::new(),
            inspects: Script::new(),
            recycles: Script::new(),
            closes: Script::new(),
            over: Gate::new(),
        }
    }

    /// The test is over: what hangs ends, and from now on everything succeeds.
    pub(super) fn let_go(&self) {
        for script in [
            &self.connects,
            &self.checks,
            &self.inspects,
            &self.recycles,
            &self.closes,
        ] {
            script.end();
        }
        self.over.open();
    }
}

/// A manager that does as it is told.
pub(crate) struct Scripted {
    stage: Arc<Stagecraft>,
    /// A script of its own for `connect`, instead of the stage's.
    connects: Option<Arc<Script>>,
    runtime: OnceLock<Arc<dyn Runtime>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl Scripted {
    pub(super) fn new(stage: &Arc<Stagecraft>) -> Self {
        stage.ledger.manager_made();
        Scripted {
            stage: Arc::clone(stage),
            connects: None,
            runtime: OnceLock::new(),
        }
    }

    /// One of several on the same stage that connect each by a script of its own.
    pub(super) fn with_connects(stage: &Arc<Stagecraft>, connects: &Arc<Script>) -> Self {
        let mut scripted = Scripted::new(stage);
        scripted.connects = Some(Arc::clone(connects));
        scripted
    }

    fn now(&self) -> Instant {
        let runtime = self.runtime.get();
        runtime.map_or_else(Instant::now, |runtime| runtime.now())
    }

    async fn play(&self, script: &Script) -> Result<(), Refused> {
        let step = script.called(self.now());
        match step.play(self.runtime.get(), &self.stage.over).await {
            End::Ok => Ok(()),
            End::Err => Err(Refused { permanent: false }),
            End::Permanent => Err(Refused { permanent: true }),
            End::Panic => scripted_panic(),
        }
    }

    /// Runs a check or recycling; until it has succeeded the connection's state is unknown.
    async fn examine(&self, id: usize, at: At, script: &Script) -> Result<(), Refused> {
        let ledger = &self.stage.ledger;
        ledger.pass(id, &[At::Pool], at);
        let mut doubt = Doubt {
            ledger,
            id,
            at,
            dispelled: false,
        };
        let result = self.play(script).await;
        doubt.dispelled = result.is_ok();
        result
    }
}

/// A panic that the panic hook does not report.
fn scripted_panic() -> ! {
    resume_unwind(Box::new("as the script says"))
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stage.ledger.manager_gone();
    }
}

impl Manager for Scripted {
    type Connection = Conn;
    type Error = Refused;

    async fn connect(&self) -> Result<Conn, Refused> {
        let attempt = Attempt::begin(&self.stage.ledger);
        let connects = self.connects.as_deref().unwrap_or(&self.stage.connects);
        self.play(connects).await?;
        let born = attempt.born;
        // Counted as over first: one place is not to be counted as two.
        drop(attempt);
        Ok(Conn::numbered(
            &self.stage,
            self.stage.ledger.made_by(At::Pool, born),
        ))
    }

    async fn check(&self, conn: &mut Conn, _: &Metrics) -> Result<(), Refused> {
        self.examine(conn.id, At::Check, &self.stage.checks).await
    }

    fn inspect(&self, conn: &mut Conn) -> Condition {
        let found = match self.stage.inspects.called(self.now()).end() {
            End::Ok => Some(conn.condition),
            End::Err | End::Permanent => Some(Condition::Broken),
            End::Panic => None,
        };
        if matches!(found, None | Some(Condition::Broken)) {
            self.stage.ledger.condemn(conn.id);
        }
        found.unwrap_or_else(|| scripted_panic())
    }

    async fn recycle(&self, conn: &mut Conn) -> Result<(), Refused> {
        self.examine(conn.id, At::Recycling, &self.stage.recycles)
            .await?;
        conn.condition = Condition::Clean;
        conn.session.clear();
        Ok(())
    }

    async fn close(&self, conn: Conn) {
        let from = [At::Pool, At::Check, At::Recycling];
        self.stage.ledger.pass(conn.id, &from, At::Closing);
        // There is nobody to tell of an error.
        let _ = self.play(&self.stage.closes).await;
    }

    fn is_permanent(&self, error: &Refused) -> bool {
        error.permanent
    }

    fn attach(&self, runtime: &Arc<dyn Runtime>) {
        let _ = self.runtime.set(Arc::clone(runtime));
        self.stage.ledger.set_clock(runtime);
    }
}

/// An attempt to connect under way.
struct Attempt<'a> {
    ledger: &'a Ledger,
    born: Birth,
}

impl<'a> Attempt<'a> {
    fn begin(ledger: &'a Ledger) -> Self {
        let born = ledger.connect_begun();
        Attempt { ledger, born }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.ledger.connect_over(self.born);
    }
}

/// A check or recycling under way.
struct Doubt<'a> {
    ledger: &'a Ledger,
    id: usize,
    at: At,
    dispelled: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.ledger.pass(self.id, &[self.at], At::Pool);
        match self.dispelled {
            true => self.ledger.found_fit(self.id, self.at),
            false => {
                self.ledger.condemn(self.id);
                if self.at == At::Check {
                    self.ledger.check_failed(self.id);
                }
            }
        }
    }
}

/// A connection that is written down in the ledger.
#[derive(Debug)]
pub(crate) struct Conn {
    id: usize,
    stage: Arc<Stagecraft>,
    /// What `inspect` will find, unless its script says otherwise.
    pub(crate) condition: Condition,
    /// What a holder leaves behind; recycling clears it.
    pub(crate) session: String,
    /// The destructor panics.
    pub(crate) panics_when_dropped: bool,
}

impl Conn {
    pub(super) fn new(stage: &Arc<Stagecraft>, at: At) -> Self {
        Conn::numbered(stage, stage.ledger.made(at))
    }

    fn numbered(stage: &Arc<Stagecraft>, id: usize) -> Self {
        Conn {
            id,
            stage: Arc::clone(stage),
            condition: Condition::Clean,
            session: String::new(),
            panics_when_dropped: false,
        }
    }

    /// Numbered from 0 in the order in which they were made.
    pub(crate) fn id(&self) -> usize {
        self.id
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.stage.ledger.destroyed(self.id);
        if self.panics_when_dropped && !std::thread::panicking() {
            scripted_panic();
        }
    }
}

/// A connection on loan, written down as such. Use it as one uses the guard that it wraps.
#[derive(Debug)]
pub(crate) struct Lent {
    // `None` once it is on its way back.
    guard: Option<PooledConnection<Scripted>>,
    credentials: Credentials,
}

impl Lent {
    pub(super) fn new(guard: PooledConnection<Scripted>) -> Self {
        let ledger = &guard.stage.ledger;
        let credentials = ledger.credentials(guard.id);
        ledger.pass(guard.id, &[At::Pool], At::Holder);
        if guard.condition != Condition::Clean {
            let (id, condition) = (guard.id, guard.condition);
            ledger.violation(format!(
                "connection {id} was lent though it is {condition:?}"
            ));
        }
        Lent {
            guard: Some(guard),
            credentials,
        }
    }

    /// Back to the bare guard; the ledger takes it for returned.
    pub(crate) fn into_guard(mut self) -> PooledConnection<Scripted> {
        self.hand_in(At::Pool)
    }

    /// [`PooledConnection::discard`].
    pub(crate) fn discard(mut self) {
        let guard = self.hand_in(At::Pool);
        guard.stage.ledger.condemn(guard.id);
        PooledConnection::discard(guard);
    }

    /// [`PooledConnection::detach`].
    pub(crate) fn detach(mut self) -> Conn {
        PooledConnection::detach(self.hand_in(At::Detached))
    }

    /// [`PooledConnection::retire`].
    pub(crate) fn retire(&mut self) {
        let guard = self.guard.as_mut().expect("it is still here");
        guard.stage.ledger.condemn(guard.id);
        PooledConnection::retire(guard);
    }

    /// [`PooledConnection::metrics`].
    pub(crate) fn metrics(&self) -> Metrics {
        PooledConnection::metrics(self.guard())
    }

    /// What spoke for it when it was lent.
    pub(crate) fn credentials(&self) -> Credentials {
        self.credentials
    }

    fn guard(&self) -> &PooledConnection<Scripted> {
        self.guard.as_ref().expect("it is still here")
    }

    fn hand_in(&mut self, to: At) -> PooledConnection<Scripted> {
        let guard = self.guard.take().expect("it is still here");
        guard.stage.ledger.pass(guard.id, &[At::Holder], to);
        if std::thread::panicking() || guard.condition == Condition::Broken {
            guard.stage.ledger.condemn(guard.id);
        }
        guard
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.guard.is_some() {
            drop(self.hand_in(At::Pool));
        }
    }
}

impl std::ops::Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.guard()
    }
}

impl std::ops::DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        self.guard.as_mut().expect("it is still here")
    }
}
