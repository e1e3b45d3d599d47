//! What becomes of the processes.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// Waits until this file grows, or until it does not any more.
async fn becomes(growing: bool, path: &Path) -> bool {
    let length = || fs::metadata(path).map_or(0, |file| file.len());
    for _ in 0..20 {
        let before = length();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if (length() > before) == growing {
            return true;
        }
    }
    false
}

/// Those that have not been reaped.
async fn children(fleet: &Fleet) -> Vec<Value> {
    let (_, status) = send(clients(fleet), "GET /status", &[], "").await;
    let children = status["servers"]["a"]["children"].as_array();
    children.unwrap().clone()
}

#[tokio::test]
async fn what_a_server_has_started_ends_with_it() {
    let mark = std::env::temp_dir().join(format!("gateway-{}-beat", std::process::id()));
    let beat = format!(
        "(while :; do echo >>{}; sleep 0.05; done) >/dev/null 2>&1 &",
        mark.display()
    );
    // It is killed, or ends by itself once it is asked something, or when its input ends.
    for how in ["kill", "exit", "end"] {
        fs::write(&mark, "").unwrap();
        let last = if how == "exit" {
            "sleep 0.2; exit"
        } else {
            ":"
        };
        let script = SERVER.replace(
            "done",
            &format!("[ \"${{id%%,*}}\" = 1 ] || {{ {last}; }}\ndone"),
        );
        let file = format!(
            "
[pool]
min_idle = 0
[servers.a]
command = 'sh'
args = ['-c', '''{script}''']
env.FIRST = '{beat}'
"
        );
        let fleet = fleet_of(how, &file);
        let (code, answer) = send(clients(&fleet), "GET /test/a", &[], "").await;
        assert_eq!(code, 200);
        assert!(becomes(true, &mark).await, "it was not even started");
        let pid = answer["pid"].as_i64().unwrap();
        if how == "kill" {
            let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            kill_process(pid, Signal::KILL).unwrap();
        }
        if how != "end" {
            // This finds out.
            send(clients(&fleet), "GET /test/a", &[], "").await;
            let reaped = async {
                while children(&fleet).await.contains(&pid.into()) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(5), reaped)
                .await
                .expect(how);
        }
        fleet.close(false).await;
        assert!(becomes(false, &mark).await, "{how}");
    }
    fs::remove_file(&mark).unwrap();
}

#[tokio::test]
async fn what_a_server_says_of_nothing_in_particular_is_for_nobody() {
    // Every answer is followed by an error that may be about whatever came before.
    const LATE: &str = r#"
read -r line; echo '{"jsonrpc":"2.0","id":1,"result":{}}'; read -r line
read -r line; echo '{"jsonrpc":"2.0","id":2,"result":{}}'
echo '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the first had a secret"}}'
read -r line; echo '{"jsonrpc":"2.0","id":3,"result":{}}'
read -r line"#;
    let file = format!("[servers.a]\ncommand = 'sh'\nargs = ['-c', '''{LATE}''']\npool.max = 1\n");
    let fleet = fleet_of("late", &file);
    for _ in 0..2 {
        let (code, first) = send(clients(&fleet), "GET /test/a", &[], "").await;
        assert_eq!((code, &first["result"]), (200, &serde_json::json!({})));
        let (code, second) = send(clients(&fleet), "GET /test/a", &[], "").await;
        assert_eq!(code, 502);
        assert!(!second.to_string().contains("secret"), "{second}");
    }
    let (_, status) = send(clients(&fleet), "GET /status", &[], "").await;
    assert_eq!(status["servers"]["a"]["statistics"]["connects"], 2);
    fleet.close(false).await;
}
