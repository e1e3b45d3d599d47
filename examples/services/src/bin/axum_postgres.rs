//! axum and PostgreSQL: a small bank. A transfer is a transaction; if its client hangs up in the middle of
//! it, the session comes back dirty, and is rolled back before anybody else gets it.
//!
//! ```sh
//! cargo run --features http --bin axum_postgres -- postgres://user:password@localhost/database
//! curl -X POST http://localhost:3000/transfer/alice/bob/10
//! curl -m 1 -X POST http://localhost:3000/transfer/alice/bob/10?slowly   # gives up: nothing is moved
//! curl http://localhost:3000/accounts
//! ```

use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use watertight::{AcquireError, Pool};
use watertight_services::net::Net;
use watertight_services::postgres::{Error, Postgres};
use watertight_services::{Outcome, url};

const ACCOUNTS: &str = "
    create table if not exists accounts (name text primary key, balance integer not null);
    insert into accounts values ('alice', 100), ('bob', 0) on conflict do nothing";
const UPDATE: &str = "update accounts set balance = balance + $2 where name = $1";

type Bank = State<Pool<Postgres>>;

#[tokio::main]
async fn main() -> Outcome {
    let url = url("postgres://user:password@localhost/database");
    let pool = Pool::builder(Postgres::new(&url, Net::Tokio)?)
        .max_size(4)
        .acquire_timeout(Duration::from_secs(2))
        .build()?;
    let mut session = pool.acquire().await?;
    session.client().batch_execute(ACCOUNTS).await?;
    drop(session);
    let routes = axum::Router::new()
        .route("/accounts", get(accounts))
        .route("/transfer/{from}/{to}/{amount}", post(transfer))
        .with_state(pool);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, routes).await?)
}

async fn accounts(State(pool): Bank) -> Result<String, Failure> {
    let all = "select name || ': ' || balance from accounts order by name";
    let rows = pool.acquire().await?.query(all, &[]).await?;
    let lines = rows.iter().map(|row| row.get::<_, String>(0) + "\n");
    Ok(lines.collect::<String>() + &format!("({})\n", pool.status()))
}

async fn transfer(
    State(pool): Bank,
    Path((from, to, amount)): Path<(String, String, i32)>,
    RawQuery(query): RawQuery,
) -> Result<&'static str, Failure> {
    let mut session = pool.acquire().await?;
    let transaction = session.transaction().await?;
    for (name, change) in [(from, -amount), (to, amount)] {
        if transaction.execute(UPDATE, &[&name, &change]).await? == 0 {
            // Nobody has committed what was done so far, so it is undone.
            return Err(Failure(StatusCode::NOT_FOUND, format!("who is {name}?\n")));
        }
        if query.as_deref() == Some("slowly") {
            transaction.batch_execute("select pg_sleep(10)").await?;
        }
    }
    transaction.commit().await?;
    Ok("done\n")
}

struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<AcquireError<Error>> for Failure {
    fn from(error: AcquireError<Error>) -> Self {
        Failure(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}\n"))
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::from(error).into()
    }
}
