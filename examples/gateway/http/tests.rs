//! The routes, in front of servers that are shell scripts.

#![allow(clippy::unwrap_used)]

mod limits;
mod operating;
mod processes;
mod serving;
mod starting;
mod talker;
mod transport;

use axum::http::Request;
use axum::http::response::Parts;
use clap::Parser;
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tower::ServiceExt;
use watertight::Observer;

use super::*;
use crate::stdio::{Options, Visitors};

/// Answers whatever it is asked with what it was started with, once it has done that.
const SERVER: &str = r#"
eval "${FIRST:-:}"
while read -r line; do
    case "$line" in *'"id":'*)
        id=${line#*'"id":'}
        echo '{"jsonrpc":"2.0","id":'"${id%%,*}"',"result":'"${RESULT:-{\}}"'}'
    esac
done"#;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_millis(300);

struct Nobody;

impl Observer for Nobody {}

fn build(options: &Options) -> Fleet {
    let visitors = Visitors::new(&options.allow_host, true);
    let fleet = stdio::Fleet::new(options.plan().unwrap(), visitors, |_| Nobody);
    Arc::new(fleet.unwrap())
}

/// A gateway to one server.
fn fleet() -> Fleet {
    let line = ["gateway", "--max", "2", "--", "sh", "-c", SERVER];
    build(&Options::parse_from(line))
}

/// A gateway with this file, in which SERVER stands for the script. Whoever calls it from the same
/// test gives it another `name`.
fn fleet_of(name: &str, file: &str) -> Fleet {
    let name = format!("gateway-{}-{name}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    let script = format!("command = 'sh'\nargs = ['-c', '''{SERVER}''']");
    std::fs::write(&path, file.replace("SERVER", &script)).unwrap();
    let line = ["gateway", "--config", path.to_str().unwrap()];
    let fleet = build(&Options::parse_from(line));
    std::fs::remove_file(&path).unwrap();
    fleet
}

fn exporter() -> PrometheusHandle {
    PrometheusBuilder::new().build_recorder().handle()
}

fn clients(fleet: &Fleet) -> Router {
    router(Arc::clone(fleet), exporter(), PATIENCE)
}

fn operator(fleet: &Fleet) -> Router {
    admin(Arc::clone(fleet), exporter())
}

/// Sends a request and returns all of the answer.
async fn exchange(
    router: Router,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (Parts, Vec<u8>) {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (head, body) = router.oneshot(request).await.unwrap().into_parts();
    (head, body.collect().await.unwrap().to_bytes().to_vec())
}

/// Sends a request, and returns the status and the answer.
async fn send(router: Router, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let (head, body) = exchange(router, line, headers, body).await;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    (head.status.as_u16(), body)
}

async fn test(fleet: Fleet) -> (u16, Value) {
    send(clients(&fleet), "GET /test", &[], "").await
}
