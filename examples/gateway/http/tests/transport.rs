//! The streamable HTTP transport of the Model Context Protocol, as far as it is offered.

use super::*;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{
    "protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#;
const SESSION: &str = "mcp-session-id";
const REVISION: &str = "mcp-protocol-version";

/// A gateway to a server that agreed on this revision.
fn speaking(name: &str, revision: &str) -> Fleet {
    let result = format!("{{\"protocolVersion\":\"{revision}\"}}");
    fleet_of(
        name,
        &format!("[servers.a]\nSERVER\nenv.RESULT = '{result}'\n"),
    )
}

async fn post(fleet: &Fleet, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    send(clients(fleet), "POST /mcp/a", headers, body).await
}

/// Begins a session and returns its token.
async fn initialize(fleet: &Fleet) -> String {
    let (head, body) = exchange(clients(fleet), "POST /mcp/a", &[], INITIALIZE).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-type"], "application/json");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["id"], 1);
    let token = head.headers[SESSION].to_str().unwrap();
    assert!(token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_graphic()));
    token.to_owned()
}

#[tokio::test]
async fn a_session_is_given_accepted_and_ended() {
    let fleet = speaking("session", "2025-06-18");
    let (token, other) = (initialize(&fleet).await, initialize(&fleet).await);
    assert_ne!(token, other);
    let with = [(SESSION, &token[..])];
    assert_eq!(post(&fleet, &with, INITIALIZED).await.0, 202);
    assert_eq!(post(&fleet, &with, PING).await.0, 200);
    assert_eq!(
        post(&fleet, &[], PING).await.0,
        200,
        "nothing depends on it"
    );

    let delete = async |headers| send(clients(&fleet), "DELETE /mcp/a", headers, "").await.0;
    assert_eq!(delete(&[]).await, 400);
    assert_eq!(delete(&with).await, 204);
    assert_eq!(delete(&with).await, 404);
    for body in [PING, INITIALIZED, ANSWER, "[]"] {
        let (code, answer) = post(&fleet, &with, body).await;
        assert_eq!(
            (code, &answer["error"]["code"]),
            (404, &(-32001).into()),
            "{body}"
        );
    }
    assert_eq!(post(&fleet, &[(SESSION, "made up")], PING).await.0, 404);
    assert_eq!(post(&fleet, &[(SESSION, &other[..])], PING).await.0, 200);
    assert_eq!(
        post(&fleet, &with, INITIALIZE).await.0,
        200,
        "this begins another"
    );
    fleet.close(false).await;
}

#[tokio::test]
async fn a_session_is_with_one_server_only() {
    let fleet = fleet_of("sessions", "[servers.a]\nSERVER\n[servers.b]\nSERVER\n");
    let token = initialize(&fleet).await;
    let with = [(SESSION, &token[..])];
    assert_eq!(
        send(clients(&fleet), "POST /mcp/b", &with, PING).await.0,
        404
    );
    assert_eq!(post(&fleet, &with, PING).await.0, 200);
    fleet.close(false).await;
}

#[tokio::test]
async fn an_unknown_revision_is_a_bad_request() {
    let fleet = speaking("revision", "2025-06-18");
    for (revision, code) in [
        ("2025-06-18", 200),
        ("2025-03-26", 200),
        ("2024-11-05", 200),
        ("2031-01-01", 400),
        ("latest", 400),
    ] {
        for body in [PING, INITIALIZE] {
            let answer = post(&fleet, &[(REVISION, revision)], body).await;
            assert_eq!(answer.0, code, "{revision} {body}");
        }
        let token = initialize(&fleet).await;
        let headers = [(REVISION, revision), (SESSION, &token[..])];
        let ended = send(clients(&fleet), "DELETE /mcp/a", &headers, "").await.0;
        assert_eq!(ended, if code == 200 { 204 } else { 400 }, "{revision}");
    }
    fleet.close(false).await;
}

#[tokio::test]
async fn notifications_and_answers_are_accepted_without_a_body() {
    let fleet = fleet();
    for body in [INITIALIZED, ANSWER] {
        let (head, text) = exchange(clients(&fleet), "POST /mcp", &[], body).await;
        assert_eq!((head.status.as_u16(), &text[..]), (202, &b""[..]), "{body}");
        assert!(!head.headers.contains_key("content-type"));
    }
    fleet.close(false).await;
}

#[tokio::test]
async fn streams_are_not_offered() {
    let fleet = speaking("streams", "2025-06-18");
    for line in ["GET /mcp/a", "PUT /mcp/a", "GET /mcp"] {
        let accept = [("accept", "text/event-stream")];
        let (head, _) = exchange(clients(&fleet), line, &accept, "").await;
        assert_eq!(head.status, 405, "{line}");
        assert_eq!(head.headers["allow"], "POST,DELETE", "{line}");
    }
    let only_streams = [("accept", "text/event-stream")];
    assert_eq!(post(&fleet, &only_streams, PING).await.0, 406);
    let both = [("accept", "application/json, text/event-stream")];
    assert_eq!(post(&fleet, &both, PING).await.0, 200);
    fleet.close(false).await;
}

const BATCH: &str = r#"[
    {"jsonrpc":"2.0","id":1,"method":"ping"}, {"jsonrpc":"2.0","method":"n"}, 7,
    {"jsonrpc":"2.0","id":"i","method":"initialize"}, {"jsonrpc":"2.0","id":2,"method":"ping"}]"#;

#[tokio::test]
async fn batches_are_for_the_revision_that_has_them() {
    let fleet = speaking("batches", "2025-06-18");
    // Who does not say, speaks the one before.
    for headers in [&[][..], &[(REVISION, "2025-03-26")]] {
        let (code, answers) = post(&fleet, headers, BATCH).await;
        assert_eq!(code, 200);
        let answers = answers.as_array().unwrap();
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
        assert_eq!(ids, [1.into(), Value::Null, "i".into(), 2.into()]);
        assert!(answers[0]["result"].is_object() && answers[3]["result"].is_object());
        for wrong in &answers[1..3] {
            assert_eq!(wrong["error"]["code"], -32600);
        }
    }
    let (code, answer) = post(&fleet, &[(REVISION, "2025-06-18")], BATCH).await;
    assert_eq!((code, &answer["error"]["code"]), (400, &(-32600).into()));
    let token = initialize(&fleet).await;
    let agreed = [(SESSION, &token[..])];
    assert_eq!(
        post(&fleet, &agreed, BATCH).await.0,
        400,
        "it was agreed on"
    );
    let silent = format!("[{INITIALIZED},{ANSWER}]");
    assert_eq!(post(&fleet, &[], &silent).await, (202, Value::Null));
    assert_eq!(post(&fleet, &[], "[]").await.0, 400);
    fleet.close(false).await;
}

#[tokio::test]
async fn the_revision_of_a_session_is_that_of_its_server() {
    let fleet = speaking("agreed", "2025-03-26");
    let token = initialize(&fleet).await;
    assert_eq!(post(&fleet, &[(SESSION, &token[..])], BATCH).await.0, 200);
    fleet.close(false).await;
}
