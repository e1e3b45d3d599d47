#![allow(clippy::unwrap_used)]

use serde_json::Value;

use super::*;

fn code_of(body: &[u8]) -> i32 {
    read_client(body).unwrap_err().code
}

#[test]
fn what_is_not_json_is_a_parse_error() {
    for body in [
        &b""[..],
        b"{",
        b"hello",
        b"\xff\xfe",
        b"{\"method\":\"caf\xe9\"}",
        br#"{"jsonrpc":"2.0","id":1,"method":"ping"} trailing"#,
        br#"{"method": 5, oops"#,
    ] {
        assert_eq!(code_of(body), PARSE_ERROR, "{:?}", body.escape_ascii());
    }
}

#[test]
fn json_that_is_no_request_is_invalid() {
    for body in [
        "null",
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        r#""ping""#,
        r#"["2.0", 1, "ping", {}, 0, 0]"#,
        "{}",
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"pong"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":3}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
    ] {
        assert_eq!(code_of(body.as_bytes()), INVALID_REQUEST, "{body}");
    }
}

#[test]
fn a_rejection_names_the_id_if_it_can_be_read() {
    let rejected = read_client(br#"{"jsonrpc":"2.0","id":"a1","params":3}"#).unwrap_err();
    assert_eq!(rejected.id.unwrap().get(), r#""a1""#);
    let rejected = read_client(br#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#).unwrap_err();
    assert!(rejected.id.is_none());
}

#[test]
fn without_an_id_it_is_a_notification() {
    let body = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert!(matches!(read_client(body), Ok(FromClient::Notification)));
}

#[test]
fn ids_and_parameters_pass_through_untouched() {
    let body = r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,
                   "method":"m","params":{"x":1.10, "y":"\u00e9"}}"#;
    let Ok(FromClient::Request { id, params, .. }) = read_client(body.as_bytes()) else {
        panic!("a request");
    };
    assert_eq!(id.get(), "123456789012345678901234567890");
    assert_eq!(params.unwrap().get(), r#"{"x":1.10, "y":"\u00e9"}"#);
    let answer = Outcome::Result(raw(&json!({"ok": true})));
    assert_eq!(
        serde_json::to_string(&Answer::new(Some(id), &answer)).unwrap(),
        r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"result":{"ok":true}}"#
    );
}

#[test]
fn pretty_printed_parameters_stay_on_one_line() {
    let body =
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\r\n  \"a\":\n\"b\\n\"}}";
    let Ok(FromClient::Request { method, params, .. }) = read_client(body) else {
        panic!("a request");
    };
    let line = request(7, &method, params);
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    let sent: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(sent["params"]["a"], "b\n");
    assert_eq!(sent["id"], 7);
}

#[test]
fn what_some_take_for_the_end_of_a_line_is_escaped() {
    let body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[\"a\u{2028}b\u{2029}c\u{85}d\u{e9}\"]}";
    let Ok(FromClient::Request { method, params, .. }) = read_client(body.as_bytes()) else {
        panic!("a request");
    };
    let line = String::from_utf8(request(7, &method, params)).unwrap();
    assert!(
        line.ends_with("[\"a\\u2028b\\u2029c\\u0085d\u{e9}\"]}\n"),
        "{line}"
    );
    let sent: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(sent["params"][0], "a\u{2028}b\u{2029}c\u{85}d\u{e9}");
}

#[test]
fn deep_nesting_is_passed_on_and_overflows_nothing() {
    let (open, close) = ("[".repeat(500_000), "]".repeat(500_000));
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{open}{close}}}"#);
    assert!(matches!(
        read_client(body.as_bytes()),
        Ok(FromClient::Request { .. })
    ));
}

#[test]
fn server_lines_are_told_apart() {
    let answer = read_server(br#"{"jsonrpc":"2.0","id":3,"result":null}"#);
    assert!(matches!(
        answer,
        Some(FromServer::Answer {
            id: Some(3),
            outcome: Outcome::Result(_)
        })
    ));
    let lost = read_server(br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}"#);
    assert!(matches!(
        lost,
        Some(FromServer::Answer {
            id: None,
            outcome: Outcome::Error(_)
        })
    ));
    let ping = read_server(br#"{"jsonrpc":"2.0","id":"s1","method":"ping"}"#);
    assert!(matches!(ping, Some(FromServer::Request { .. })));
    let log = read_server(br#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#);
    assert!(matches!(log, Some(FromServer::Notification)));
}

#[test]
fn what_a_server_may_not_print_is_no_message() {
    for line in [
        "Listening on stdio...",
        "[1]",
        "{}",
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":"1","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"id":1,"result":{}}"#,
    ] {
        assert!(read_server(line.as_bytes()).is_none(), "{line}");
    }
}

#[test]
fn a_server_that_pings_is_answered_and_one_that_wants_more_is_refused() {
    let id = raw(&json!("s1"));
    let sent: Value = serde_json::from_slice(&reply(&id, "ping")).unwrap();
    assert_eq!(sent, json!({"jsonrpc": "2.0", "id": "s1", "result": {}}));
    let sent: Value = serde_json::from_slice(&reply(&id, "sampling/createMessage")).unwrap();
    assert_eq!(sent["error"]["code"], METHOD_NOT_FOUND);
}

#[test]
fn an_answer_is_told_from_a_request() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":""}}"#,
    ] {
        let message = read_client(body.as_bytes());
        assert!(matches!(message, Ok(FromClient::Answer)), "{body}");
    }
}

#[test]
fn one_message_of_a_batch_is_no_matter_of_the_others() {
    let body = br#" [{"jsonrpc":"2.0","id":1,"method":"ping"}, 7, {"jsonrpc":"2.0","method":"n"}]"#;
    assert!(is_batch(body));
    let messages = read_batch(body).unwrap();
    assert!(matches!(
        &messages[..],
        [
            Ok(FromClient::Request { .. }),
            Err(Rejected {
                code: INVALID_REQUEST,
                ..
            }),
            Ok(FromClient::Notification)
        ]
    ));
}

#[test]
fn a_batch_that_is_none_is_rejected_as_a_whole() {
    for (body, code) in [
        ("[]", INVALID_REQUEST),
        ("[1,", PARSE_ERROR),
        ("[", PARSE_ERROR),
    ] {
        assert_eq!(
            read_batch(body.as_bytes()).unwrap_err().code,
            code,
            "{body}"
        );
    }
}
