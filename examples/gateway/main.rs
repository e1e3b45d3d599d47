//! An HTTP gateway to stdio servers: pools of child processes that speak JSON-RPC 2.0 over their
//! standard input and output, as servers of the Model Context Protocol do.
//!
//! ```text
//! cargo run --release --features metrics --example gateway
//! curl http://localhost:8080/test
//! ```
//!
//! starts it with a small server of its own,
//!
//! ```text
//! cargo run --release --features metrics --example gateway -- --max 8 -- some-server its arguments
//! ```
//!
//! with any other, and `--config FILE` with several, each in a pool of its own or all under one
//! limit.
//!
//! `POST /mcp`, or `/mcp/NAME` with several, takes one message, by the protocol's streamable HTTP
//! transport without its streams. `GET /healthz` is for a load balancer, `/livez` for a supervisor,
//! `/metrics` for Prometheus, `/status` for scripts and `/` for people. With `--admin
//! 127.0.0.1:8081` there is a second address, on which `POST /admin/pause`, `/admin/resume` and
//! `/admin/reset` are for whoever operates it.
//!
//! `docs/gateway.md` has the whole of it: the file, what every address answers, and how to run it as
//! a service.

mod child;
mod cli;
mod connections;
mod http;
mod log;
mod metrics;
mod shutdown;
mod stdio;
mod systemd;

use std::error::Error;
use std::future::pending;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use clap::Parser;
use tokio::net::TcpListener;
use tracing::{error, info, warn};
use watertight::PoolMetrics;

use crate::child::Server;
use crate::cli::Cli;
use crate::connections::Limits;
use crate::shutdown::Shutdown;
use crate::stdio::{Fleet, Visitors};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let log = log::init(cli.log_format, cli.log_level);
    if let Err(error) = &log {
        stdio::complain(format_args!("gateway: cannot log: {error}"));
    }
    let outcome = if cli.options.stdio_server {
        stdio::serve_stdio().map_err(Into::into)
    } else {
        run(&cli)
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    };
    // What was logged last is written before the end.
    drop(log);
    code
}

#[tokio::main]
async fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let options = &cli.options;
    let plan = options.plan()?;
    let listener = listen(&options.listen).await?;
    let admin = match options.admin {
        Some(address) => Some(listen(&address.to_string()).await?),
        None => None,
    };
    // Up to here, nothing is lost if a signal ends it all.
    let stop = shutdown::signals()?;
    let exporter = metrics::install()?;
    let visitors = Visitors::new(&options.allow_host, is_private(listener.local_addr()?));
    let fleet = Arc::new(Fleet::<Server>::new(plan, visitors, |name| {
        PoolMetrics::new(name)
    })?);
    let patience = options.client_timeout;
    let clients = http::router(Arc::clone(&fleet), exporter.clone(), patience);
    let operator = http::admin(Arc::clone(&fleet), exporter);
    let graceful = async {
        let served = serve((listener, clients), (admin, operator), &fleet, &stop, cli).await;
        systemd::stopping();
        fleet.close(false).await;
        served
    };
    let ended = tokio::select! {
        ended = graceful => ended,
        () = stop.hurried() => {
            systemd::stopping();
            fleet.close(true).await;
            Err("ended at once, as asked; requests may have been lost".into())
        }
    };
    info!("ended");
    ended
}

async fn listen(address: &str) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| format!("cannot listen on {address}: {error}"))
}

fn is_private(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

async fn serve(
    (listener, clients): (TcpListener, Router),
    (admin, operator): (Option<TcpListener>, Router),
    fleet: &Fleet<Server>,
    stop: &Shutdown,
    cli: &Cli,
) -> Result<(), Box<dyn Error>> {
    // Those that are ready are served while others still start.
    let warm = fleet.warm_up(|flaw| warn!("{flaw}; trying again"));
    if let Some(admin) = &admin {
        let address = admin.local_addr()?;
        stdio::say(format_args!("administration on http://{address}"));
    }
    let address = listener.local_addr()?;
    stdio::say(format_args!("listening on http://{address}"));
    systemd::ready();
    info!(%address, "serving");
    let delay = cli.shutdown_delay;
    let patience = cli.options.shutdown_timeout;
    let limits = Limits {
        connections: cli.options.max_connections.get(),
        patience: cli.options.client_timeout,
    };
    let serving = connections::serve(listener, clients, limits, async {
        stop.requested().await;
        tokio::time::sleep(delay).await;
    });
    // The operator is served for as long as the others are.
    let administering = async {
        match admin {
            Some(admin) => connections::serve(admin, operator, limits, pending()).await,
            None => pending().await,
        }
    };
    let too_late = async {
        stop.requested().await;
        info!("ending; once more to hurry");
        systemd::stopping();
        fleet.drain();
        tokio::time::sleep(delay.saturating_add(patience)).await;
    };
    let no_way = async {
        match warm.await {
            Err(flaw) => flaw,
            Ok(()) => pending().await,
        }
    };
    tokio::select! {
        () = serving => {}
        () = administering => {}
        () = too_late => warn!("requests are still in progress; ending all the same"),
        flaw = no_way => return Err(flaw.into()),
    }
    Ok(())
}
