//! Conversations with a server that reads and prints from memory.

use std::collections::VecDeque;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_lite::future::{block_on, pending, poll_once};
use watertight::{BoxFuture, Spawner, Timer};

use super::super::roster::Roster;
use super::*;

/// What the server was sent, and what it will print; then it is silent.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Lines>>);

/// What was written, and what will be read.
type Lines = (Vec<u8>, VecDeque<Vec<u8>>);

struct Scripted {
    stdin: Script,
    stdout: Script,
}

struct NoRuntime;

impl Script {
    fn prints(&self, text: &str) {
        self.with(|_, printed| printed.push_back(text.into()));
    }

    fn sent(&self) -> String {
        self.with(|sent, _| String::from_utf8_lossy(sent).into_owned())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<u8>, &mut VecDeque<Vec<u8>>) -> T) -> T {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sent, printed) = &mut *both;
        look(sent, printed)
    }
}

impl Input for Script {
    async fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.with(|sent, _| sent.extend_from_slice(line));
        Ok(())
    }
}

impl Output for Script {
    async fn read_line(&mut self, line: &mut Vec<u8>, limit: u64) -> io::Result<()> {
        match self.with(|_, printed| printed.pop_front()) {
            Some(text) => line.extend(text.iter().take(limit as usize)),
            None => pending().await,
        }
        Ok(())
    }
}

impl Process for Scripted {
    type Stdin = Script;
    type Stdout = Script;

    fn spawn(_: Command, _: &str) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn id(&self) -> u32 {
        1
    }

    fn has_exited(&mut self) -> bool {
        false
    }

    fn pipes(&mut self) -> (Option<&mut Script>, &mut Script) {
        (Some(&mut self.stdin), &mut self.stdout)
    }

    fn hang_up(&mut self) {}

    async fn ended(&mut self) {}

    fn kill(&mut self) {}
}

impl Spawner for NoRuntime {
    fn spawn(&self, _: BoxFuture<()>) {}
}

impl Timer for NoRuntime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<()> {
        Box::pin(pending())
    }
}

/// A session that has been opened; the next request has the id 2.
fn open() -> (Session<Scripted>, Script) {
    match open_with("2025-06-18") {
        (Ok(session), script) => (session, script),
        (Err(fault), _) => panic!("{fault}"),
    }
}

/// With a server that wants to speak this revision.
fn open_with(revision: &str) -> (Result<Session<Scripted>, Fault>, Script) {
    let script = Script::default();
    let greeting = format!("{{\"protocolVersion\":\"{revision}\"}}");
    script.prints(&format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{greeting}}}\n"
    ));
    let process = Scripted {
        stdin: script.clone(),
        stdout: script.clone(),
    };
    let leash = Leash::new(process, &Roster::default(), Arc::new(NoRuntime));
    (block_on(Session::open(leash)), script)
}

/// Calls a server that prints this, and tells how it ended and whether the session is still fit.
fn call(printed: &[&str]) -> (Result<Outcome, Fault>, bool, String) {
    let (mut session, script) = open();
    for text in printed {
        script.prints(text);
    }
    let outcome = block_on(session.call("m", None));
    (outcome, session.is_fit(), script.sent())
}

const ANSWER: &str = "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n";

#[test]
fn a_session_is_initialised_before_anything_else() {
    let (mut session, script) = open();
    let sent = script.sent();
    let methods: Vec<_> = sent.lines().collect();
    assert!(methods[0].contains(r#""method":"initialize""#), "{sent}");
    assert!(methods[1].contains(r#""method":"notifications/initialized""#));
    assert!(session.greeting().is_some() && session.is_fit());
}

#[test]
fn a_server_has_the_last_word_on_the_revision_if_it_is_one_that_is_known() {
    for revision in Revision::SUPPORTED {
        let (session, _) = open_with(&revision.to_string());
        assert_eq!(session.ok().and_then(|one| one.revision()), Some(revision));
    }
    let (session, script) = open_with("2031-01-01");
    let fault = session.err();
    assert!(matches!(&fault, Some(Fault::Revision(_))), "{fault:?}");
    assert!(fault.is_some_and(|fault| fault.is_permanent()));
    assert!(!script.sent().contains("notifications/initialized"));
}

#[test]
fn an_answer_leaves_the_session_fit() {
    let (outcome, fit, _) = call(&["\n", ANSWER]);
    assert!(matches!(outcome, Ok(Outcome::Result(_))) && fit);
}

#[test]
fn an_error_without_id_costs_the_session_and_is_kept_from_the_client() {
    let lost = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"\"}}\n";
    let (outcome, fit, _) = call(&[lost, ANSWER]);
    assert!(matches!(outcome, Err(Fault::Anonymous)) && !fit);
    let lost = "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}\n";
    let (outcome, fit, _) = call(&[lost, ANSWER]);
    assert!(matches!(outcome, Err(Fault::Garbage(_))) && !fit);
}

#[test]
fn a_ping_wants_an_answer_of_its_own() {
    let error = |id: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":\"\"}}}}\n"
        )
    };
    for (id, good) in [("2", true), ("null", false)] {
        let (mut session, script) = open();
        script.prints(&error(id));
        let pinged = block_on(session.ping());
        assert_eq!((pinged.is_ok(), session.is_fit()), (good, good), "{id}");
    }
}

#[test]
fn a_call_dropped_half_way_leaves_the_session_unfit() {
    let (mut session, script) = open();
    let mut call = Box::pin(session.call("m", None));
    assert!(block_on(poll_once(&mut call)).is_none());
    drop(call);
    script.prints(ANSWER);
    assert!(!session.is_fit());
}

#[test]
fn a_ping_is_answered_even_if_the_answer_follows_at_once() {
    let ping = "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n";
    let log = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n";
    let (outcome, fit, sent) = call(&[log, ping, log, ANSWER]);
    assert!(outcome.is_ok() && fit);
    assert!(
        sent.ends_with("{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}\n"),
        "{sent}"
    );
}

#[test]
fn whatever_is_not_the_answer_gives_others_a_turn() {
    let log = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n";
    let (mut session, script) = open();
    for text in [log, "\n", ANSWER] {
        script.prints(text);
    }
    let mut call = Box::pin(session.call("m", None));
    for _ in 0..2 {
        assert!(block_on(poll_once(&mut call)).is_none());
    }
    assert!(matches!(block_on(poll_once(&mut call)), Some(Ok(_))));
}

#[test]
fn more_pings_than_there_is_room_for_are_all_answered() {
    let ping = "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n";
    let printed: Vec<_> = std::iter::repeat_n(ping, 50).chain([ANSWER]).collect();
    let (outcome, fit, sent) = call(&printed);
    assert!(outcome.is_ok() && fit);
    assert_eq!(sent.matches(r#""id":"p""#).count(), 50);
}

#[test]
fn whatever_else_a_server_prints_costs_the_session() {
    let endless = "x".repeat(LINE_LIMIT as usize + 1);
    let unasked = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n";
    for (printed, expected) in [
        ("Segmentation fault\n", "no JSON-RPC message"),
        (unasked, "not asked"),
        ("", "ended"),
        ("{\"jsonrpc\":", "ended"),
        (&endless, "too long"),
    ] {
        let (outcome, fit, _) = call(&[printed, ANSWER]);
        let fault = outcome.map(drop).map_err(|fault| fault.to_string());
        assert!(
            fault.as_ref().is_err_and(|text| text.contains(expected)),
            "{fault:?}"
        );
        assert!(!fit, "{expected}");
    }
}
