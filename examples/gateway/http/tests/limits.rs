//! What a client can use up.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::*;

const PING: &str = r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#;

/// As many pings in one body.
fn pings(count: usize) -> String {
    format!("[{}]", vec![PING; count].join(","))
}

async fn post(fleet: Fleet, body: String) -> (u16, Value) {
    let answer = send(clients(&fleet), "POST /mcp/a", &[], &body);
    timeout(Duration::from_secs(20), answer).await.unwrap()
}

/// A body of which there is always more to come, and never does.
struct Stalled;

impl hyper::body::Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_client_has_a_limit_to_its_time() {
    let fleet = fleet();
    let request = Request::post("/mcp").body(Body::new(Stalled)).unwrap();
    let answer = timeout(Duration::from_secs(5), clients(&fleet).oneshot(request)).await;
    let answer = answer.expect("it is not waited for").unwrap();
    assert_eq!(answer.status(), 408);
    fleet.close(false).await;
}

#[tokio::test]
async fn a_batch_has_a_limit_to_its_messages() {
    let fleet = fleet_of("messages", "[servers.a]\nSERVER\n");
    let (code, answers) = post(Arc::clone(&fleet), pings(100)).await;
    assert_eq!((code, answers.as_array().unwrap().len()), (200, 100));
    let (code, answer) = post(Arc::clone(&fleet), pings(101)).await;
    assert_eq!((code, &answer["error"]["code"]), (400, &(-32600).into()));
    fleet.close(false).await;
}

#[tokio::test]
async fn a_batch_has_a_limit_to_its_time() {
    // It makes its result anew for each message.
    let script = SERVER.replace("${RESULT:-{\\}}", "$(sleep 0.5; echo 1)");
    assert_ne!(script, SERVER);
    let server = format!("[servers.a]\ncommand = 'sh'\nargs = ['-c', '''{script}''']\n");
    let file = format!("request_timeout = '2s'\n{server}");
    let fleet = fleet_of("time", &file);
    fleet.warm_up(drop).await.unwrap();
    let begun = Instant::now();
    let (code, answers) = post(Arc::clone(&fleet), pings(10)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((code, answers.as_array().unwrap().len()), (200, 10));
    assert_eq!(answers[0]["result"], 1);
    assert_eq!(answers[9]["error"]["code"], -32000);
    fleet.close(false).await;
}

#[tokio::test]
async fn a_batch_has_a_limit_to_its_answer() {
    let file = "
[servers.a]
SERVER
env.FIRST = '''RESULT=\"\\\"$(head -c 1500000 /dev/zero | tr '\\0' x)\\\"\"'''
";
    let fleet = fleet_of("answer", file);
    let (code, answers) = post(Arc::clone(&fleet), pings(10)).await;
    let answers = answers.as_array().unwrap();
    assert_eq!((code, answers.len()), (200, 10));
    let large = answers.iter().filter(|one| one["result"].is_string());
    assert_eq!(large.count(), 2, "those that fit into 4 MiB");
    assert_eq!(answers[9]["error"]["code"], -32000);
    let (_, status) = send(clients(&fleet), "GET /status", &[], "").await;
    let acquires = &status["servers"]["a"]["statistics"]["acquires"];
    assert_eq!(acquires, 3, "the others are not even asked");
    fleet.close(false).await;
}
