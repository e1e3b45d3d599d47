//! An HTTP service on smol, with sessions of a PostgreSQL: it counts who comes. No tokio runtime.
//!
//! ```sh
//! cargo run --features http --bin smol_http -- postgres://user:password@localhost/database
//! curl http://localhost:3001/visits/alice
//! curl http://localhost:3001/pool
//! ```

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use smol::net::TcpListener;
use smol_hyper::rt::{FuturesIo, SmolTimer};
use watertight::{Pool, SmolRuntime};
use watertight_services::net::Net;
use watertight_services::postgres::Postgres;
use watertight_services::{Outcome, url};

const VISITS: &str =
    "create table if not exists visits (name text primary key, number bigint not null)";
const VISIT: &str = "insert into visits as old values ($1, 1)
    on conflict (name) do update set number = old.number + 1 returning number";

fn main() -> Outcome {
    let url = url("postgres://user:password@localhost/database");
    smol::block_on(async {
        let pool = Pool::builder(Postgres::new(&url, Net::Smol)?)
            .max_size(4)
            .acquire_timeout(Duration::from_secs(2))
            .runtime(SmolRuntime::new())
            .build()?;
        pool.acquire().await?.query(VISITS, &[]).await?;
        let listener = TcpListener::bind("127.0.0.1:3001").await?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            let pool = pool.clone();
            let serve = http1::Builder::new()
                .timer(SmolTimer::new())
                .serve_connection(
                    FuturesIo::new(stream),
                    service_fn(move |request| answer(pool.clone(), request)),
                );
            smol::spawn(async move {
                if let Err(error) = serve.await {
                    eprintln!("a client: {error}");
                }
            })
            .detach();
        }
    })
}

async fn answer(
    pool: Pool<Postgres>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match request.uri().path().split('/').collect::<Vec<_>>()[..] {
        ["", "pool"] => (StatusCode::OK, pool.status().to_string()),
        ["", "visits", name] => visit(&pool, name).await,
        _ => (
            StatusCode::NOT_FOUND,
            "there is /visits/name and /pool".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text + "\n")));
    *response.status_mut() = status;
    Ok(response)
}

async fn visit(pool: &Pool<Postgres>, name: &str) -> (StatusCode, String) {
    let mut session = match pool.acquire().await {
        Ok(session) => session,
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    match session.query_one(VISIT, &[&name]).await {
        Ok(row) => (StatusCode::OK, format!("{name}: {}", row.get::<_, i64>(0))),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")),
    }
}
