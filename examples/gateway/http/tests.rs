//! The routes, in front of servers that are shell scripts.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use axum::http::Request;
use clap::Parser;
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use super::*;
use crate::stdio::Options;

/// Answers whatever it is asked with nothing.
const SERVER: &str = r#"
while read -r line; do
    case "$line" in *'"id":'*)
        id=${line#*'"id":'}
        echo '{"jsonrpc":"2.0","id":'"${id%%,*}"',"result":{}}'
    esac
done"#;

fn gateway() -> Gateway {
    let line = ["gateway", "--max", "2", "--", "sh", "-c", SERVER];
    let options = Options::parse_from(line);
    let command = options.command_line().unwrap();
    Arc::new(stdio::Gateway::new(&options, command, |pool| pool).unwrap())
}

fn clients(gateway: &Gateway) -> Router {
    let nothing = PrometheusBuilder::new().build_recorder().handle();
    router(Arc::clone(gateway), nothing)
}

async fn send(router: Router, method: &str, path: &str, origin: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = match origin {
        "" => request,
        origin => request.header(header::ORIGIN, origin),
    };
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await;
    let response = response.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn operate(gateway: &Gateway, action: &str) -> (u16, Value) {
    let path = format!("/admin/{action}");
    send(admin(Arc::clone(gateway)), "POST", &path, "").await
}

async fn test(gateway: Gateway) -> (u16, Value) {
    send(clients(&gateway), "GET", "/test", "").await
}

#[tokio::test]
async fn paused_gateway_answers_once_it_is_resumed() {
    let gateway = gateway();
    assert_eq!(test(Arc::clone(&gateway)).await.0, 200);
    let (code, status) = operate(&gateway, "pause").await;
    assert_eq!(
        (code, &status["paused"], &status["in_use"]),
        (200, &true.into(), &0.into())
    );
    let mut waiting = tokio::spawn(test(Arc::clone(&gateway)));
    let early = timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "answered while paused");
    let (code, status) = operate(&gateway, "resume").await;
    assert_eq!((code, &status["paused"]), (200, &false.into()));
    assert_eq!(waiting.await.unwrap().0, 200);
    gateway.close().await;
}

#[tokio::test]
async fn reset_replaces_the_servers() {
    let gateway = gateway();
    let before = test(Arc::clone(&gateway)).await.1["pid"].clone();
    assert_eq!(test(Arc::clone(&gateway)).await.1["pid"], before);
    assert_eq!(operate(&gateway, "reset").await.0, 200);
    let (_, status) = send(clients(&gateway), "GET", "/status", "").await;
    let children = status["children"].as_array().unwrap();
    assert!(
        !children.contains(&before),
        "{before} is among {children:?}"
    );
    let (code, after) = test(Arc::clone(&gateway)).await;
    assert_eq!(code, 200);
    assert_ne!(after["pid"], before);
    gateway.close().await;
}

#[tokio::test]
async fn only_the_operator_operates() {
    let gateway = gateway();
    let at_door = async |router, method, path, origin| send(router, method, path, origin).await.0;
    let (clients, operator) = (clients(&gateway), admin(Arc::clone(&gateway)));
    let page = "http://example.com";
    for (router, method, path, origin, code) in [
        (&clients, "POST", "/admin/pause", "", 404),
        (&operator, "POST", "/admin/pause", page, 403),
        (&operator, "GET", "/admin/pause", "", 405),
        (&operator, "POST", "/admin/stop", "", 404),
        (&operator, "GET", "/status", "", 404),
    ] {
        let answer = at_door(router.clone(), method, path, origin).await;
        assert_eq!(answer, code, "{method} {path} {origin}");
    }
    let (_, status) = send(clients, "GET", "/status", "").await;
    assert_eq!(status["status"]["paused"], false);
    let page = "http://localhost:8080";
    assert_eq!(at_door(operator, "POST", "/admin/pause", page).await, 200);
    gateway.close().await;
}
