//! All the servers of a gateway, by their names.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;
use serde_json::{Map, Value, json};
use watertight::{AcquireError, BoxFuture, Observer, Runtime};

use super::fault::Fault;
use super::gateway::{Gateway, Record};
use super::process::{Process, kill_group};
use super::reply::{Reply, chain};
use super::report::status_json;
use super::sessions::Sessions;
use super::settings::Plan;
use super::signal::Signal;
use super::source::{Commons, Source, commons};
use super::visitors::Visitors;

/// How long the processes may take to end when the gateway does. Enough for every goodbye.
const CLOSING: Duration = Duration::from_secs(3);

/// How long they may take once they were killed.
const REAPING: Duration = Duration::from_secs(1);

/// The servers, each a [`Gateway`]. One that was given on the command line has the empty name.
pub(crate) struct Fleet<P: Process> {
    servers: BTreeMap<String, Gateway<P>>,
    commons: Option<Commons<P>>,
    pub(crate) visitors: Arc<Visitors>,
    pub(crate) operators: Arc<Visitors>,
    /// Raised when the gateway is asked to end.
    draining: Signal,
    ending: Arc<Signal>,
}

impl<P: Process> Fleet<P> {
    /// Builds the pools on the runtime that this is called in. Waits for no process. `observe` makes
    /// the observer of the pool that is called so.
    pub(crate) fn new<O: Observer>(
        plan: Plan,
        visitors: Visitors,
        observe: impl Fn(&str) -> O,
    ) -> Result<Self, Box<dyn Error>> {
        let records: Vec<_> = plan.servers.iter().map(|_| Record::default()).collect();
        let commons = match &plan.shared {
            Some(shared) => {
                let servers = plan.servers.iter().zip(&records);
                let servers = servers.map(|((name, settings), record)| {
                    (name.clone(), (settings.command.clone(), record.clone()))
                });
                Some(commons(shared, servers.collect(), observe("shared"))?)
            }
            None => None,
        };
        let ending = Arc::<Signal>::default();
        let mut servers = BTreeMap::new();
        for ((name, settings), record) in plan.servers.into_iter().zip(records) {
            let max = settings.pool.max;
            let source = match &commons {
                Some(pools) => Source::Shared(pools.clone(), name.clone()),
                None => {
                    let observer = observe(&settings.command.name);
                    Source::own(&settings.pool, settings.command, &record, observer)
                        .map_err(|error| named(&name, &error.to_string()))?
                }
            };
            let gateway = Gateway {
                source,
                record,
                request_timeout: settings.request_timeout,
                max,
                sessions: Sessions::default(),
                ending: Arc::clone(&ending),
            };
            servers.insert(name, gateway);
        }
        Ok(Fleet {
            servers,
            commons,
            visitors: Arc::new(visitors),
            operators: Arc::new(Visitors::operators()),
            draining: Signal::default(),
            ending,
        })
    }

    /// The server of that name, or the reply that says that there is none.
    pub(crate) fn find(&self, name: &str) -> Result<&Gateway<P>, Reply> {
        self.servers.get(name).ok_or_else(|| Reply::unknown(name))
    }

    /// Resolves when the first processes of every server are ready, or have failed; until then
    /// [`health`](Self::health) says which are not. `tell` is told what is wrong with those that have,
    /// as soon as that is known; an error, if that is no way to begin. For the user to read.
    pub(crate) fn warm_up(
        &self,
        mut tell: impl FnMut(String),
    ) -> impl Future<Output = Result<(), String>> {
        let (results, ended) = async_channel::unbounded();
        for (name, gateway) in &self.servers {
            let Source::Own(pool) = &gateway.source else {
                continue;
            };
            let health = gateway.record.health.clone();
            health.set_warming_up(true);
            let (pool, name, results) = (pool.clone(), name.clone(), results.clone());
            let runtime = Arc::clone(pool.runtime());
            runtime.spawn(Box::pin(async move {
                let filled = pool.fill().await;
                health.set_warming_up(false);
                // Nobody listens any more if the user has changed his mind.
                let _ = results.send((name, filled)).await;
            }));
        }
        drop(results);
        async move {
            while let Ok((name, filled)) = ended.recv().await {
                if let Err(error) = filled {
                    let flaw = named(&name, &chain(&error));
                    if cannot_be_spawned(&error) {
                        return Err(flaw);
                    }
                    tell(flaw);
                }
            }
            Ok(())
        }
    }

