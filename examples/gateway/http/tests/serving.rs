//! Several servers, and how they are.

use super::*;
use crate::stdio::process::kill_group;

const TWO: &str = "
[pool]
max = 1
[servers.one]
SERVER
env = { RESULT = '1' }
[servers.two]
SERVER
env = { RESULT = '2' }
";

const PING: &str = r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#;

#[tokio::test]
async fn every_name_has_its_own_server() {
    for (name, limit) in [("own", ""), ("shared", "max_processes = 2\n")] {
        let fleet = fleet_of(name, &format!("{limit}{TWO}"));
        for (line, result) in [("POST /mcp/one", 1), ("POST /mcp/two", 2)] {
            let (code, answer) = send(clients(&fleet), line, &[], PING).await;
            assert_eq!((code, &answer["result"]), (200, &result.into()), "{line}");
        }
        let (_, status) = send(clients(&fleet), "GET /status", &[], "").await;
        for name in ["one", "two"] {
            let server = &status["servers"][name];
            assert_eq!(server["statistics"]["connects"], 1, "{status}");
            assert_eq!(server["children"].as_array().unwrap().len(), 1);
        }
        let size = if limit.is_empty() {
            Value::Null
        } else {
            2.into()
        };
        assert_eq!(status["shared"]["size"], size);
        fleet.close(false).await;
    }
}

#[tokio::test]
async fn an_unknown_name_is_not_found() {
    let fleet = fleet_of("unknown", TWO);
    for line in [
        "POST /mcp/three",
        "POST /mcp",
        "DELETE /mcp/three",
        "GET /test",
        "GET /healthz/three",
    ] {
        let (code, answer) = send(clients(&fleet), line, &[], PING).await;
        assert_eq!(code, 404, "{line}");
        assert_eq!(answer["jsonrpc"], "2.0", "{line}");
        assert!(answer["error"]["message"].is_string(), "{line}");
    }
    fleet.close(false).await;
}

/// How many processes there are, over all servers.
async fn processes(fleet: &Fleet) -> usize {
    let (_, status) = send(clients(fleet), "GET /status", &[], "").await;
    let servers = status["servers"].as_object().unwrap().values();
    servers
        .map(|server| server["children"].as_array().unwrap().len())
        .sum()
}

#[tokio::test]
async fn a_common_limit_holds_and_whoever_asks_is_served() {
    let fleet = fleet_of("limit", &format!("max_processes = 1\n{TWO}"));
    for _ in 0..3 {
        for line in ["POST /mcp/one", "POST /mcp/two"] {
            assert_eq!(send(clients(&fleet), line, &[], PING).await.0, 200);
            assert_eq!(processes(&fleet).await, 1);
        }
    }
    fleet.close(false).await;
    assert_eq!(processes(&fleet).await, 0);
}

#[tokio::test]
async fn health_tells_which_server_is_down() {
    let file = "
[pool]
min_idle = 0
acquire_timeout = '200ms'
[servers.good]
SERVER
[servers.bad]
command = 'false'
";
    let fleet = fleet_of("health", file);
    let health = async |line: &str| send(clients(&fleet), line, &[], "").await;
    let (code, answer) = health("GET /healthz").await;
    assert_eq!(
        (code, &answer["status"]),
        (200, &"ready".into()),
        "not tried"
    );

    let (code, _) = send(clients(&fleet), "POST /mcp/bad", &[], PING).await;
    assert_eq!(code, 502);
    let (code, answer) = health("GET /healthz").await;
    assert_eq!((code, &answer["status"]), (503, &"down".into()));
    assert_eq!(answer["servers"]["bad"], "down");
    assert_eq!(answer["servers"]["good"], "ready");
    assert_eq!(health("GET /healthz/bad").await.0, 503);
    assert_eq!(health("GET /healthz/good").await.0, 200);
    assert_eq!(health("GET /livez").await.0, 200);

    fleet.drain();
    assert_eq!(health("GET /healthz/good").await.0, 503);
    let (code, answer) = send(operator(&fleet), "GET /healthz", &[("host", "[::1]")], "").await;
    assert_eq!((code, &answer["status"]), (503, &"ending".into()));
    let served = send(clients(&fleet), "POST /mcp/good", &[], PING).await;
    assert_eq!(served.0, 200, "it is only asked not to be sent more");
    fleet.close(false).await;
}

