//! An HTTP gateway to stdio servers: a pool of child processes that speak JSON-RPC 2.0 over their
//! standard input and output, as servers of the Model Context Protocol do.
//!
//! ```text
//! cargo run --release --features metrics --example gateway
//! curl http://localhost:8080/test
//! ```
//!
//! starts it with a small server of its own, and
//!
//! ```text
//! cargo run --release --features metrics --example gateway -- --max 8 -- some-server its arguments
//! ```
//!
//! with any other. `POST /mcp` takes one JSON-RPC request, `GET /status` tells how the pool is,
//! `GET /metrics` does so for Prometheus, and `GET /` shows it. With `--admin 127.0.0.1:8081` there
//! is a second address, on which `POST /admin/pause`, `/admin/resume` and `/admin/reset` are for
//! whoever operates it.

mod child;
mod http;
mod metrics;
mod shutdown;
mod stdio;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::child::Server;
use crate::stdio::{Gateway, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = if options.stdio_server {
        stdio::serve_stdio().map_err(Into::into)
    } else {
        run(&options)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
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
    let (metrics, exporter) = metrics::install()?;
    let gateway = Gateway::<Server>::new(options, options.command_line()?, |pool| {
        pool.observer(metrics)
    })?;
    let gateway = Arc::new(gateway);
    let outcome = serve(listener, admin, &gateway, exporter, options).await;
    gateway.close().await;
    outcome
}

async fn serve(
    listener: TcpListener,
    admin: Option<TcpListener>,
    gateway: &Arc<Gateway<Server>>,
    exporter: PrometheusHandle,
    options: &Options,
) -> Result<(), Box<dyn Error>> {
    let stop = shutdown::signals()?;
    tokio::select! {
        warm = gateway.warm_up() => warm?,
        () = stop.requested() => return Ok(()),
    }
    if let Some(admin) = &admin {
        println!("administration on http://{}", admin.local_addr()?);
    }
    println!("listening on http://{}", listener.local_addr()?);
    let draining = stop.clone();
    let serving = axum::serve(listener, http::router(Arc::clone(gateway), exporter))
        .with_graceful_shutdown(async move { draining.requested().await });
    tokio::select! {
        served = serving => served?,
        served = administer(admin, gateway) => served?,
        () = stop.patience_ends(options.drain_timeout) => {
            eprintln!("requests are still in progress; ending all the same");
        }
    }
    Ok(())
}

/// Serves the operator for as long as the others are served.
async fn administer(admin: Option<TcpListener>, gateway: &Arc<Gateway<Server>>) -> io::Result<()> {
    match admin {
        Some(admin) => axum::serve(admin, http::admin(Arc::clone(gateway))).await,
        None => std::future::pending().await,
    }
}
