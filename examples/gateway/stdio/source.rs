//! Where the processes of a server come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use watertight::{
    AcquireError, BuildError, KeyedPool, Observer, Pool, PooledConnection, Runtime, Statistics,
    Status,
};

use super::fault::Fault;
use super::gateway::Record;
use super::process::{CommandLine, Process};
use super::servers::Servers;
use super::settings::{PoolSettings, Shared};

/// A pool of its own, or a share in one that has a limit for all.
pub(crate) enum Source<P: Process> {
    Own(Pool<Servers<P>>),
    Shared(Commons<P>, String),
}

/// One pool for all servers, by their names.
pub(crate) type Commons<P> = KeyedPool<String, Servers<P>>;

impl<P: Process> Source<P> {
    pub(crate) fn own(
        settings: &PoolSettings,
        command: CommandLine,
        record: &Record,
        observer: impl Observer,
    ) -> Result<Self, BuildError> {
        let name = command.name.clone();
        let servers = Servers::new(command, record.roster.clone(), record.health.clone());
        let pool = settings.apply(Pool::builder(servers));
        Ok(Source::Own(pool.name(name).observer(observer).build()?))
    }

    pub(crate) async fn acquire(
        &self,
    ) -> Result<PooledConnection<Servers<P>>, AcquireError<Fault>> {
        match self {
            Source::Own(pool) => pool.acquire().await,
            Source::Shared(pools, name) => loop {
                match pools.acquire(name).await {
                    // It was reset while this waited: there is a new one.
                    Err(AcquireError::Closed) if !pools.is_closed() => {}
                    outcome => return outcome,
                }
            },
        }
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        match self {
            Source::Own(pool) => pool.runtime(),
            Source::Shared(pools, _) => pools.runtime(),
        }
    }

    /// What it is called in logs and metrics.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Source::Own(pool) => pool.name(),
            Source::Shared(pools, _) => pools.name(),
        }
    }

    /// `None` if it has no pool at the moment, because nobody uses it and no process is left.
    pub(crate) fn status(&self) -> Option<Status> {
        match self {
            Source::Own(pool) => Some(pool.status()),
            Source::Shared(pools, name) => pools.status(name),
        }
    }

    /// Since its pool was made.
    pub(crate) fn statistics(&self) -> Statistics {
        match self {
            Source::Own(pool) => pool.statistics(),
            Source::Shared(pools, name) => pools.statistics(name).unwrap_or_default(),
        }
    }
}

/// The one pool for all servers.
pub(crate) fn commons<P: Process>(
    shared: &Shared,
    servers: BTreeMap<String, (CommandLine, Record)>,
    observer: impl Observer,
) -> Result<Commons<P>, BuildError> {
    KeyedPool::builder(move |name: &String| {
        let (command, record) = servers
            .get(name)
            .unwrap_or_else(|| unreachable!("a gateway asks for its own name"));
        Servers::new(
            command.clone(),
            record.roster.clone(),
            record.health.clone(),
        )
    })
    .max_total(shared.max_processes)
    .each(|pool| shared.pool.apply(pool).name("shared").observer(observer))
    .build()
}
