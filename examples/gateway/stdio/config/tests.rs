#![allow(clippy::unwrap_used)]

use clap::Parser;

use super::*;

const TWO: &str = r#"
request_timeout = "20s"

[pool]
max = 3
idle_timeout = "1m"

[servers.time]
command = "python3"
args = ["-m", "mcp_server_time"]
env = { TZ = "UTC" }

[servers.everything]
command = "mcp-server-everything"
cwd = "/srv"
request_timeout = "5s"
[servers.everything.pool]
max = 1
keepalive = "30s"
max_uses = 100
circuit_breaker = true
"#;

fn parse_with(text: &str, options: &[&str]) -> Result<Plan, String> {
    let line = ["gateway"].iter().chain(options);
    parse(text, &Options::parse_from(line))
}

#[test]
fn a_server_has_its_settings_the_files_and_those_of_the_command_line_in_this_order() {
    let plan = parse_with(TWO, &["--acquire-timeout", "7s", "--min-idle", "2"]).unwrap();
    assert!(plan.shared.is_none());
    let [(name, everything), (other, time)] = &plan.servers[..] else {
        panic!("{plan:?}");
    };
    assert_eq!((&name[..], &other[..]), ("everything", "time"));
    let second = Duration::from_secs;

    assert_eq!(time.command.program, "python3");
    assert_eq!(time.command.arguments, ["-m", "mcp_server_time"]);
    assert_eq!(time.command.environment, [("TZ".into(), "UTC".into())]);
    assert_eq!(time.request_timeout, second(20));
    assert_eq!(time.pool.max, 3);
    assert_eq!(time.pool.min_idle, 2);
    assert_eq!(time.pool.idle_timeout, second(60));
    assert_eq!(time.pool.acquire_timeout, second(7));
    assert_eq!(time.pool.keepalive, None);

    assert_eq!(everything.command.directory, Some("/srv".into()));
    assert_eq!(everything.request_timeout, second(5));
    assert_eq!(everything.pool.max, 1);
    assert_eq!(everything.pool.min_idle, 1, "no more than there may be");
    assert_eq!(everything.pool.idle_timeout, second(60));
    assert_eq!(everything.pool.keepalive, Some(second(30)));
    assert_eq!(everything.pool.max_uses, Some(100));
    assert!(everything.pool.circuit_breaker && !time.pool.circuit_breaker);
}

#[test]
fn a_common_limit_comes_with_common_settings() {
    let text = "max_processes = 5\npool.max = 2\n[servers.a]\ncommand = \"x\"\n";
    let shared = parse_with(text, &[]).unwrap().shared.unwrap();
    assert_eq!((shared.max_processes, shared.pool.max), (5, 2));
    assert_eq!(shared.pool.min_idle, 0, "whatever the command line says");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, line, key) in [
        ("[servers.a]\ncommand = \"x\"\nmax = 3\n", 3, "max"),
        (
            "[servers.a]\ncommand = \"x\"\n[servers.a.pool]\nmaxx = 3\n",
            4,
            "maxx",
        ),
        (
            "listen = \"x\"\n[servers.a]\ncommand = \"x\"\n",
            1,
            "listen",
        ),
        ("[servers.a]\nargs = []\n", 1, "command"),
        (
            "[servers.a]\ncommand = \"x\"\nrequest_timeout = \"soon\"\n",
            3,
            "no time such as",
        ),
        (
            "[servers.a]\ncommand = \"x\"\nrequest_timeout = 5\n",
            3,
            "integer",
        ),
        (
            "request_timeout = \"0s\"\n[servers.a]\ncommand = \"x\"\n",
            1,
            "at least 1ms",
        ),
        (
            "[servers.a]\ncommand = \"x\"\nrequest_timeout = \"1000000y\"\n",
            3,
            "at most 1day",
        ),
        (
            "[servers.a]\ncommand = \"x\"\n\n[servers.\"a b\"]\ncommand = \"x\"\n",
            4,
            "a b",
        ),
        (
            "max_processes = 0\n[servers.a]\ncommand = \"x\"\n",
            1,
            "max_processes",
        ),
        (
            "max_processes = 2\n[pool]\nmin_idle = 1\n[servers.a]\ncommand = \"x\"\n",
            3,
            "min_idle",
        ),
        (
            "max_processes = 2\n[servers.a]\ncommand = \"x\"\npool.max = 1\n",
            4,
            "max_processes",
        ),
    ] {
        let error = parse_with(text, &[]).unwrap_err();
        assert!(error.contains(&format!("line {line}")), "{text}: {error}");
        assert!(error.contains(key), "{text}: {error}");
    }
    assert!(
        parse_with("[servers]\n", &[])
            .unwrap_err()
            .contains("no servers")
    );
}

#[test]
fn what_is_wrong_is_told_without_what_else_is_in_the_line() {
    let server = "[servers.a]\ncommand = \"x\"\n";
    for (text, line, flaw) in [
        // Neither TOML nor what was asked for, in lines that have more in them.
        ("env = { KEY = \"secret\", }}", 3, ""),
        ("env = { KEY = \"secret }", 3, ""),
        ("env = { KEY = secret }", 3, ""),
        ("env = { KEY = \"secret\", PORT = 80 }", 3, "integer"),
        ("args = [\"--key\", \"secret\", 80]", 3, "integer"),
        ("args = \"--key=secret\"", 3, "string, expected a sequence"),
        (
            "args = '--key=\"secret, expected\"'",
            3,
            "string, expected a sequence",
        ),
        ("env = \"KEY=secret\"", 3, "string, expected a map"),
        (
            "pool.circuit_breaker = \"secret\"",
            3,
            "string, expected a boolean",
        ),
        (
            "pool = { max = \"a\\nsecret\" }",
            3,
            "string, expected usize",
        ),
        ("\nrequest_timeout = \"secret\"", 4, "no time such as"),
        ("pool.keepalive = \"secret\"", 3, "no time such as"),
    ] {
        let error = parse_with(&format!("{server}{text}\n"), &[]).unwrap_err();
        assert!(error.starts_with(&format!("line {line}: ")), "{error}");
        assert!(error.contains(flaw), "{error}");
        assert!(
            !error.contains("secret") && !error.contains('\n'),
            "{error}"
        );
    }
}
