//! The gateway behind axum.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::timeout;
use tracing::{Instrument, debug, info_span, warn};

use crate::child::Server;
use crate::stdio::{self, BODY_LIMIT, Head, Reply, Visitors};

type Fleet = Arc<stdio::Fleet<Server>>;

/// The routes of the gateway. A client may take as long as `patience` to send the body of a request.
pub(crate) fn router(fleet: Fleet, exporter: PrometheusHandle, patience: Duration) -> Router {
    let mcp = move |fleet: State<Fleet>, name: Name, request: Request| {
        mcp(fleet, name, request, patience)
    };
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/charts.js", get(charts))
        .route("/mcp", post(mcp).delete(end_session))
        .route("/mcp/{name}", post(mcp).delete(end_session))
        .route("/test", get(test))
        .route("/test/{name}", get(test))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .merge(watching(exporter))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&fleet.visitors),
            admit,
        ))
        .with_state(fleet)
}

/// The routes for the operator, on an address of their own. It is served for as long as requests are
/// in progress, when nobody else is let in any more.
pub(crate) fn admin(fleet: Fleet, exporter: PrometheusHandle) -> Router {
    Router::new()
        .route("/admin/{action}", post(operate))
        .route("/admin/{name}/{action}", post(operate_named))
        .merge(watching(exporter))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&fleet.operators),
            admit,
        ))
        .with_state(fleet)
}

fn watching(exporter: PrometheusHandle) -> Router<Fleet> {
    Router::new()
        .route("/metrics", get(|| async move { exporter.render() }))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/healthz", get(health))
        .route("/healthz/{name}", get(health))
        .route("/status", get(status))
}

/// Turns away whom it must, and logs the others.
async fn admit(State(visitors): State<Arc<Visitors>>, request: Request, next: Next) -> Response {
    let refused = visitors.refuse(|name| request.headers().get(name).map(HeaderValue::as_bytes));
    let span = info_span!("request", method = %request.method(), path = request.uri().path());
    let begun = Instant::now();
    let answered = async {
        let response = match refused {
            Some(reply) => reply.into_response(),
            None => next.run(request).await,
        };
        let (status, seconds) = (response.status().as_u16(), begun.elapsed().as_secs_f64());
        match response.status().is_server_error() {
            true => warn!(status, seconds, "not answered"),
            false => debug!(status, seconds, "answered"),
        }
        response
    };
    answered.instrument(span).await
}

async fn operate(State(fleet): State<Fleet>, Path(action): Path<String>) -> Result<Reply, Reply> {
    Ok(fleet.find("")?.operate(&action).await)
}

async fn operate_named(
    State(fleet): State<Fleet>,
    Path((name, action)): Path<(String, String)>,
) -> Result<Reply, Reply> {
    Ok(fleet.find(&name)?.operate(&action).await)
}

/// The name in the path; the empty one if there is none.
type Name = Option<Path<String>>;

fn named(name: Name) -> String {
    name.map(|Path(name)| name).unwrap_or_default()
}

async fn mcp(
    State(fleet): State<Fleet>,
    name: Name,
    request: Request,
    patience: Duration,
) -> Result<Reply, Reply> {
    let server = fleet.find(&named(name))?;
    let headers = request.headers().clone();
    let body = timeout(patience, Bytes::from_request(request, &())).await;
    Ok(match body.map_err(|_| Reply::too_slow())? {
        Ok(body) => server.post(&head(&headers), &body).await,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Reply::too_large(),
        Err(_) => Reply::cut_short(),
    })
}

async fn end_session(
    State(fleet): State<Fleet>,
    name: Name,
    headers: HeaderMap,
) -> Result<Reply, Reply> {
    Ok(fleet.find(&named(name))?.end_session(&head(&headers)))
}

fn head(headers: &HeaderMap) -> Head<'_> {
    Head::read(|name| {
        let values = headers.get_all(name).iter();
        values.map(HeaderValue::as_bytes).collect()
    })
}

async fn charts() -> impl IntoResponse {
    let script = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (script, include_str!("charts.js"))
}

async fn test(State(fleet): State<Fleet>, name: Name) -> Result<Reply, Reply> {
    Ok(fleet.find(&named(name))?.test().await)
}

async fn status(State(fleet): State<Fleet>) -> Reply {
    fleet.status()
}

async fn health(State(fleet): State<Fleet>, name: Name) -> Reply {
    fleet.health(name.as_ref().map(|Path(name)| &name[..]))
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let has_body = !self.body.is_empty();
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if has_body {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

#[cfg(all(test, unix))]
mod tests;
