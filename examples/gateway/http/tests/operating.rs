//! What an operator does.

use super::*;

const HERE: [(&str, &str); 1] = [("host", "localhost:8081")];

async fn operate(fleet: &Fleet, action: &str) -> (u16, Value) {
    let line = format!("POST /admin/{action}");
    send(operator(fleet), &line, &HERE, "").await
}

#[tokio::test]
async fn paused_gateway_answers_once_it_is_resumed() {
    let fleet = fleet();
    assert_eq!(test(Arc::clone(&fleet)).await.0, 200);
    let (code, status) = operate(&fleet, "pause").await;
    assert_eq!(
        (code, &status["paused"], &status["in_use"]),
        (200, &true.into(), &0.into())
    );
    let mut waiting = tokio::spawn(test(Arc::clone(&fleet)));
    let early = timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "answered while paused");
    let (code, status) = operate(&fleet, "resume").await;
    assert_eq!((code, &status["paused"]), (200, &false.into()));
    assert_eq!(waiting.await.unwrap().0, 200);
    fleet.close(false).await;
}

#[tokio::test]
async fn reset_replaces_the_servers() {
    let fleet = fleet();
    let before = test(Arc::clone(&fleet)).await.1["pid"].clone();
    assert_eq!(test(Arc::clone(&fleet)).await.1["pid"], before);
    assert_eq!(operate(&fleet, "reset").await.0, 200);
    let (_, status) = send(clients(&fleet), "GET /status", &[], "").await;
    let children = status["children"].as_array().unwrap();
    assert!(
        !children.contains(&before),
        "{before} is among {children:?}"
    );
    let (code, after) = test(Arc::clone(&fleet)).await;
    assert_eq!(code, 200);
    assert_ne!(after["pid"], before);
    fleet.close(false).await;
}

#[tokio::test]
async fn only_the_operator_operates() {
    let fleet = fleet();
    let (clients, operator) = (clients(&fleet), operator(&fleet));
    let here = &HERE[..];
    let page = [HERE[0], ("origin", "http://example.com")];
    for (router, line, headers, code) in [
        (&clients, "POST /admin/pause", here, 404),
        (&operator, "POST /admin/pause", &page, 403),
        (&operator, "GET /admin/pause", here, 405),
        (&operator, "POST /admin/stop", here, 404),
        (&operator, "POST /admin/other/pause", here, 404),
        (&operator, "GET /test", here, 404),
    ] {
        let answer = send(router.clone(), line, headers, "").await;
        assert_eq!(answer.0, code, "{line} {headers:?}");
    }
    let (_, status) = send(clients, "GET /status", &[], "").await;
    assert_eq!(status["status"]["paused"], false);
    let page = [HERE[0], ("origin", "http://localhost:8080")];
    let answer = send(operator, "POST /admin/pause", &page, "").await;
    assert_eq!(answer.0, 200);
    fleet.close(false).await;
}

#[tokio::test]
async fn the_operator_calls_this_machine_by_a_name_of_its_own() {
    // Others can reach the address for clients, by another name.
    let line = ["gateway", "--min-idle", "0", "--allow-host", "example.com"];
    let options = Options::parse_from(line);
    let visitors = Visitors::new(&options.allow_host, false);
    let fleet = stdio::Fleet::new(options.plan().unwrap(), visitors, |_| Nobody);
    let fleet = Arc::new(fleet.unwrap());
    for (host, code) in [
        ("localhost:8081", 200),
        ("127.0.0.1", 200),
        ("[::1]:8081", 200),
        ("rebound.example.com:8081", 403),
        ("example.com", 403),
        ("192.0.2.1:8081", 403),
    ] {
        let headers = [("host", host)];
        for line in ["POST /admin/resume", "GET /status", "GET /metrics"] {
            let answer = send(operator(&fleet), line, &headers, "").await;
            assert_eq!(answer.0, code, "{line} {host}");
        }
        let answer = send(clients(&fleet), "GET /status", &headers, "").await;
        assert_eq!(answer.0, 200, "{host}");
    }
    let answer = send(operator(&fleet), "GET /status", &[], "").await;
    assert_eq!(answer.0, 403, "no name at all");
    fleet.close(false).await;
}

#[tokio::test]
async fn reset_of_one_that_shares_loses_no_request() {
    let fleet = fleet_of("reset", "max_processes = 1\n[servers.a]\nSERVER\n");
    let once = async || send(clients(&fleet), "GET /test/a", &[], "").await;
    let before = once().await.1["pid"].clone();
    let many: Vec<_> = (0..20)
        .map(|_| {
            let clients = clients(&fleet);
            tokio::spawn(async move { send(clients, "GET /test/a", &[], "").await.0 })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(operate(&fleet, "a/reset").await.0, 200);
    for one in many {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_ne!(once().await.1["pid"], before);
    assert_eq!(operate(&fleet, "a/pause").await.0, 501);
    fleet.close(false).await;
}
