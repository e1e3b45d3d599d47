//! What is served while servers start, and what is not.

use super::*;

const PING: &str = r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#;

#[tokio::test]
async fn a_server_that_starts_slowly_keeps_no_other_from_serving() {
    let file = "
[servers.good]
SERVER
[servers.slow]
SERVER
env.FIRST = 'sleep 1'
";
    let fleet = fleet_of("slow", file);
    let warm = fleet.warm_up(drop);
    let warm = async { warm.await.unwrap() };
    let others = async {
        let (code, _) = send(clients(&fleet), "POST /mcp/good", &[], PING).await;
        assert_eq!(code, 200);
        let health = async |line: &str| send(clients(&fleet), line, &[], "").await;
        while health("GET /healthz/good").await.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let (code, answer) = health("GET /healthz").await;
        assert_eq!((code, &answer["status"]), (503, &"starting".into()));
        assert_eq!(answer["servers"]["slow"], "starting");
        assert_eq!(answer["servers"]["good"], "ready");
        assert_eq!(health("GET /healthz/slow").await.0, 503);
    };
    tokio::join!(warm, others);
    assert_eq!(send(clients(&fleet), "GET /healthz", &[], "").await.0, 200);
    fleet.close(false).await;
}

#[tokio::test]
async fn one_that_does_not_work_keeps_no_other_from_serving() {
    let file = "
[servers.good]
SERVER
[servers.bad]
command = 'false'
[servers.strange]
SERVER
env.RESULT = '{\"protocolVersion\":\"2031-01-01\"}'
";
    let fleet = fleet_of("carry-on", file);
    let mut flaws = Vec::new();
    fleet.warm_up(|flaw| flaws.push(flaw)).await.unwrap();
    flaws.sort();
    assert!(
        flaws.len() == 2 && flaws[0].starts_with("bad: ") && flaws[1].starts_with("strange: "),
        "{flaws:?}"
    );
    let (code, _) = send(clients(&fleet), "POST /mcp/good", &[], PING).await;
    assert_eq!(code, 200);
    let (code, answer) = send(clients(&fleet), "POST /mcp/strange", &[], PING).await;
    assert_eq!(code, 502);
    let reason = answer["error"]["message"].as_str().unwrap();
    assert!(reason.contains("2031-01-01"), "{reason}");
    let (_, answer) = send(clients(&fleet), "GET /healthz", &[], "").await;
    for (name, state) in [("good", "ready"), ("bad", "down"), ("strange", "down")] {
        assert_eq!(answer["servers"][name], state, "{answer}");
    }
    fleet.close(false).await;
}

#[tokio::test]
async fn one_that_is_not_there_is_no_way_to_begin() {
    let file = "[servers.bad]\ncommand = './no-such-server'\nargs = ['secret']";
    let fleet = fleet_of("missing", file);
    let flaw = fleet.warm_up(drop).await.unwrap_err();
    assert!(
        flaw.contains("no-such-server") && !flaw.contains("secret"),
        "{flaw}"
    );
    fleet.close(false).await;
}