#[tokio::test]
async fn a_server_is_not_down_as_long_as_it_has_a_process() {
    let mark = std::env::temp_dir().join(format!("gateway-{}-mark", std::process::id()));
    let mark = mark.to_str().unwrap();
    // Only one of them can ever be started.
    let file = format!(
        "
[servers.a]
SERVER
env.FIRST = 'mkdir {mark} || exit'
pool = {{ max = 2, min_idle = 2 }}
"
    );
    let fleet = fleet_of("live", &file);
    let (code, answer) = send(clients(&fleet), "GET /test/a", &[], "").await;
    assert_eq!(code, 200);
    let pid = answer["pid"].as_u64().unwrap();

    // The pool goes on trying to start another.
    let failures = async || {
        let (_, status) = send(clients(&fleet), "GET /status", &[], "").await;
        status["servers"]["a"]["statistics"]["failed_connects"].as_u64()
    };
    let before = failures().await;
    while failures().await == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let health = async || send(clients(&fleet), "GET /healthz", &[], "").await.0;
    assert_eq!(health().await, 200);

    kill_group(u32::try_from(pid).unwrap());
    let (code, _) = send(clients(&fleet), "GET /test/a", &[], "").await;
    assert_eq!(code, 502);
    assert_eq!(health().await, 503);
    fleet.close(false).await;
    std::fs::remove_dir(mark).unwrap();
}

#[tokio::test]
async fn a_broken_circuit_answers_at_once() {
    let file = "
[pool]
min_idle = 0
acquire_timeout = '1m'
circuit_breaker = true
[servers.bad]
command = 'false'
";
    let fleet = fleet_of("circuit", file);
    for _ in 0..3 {
        let request = send(clients(&fleet), "POST /mcp/bad", &[], PING);
        let answer = tokio::time::timeout(Duration::from_secs(20), request).await;
        assert_eq!(answer.unwrap().0, 502);
    }
    assert_eq!(send(clients(&fleet), "GET /healthz", &[], "").await.0, 503);
    fleet.close(false).await;
}

#[tokio::test]
async fn a_hurried_end_waits_for_nobody() {
    // Neither answers what it is asked then nor ends when its input does. One of the two is asked.
    const STUBBORN: &str = r#"read -r line; echo '{"jsonrpc":"2.0","id":1,"result":{}}'; sleep 60"#;
    let line = [
        "gateway",
        "--max",
        "2",
        "--min-idle",
        "2",
        "--",
        "sh",
        "-c",
        STUBBORN,
    ];
    let fleet = build(&Options::parse_from(line));
    assert!(fleet.warm_up(drop).await.is_ok());
    let request = tokio::spawn(test(Arc::clone(&fleet)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    fleet.close(true).await;
    // Saying goodbye takes two seconds.
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(request.await.unwrap().0, 503);
    let (_, status) = send(clients(&fleet), "GET /status", &[], "").await;
    assert_eq!(status["children"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_here_is_not_enough() {
    let fleet = fleet();
    for (header, value, code) in [
        ("host", "localhost:8080", 200),
        ("host", "127.0.0.1", 200),
        ("host", "rebound.example.com:8080", 403),
        ("origin", "http://rebound.example.com:8080", 403),
        ("origin", "http://localhost:3000", 200),
    ] {
        for line in ["GET /status", "GET /", "GET /metrics", "POST /mcp"] {
            let answer = send(clients(&fleet), line, &[(header, value)], PING).await;
            assert_eq!(answer.0, code, "{line} {header}: {value}");
        }
    }
    fleet.close(false).await;
}

#[tokio::test]
async fn a_page_from_elsewhere_cannot_even_ask_for_a_picture() {
    let fleet = fleet();
    for (site, code) in [
        ("cross-site", 403),
        ("same-site", 403),
        ("Cross-Site", 403),
        ("same-origin", 200),
        ("none", 200),
    ] {
        for line in ["GET /test", "GET /status", "GET /"] {
            let answer = send(clients(&fleet), line, &[("sec-fetch-site", site)], "").await;
            assert_eq!(answer.0, code, "{line} {site}");
        }
        let headers = [("host", "localhost"), ("sec-fetch-site", site)];
        let answer = send(operator(&fleet), "POST /admin/resume", &headers, "").await;
        assert_eq!(answer.0, code, "{site}");
        // A page that says which it is, and may come in.
        let headers = [("origin", "http://localhost:3000"), headers[1]];
        let answer = send(clients(&fleet), "POST /mcp", &headers, PING).await;
        assert_eq!(answer.0, 200, "{site}");
    }
    fleet.close(false).await;
}
