//! The service: two routes, the same for every pool.

use std::io::Write;
use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::pools::{Accounts, Bb8, Deadpool, Failure, Watertight};

/// How many accounts there are, numbered from 0.
pub const ACCOUNTS: i32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// watertight and the manager of `examples/services`
    Watertight,
    /// deadpool-postgres
    Deadpool,
    /// bb8-postgres
    Bb8,
    /// bb8-postgres without its check at each loan
    Bb8Unchecked,
}

#[derive(Args, Debug)]
pub struct Options {
    /// The pool
    #[arg(long, value_enum)]
    pub pool: Subject,
    /// How many sessions with the server it may have
    #[arg(long, default_value_t = 8)]
    pub connections: u16,
    /// End when the standard input ends
    #[arg(long)]
    pub until_eof: bool,
    /// Where the accounts are: postgres://user@host:port/database
    pub url: String,
}

/// Serves on a free port of the loopback interface, and says on which.
#[tokio::main]
pub async fn run(options: &Options) -> Result<(), Failure> {
    let size = options.connections;
    let url = &options.url;
    let routes = match options.pool {
        Subject::Watertight => routes(Watertight::new(url, size.into())?),
        Subject::Deadpool => routes(Deadpool::new(url, size.into())?),
        Subject::Bb8 => routes(Bb8::new(url, size.into()).await?),
        Subject::Bb8Unchecked => routes(Bb8::unchecked(url, size.into()).await?),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let eof = end_of_input(options.until_eof);
    Ok(axum::serve(listener, routes)
        .with_graceful_shutdown(eof)
        .await?)
}

async fn end_of_input(matters: bool) {
    if !matters {
        std::future::pending::<()>().await;
    }
    let mut input = tokio::io::stdin();
    while input
        .read(&mut [0; 64])
        .await
        .is_ok_and(|length| length > 0)
    {}
}

fn routes<A: Accounts>(accounts: A) -> Router {
    Router::new()
        .route("/read", get(read::<A>))
        .route("/write", get(write::<A>))
        .with_state(accounts)
}

type Reply = Result<String, (StatusCode, String)>;

async fn read<A: Accounts>(State(accounts): State<A>) -> Reply {
    let outcome = accounts.read(anybody()).await;
    outcome.map(|balance| balance.to_string()).map_err(refuse)
}

async fn write<A: Accounts>(State(accounts): State<A>) -> Reply {
    match accounts.write(anybody()).await {
        Ok(1) => Ok("done".to_owned()),
        Ok(rows) => Err(refuse(format!("{rows} rows have changed").into())),
        Err(error) => Err(refuse(error)),
    }
}

/// The service draws the account, so that the load generator has nothing to compute.
fn anybody() -> i32 {
    fastrand::i32(0..ACCOUNTS)
}

fn refuse(error: Failure) -> (StatusCode, String) {
    eprintln!("{error}");
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