    /// From now on the gateway says that it is not for new requests.
    pub(crate) fn drain(&self) {
        self.draining.raise();
    }

    /// Ends the processes, and the requests that still wait for them. In a `hurry` without a
    /// goodbye, also where another call is saying that.
    pub(crate) async fn close(&self, hurry: bool) {
        self.draining.raise();
        self.ending.raise();
        let grace = if hurry { REAPING } else { CLOSING };
        if hurry {
            self.kill();
        }
        let Some(runtime) = self.runtime() else {
            return;
        };
        // Each begins at once.
        let mut closing: Vec<BoxFuture<usize>> = Vec::new();
        for gateway in self.servers.values() {
            if let Source::Own(pool) = &gateway.source {
                closing.push(Box::pin(pool.close_within(grace)));
            }
        }
        if let Some(pools) = &self.commons {
            closing.push(Box::pin(pools.close_within(grace)));
        }
        for closed in closing {
            closed.await;
        }
        // What is left is most likely a server that will not be initialised.
        self.kill();
        let too_late = runtime.sleep_until(runtime.now() + REAPING);
        let reaped = async {
            for gateway in self.servers.values() {
                gateway.record.roster.emptied().await;
            }
        };
        or(reaped, too_late).await;
    }

    fn kill(&self) {
        for gateway in self.servers.values() {
            gateway.record.roster.ids().into_iter().for_each(kill_group);
        }
    }

    fn runtime(&self) -> Option<Arc<dyn Runtime>> {
        let first = self.servers.values().next();
        first.map(|gateway| Arc::clone(gateway.source.runtime()))
    }

    /// `GET /status`: the pools in numbers.
    pub(crate) fn status(&self) -> Reply {
        if let Some(only) = self.servers.get("") {
            return Reply::json(200, &only.status());
        }
        let servers = self.servers.iter();
        let servers: Map<String, Value> = servers
            .map(|(name, gateway)| (name.clone(), gateway.status()))
            .collect();
        let shared = self.commons.as_ref().map(|pools| {
            let status = pools.total_status();
            status_json(Some(&status), status.max_size)
        });
        Reply::json(200, &json!({ "servers": servers, "shared": shared }))
    }

    /// `GET /healthz`: 200 if new requests to any server are likely to be answered, 503 if not.
    /// `name` asks for one server alone.
    pub(crate) fn health(&self, name: Option<&str>) -> Reply {
        let ending = self.draining.is_raised();
        let state = |gateway: &Gateway<P>| match () {
            () if ending => "ending",
            () if gateway.is_down() => "down",
            () if gateway.record.health.is_warming_up() => "starting",
            () => "ready",
        };
        let asked = self.servers.iter();
        let asked = asked.filter(|(other, _)| name.is_none_or(|name| name == *other));
        let states: Vec<_> = asked.map(|(name, one)| (name, state(one))).collect();
        if let (true, Some(name)) = (states.is_empty(), name) {
            return Reply::unknown(name);
        }
        let is = |wanted| states.iter().any(|&(_, state)| state == wanted);
        let (code, whole) = match () {
            () if ending => (503, "ending"),
            () if is("down") => (503, "down"),
            () if is("starting") => (503, "starting"),
            () => (200, "ready"),
        };
        let named = states.into_iter().filter(|(name, _)| !name.is_empty());
        let servers: Map<String, Value> = named
            .map(|(name, state)| (name.clone(), state.into()))
            .collect();
        Reply::json(code, &json!({ "status": whole, "servers": servers }))
    }
}

/// True if there is no such program, or nobody may run it. Whatever else is wrong with one server is
/// no matter of the others.
fn cannot_be_spawned(error: &AcquireError<Fault>) -> bool {
    let fault = error
        .connect_error()
        .and_then(|error| error.manager_error());
    fault.is_some_and(|fault| matches!(fault, Fault::Spawn { .. }) && fault.is_permanent())
}

fn named(name: &str, flaw: &str) -> String {
    match name {
        "" => flaw.to_owned(),
        name => format!("{name}: {flaw}"),
    }
}
