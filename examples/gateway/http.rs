//! The gateway behind axum.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::child::Server;
use crate::stdio::{self, BODY_LIMIT, Reply};

type Gateway = Arc<stdio::Gateway<Server>>;

/// The routes of the gateway.
pub(crate) fn router(gateway: Gateway, exporter: PrometheusHandle) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/charts.js", get(charts))
        .route("/metrics", get(|| async move { exporter.render() }))
        .route("/mcp", post(mcp))
        .route("/test", get(test))
        .route("/status", get(status))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(gateway)
}

/// The routes for the operator, on an address of their own.
pub(crate) fn admin(gateway: Gateway) -> Router {
    Router::new()
        .route("/admin/{action}", post(operate))
        .with_state(gateway)
}

async fn operate(
    State(gateway): State<Gateway>,
    Path(action): Path<String>,
    headers: HeaderMap,
) -> Reply {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes());
    gateway.operate(origin, &action).await
}

async fn mcp(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes());
    match body {
        Ok(body) => gateway.post(origin, &body).await,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Reply::too_large(),
        Err(_) => Reply::cut_short(),
    }
}

async fn charts() -> impl IntoResponse {
    let script = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (script, include_str!("charts.js"))
}

async fn test(State(gateway): State<Gateway>) -> Reply {
    gateway.test().await
}

async fn status(State(gateway): State<Gateway>) -> Reply {
    gateway.status()
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let json = header::HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(all(test, unix))]
mod tests;
