//! Testing a service of your own: does it answer 503 within its deadline when the pool is
//! exhausted? On the virtual clock that takes no time, and the answer is exact.
//!
//! ```text
//! cargo run --example testing
//! cargo test --example testing --features test-util
//! ```
//!
//! The service is axum's, but nothing here opens a socket or starts a runtime: a router is a
//! function of a request, and so is the pool's manager one of the test's.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use tower::ServiceExt;
use watertight::{Manager, Pool, VirtualRuntime};

/// How long a request may wait for a database session.
const PATIENCE: Duration = Duration::from_millis(250);

/// The code under test: it does not know that it is being tested.
fn service<M: Manager>(pool: Pool<M>) -> Router {
    Router::new().route("/", get(answer::<M>)).with_state(pool)
}

async fn answer<M: Manager>(State(pool): State<Pool<M>>) -> (StatusCode, String) {
    match pool.acquire_timeout(PATIENCE).await {
        Ok(_session) => (StatusCode::OK, "here you are".into()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

async fn ask(service: &Router) -> StatusCode {
    let request = Request::new(Body::empty());
    match service.clone().oneshot(request).await {
        Ok(response) => response.status(),
        Err(never) => match never {},
    }
}

/// The test: half a second of the service's life.
fn exhausted_pool_is_reported_in_time() -> Result<(), watertight::BuildError> {
    let runtime = VirtualRuntime::new();
    let clock = runtime.clone();
    let connect = move || {
        let slowly = clock.sleep(Duration::from_millis(40));
        async move {
            slowly.await;
            Ok::<_, std::io::Error>("session")
        }
    };
    let pool = Pool::from_fn(connect)
        .max_size(1)
        .runtime(runtime.clone())
        .build()?;
    let service = service(pool.clone());

    runtime.block_on(async {
        assert_eq!(ask(&service).await, StatusCode::OK);
        assert_eq!(runtime.elapsed(), Duration::from_millis(40), "one connect");

        let held = pool.acquire().await;
        let asked = runtime.elapsed();
        assert_eq!(ask(&service).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(runtime.elapsed() - asked, PATIENCE, "to the nanosecond");

        let late = async {
            runtime.sleep(PATIENCE - Duration::from_nanos(1)).await;
            drop(held);
        };
        let (answer, ()) = futures_lite::future::zip(ask(&service), late).await;
        assert_eq!(answer, StatusCode::OK, "at the last moment");

        pool.close().await;
    });
    runtime.settle();
    assert_eq!(runtime.tasks() + runtime.timers(), 0, "nothing is left");
    Ok(())
}

fn main() -> Result<(), watertight::BuildError> {
    exhausted_pool_is_reported_in_time()?; // the first time also warms the caches
    let start = Instant::now();
    exhausted_pool_is_reported_in_time()?;
    println!("half a second of virtual time took {:?}", start.elapsed());
    Ok(())
}

#[test]
fn service_answers_503_in_time_when_its_pool_is_exhausted() -> Result<(), watertight::BuildError> {
    exhausted_pool_is_reported_in_time()
}
