//! The manager: how the pool makes servers, judges them and says goodbye to them.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use watertight::{Condition, Manager, Metrics, Runtime};

use super::fault::Fault;
use super::health::Health;
use super::leash::Leash;
use super::process::{CommandLine, Process};
use super::roster::Roster;
use super::session::Session;

/// How long a server may take to end by itself once its input is closed. Well below the pool's
/// `close_timeout`, so that the time after it is left to reap it.
const GOODBYE: Duration = Duration::from_secs(2);

/// Makes [`Session`]s with servers that are all started by the same command.
pub(crate) struct Servers<P> {
    command: CommandLine,
    roster: Roster,
    health: Health,
    runtime: OnceLock<Arc<dyn Runtime>>,
    process: PhantomData<fn() -> P>,
}

impl<P: Process> Servers<P> {
    /// The servers that have not been reaped are put down in the roster, and whether any can be
    /// started in their health.
    pub(crate) fn new(command: CommandLine, roster: Roster, health: Health) -> Self {
        Servers {
            command,
            roster,
            health,
            runtime: OnceLock::new(),
            process: PhantomData,
        }
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        let attached = self.runtime.get();
        attached.unwrap_or_else(|| unreachable!("a pool attaches its manager first"))
    }
}

impl<P: Process> Manager for Servers<P> {
    type Connection = Session<P>;
    type Error = Fault;

    async fn connect(&self) -> Result<Session<P>, Fault> {
        let attempt = self.health.attempt(self.runtime());
        let spawned = P::spawn(self.command.to_command(), &self.command.name);
        let process = spawned.map_err(|source| Fault::Spawn {
            program: self.command.program.to_string_lossy().into_owned(),
            source,
        })?;
        let runtime = Arc::clone(self.runtime());
        let session = Session::open(Leash::new(process, &self.roster, runtime)).await?;
        attempt.succeeded();
        Ok(session)
    }

    async fn check(&self, session: &mut Session<P>, _: &Metrics) -> Result<(), Fault> {
        session.ping().await
    }

    fn inspect(&self, session: &mut Session<P>) -> Condition {
        if session.is_fit() {
            Condition::Clean
        } else {
            Condition::Broken
        }
    }

    async fn close(&self, session: Session<P>) {
        session.close(&**self.runtime(), GOODBYE).await;
    }

    fn is_permanent(&self, fault: &Fault) -> bool {
        fault.is_permanent()
    }

    fn attach(&self, runtime: &Arc<dyn Runtime>) {
        // A manager belongs to one pool, which attaches it once.
        let _ = self.runtime.set(Arc::clone(runtime));
    }
}
