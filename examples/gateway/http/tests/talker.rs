//! A server that never stops talking.

use std::io;
use std::process::Command;

use super::*;
use crate::stdio::process::{Input, Output, Process};

/// Answers the first request, with which it is initialised; then there is always another
/// notification to be read, at once. Like any pipe of tokio's, it takes part in the bookkeeping of
/// what a task may do before it has to make way for others.
struct Talker(Chat, Chat);

struct Chat {
    greeted: bool,
}

impl Process for Talker {
    type Stdin = Chat;
    type Stdout = Chat;

    fn spawn(_: Command, _: &str) -> io::Result<Self> {
        let chat = || Chat { greeted: false };
        Ok(Talker(chat(), chat()))
    }

    fn id(&self) -> u32 {
        // Whom `kill_group` does not find.
        0
    }

    fn has_exited(&mut self) -> bool {
        false
    }

    fn pipes(&mut self) -> (Option<&mut Chat>, &mut Chat) {
        (Some(&mut self.0), &mut self.1)
    }

    fn hang_up(&mut self) {}

    async fn ended(&mut self) {}

    fn kill(&mut self) {}
}

impl Input for Chat {
    async fn write_line(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Chat {
    async fn read_line(&mut self, line: &mut Vec<u8>, _: u64) -> io::Result<()> {
        tokio::task::consume_budget().await;
        line.extend_from_slice(match self.greeted {
            true => b"{\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n",
            false => b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n",
        });
        self.greeted = true;
        Ok(())
    }
}

#[tokio::test]
async fn a_server_that_never_stops_talking_is_timed_out() {
    let line = ["gateway", "--min-idle", "0", "--request-timeout", "300ms"];
    let plan = Options::parse_from(line).plan().unwrap();
    let fleet = stdio::Fleet::<Talker>::new(plan, Visitors::new(&[], true), |_| Nobody).unwrap();
    let fleet = Arc::new(fleet);
    let asked = Arc::clone(&fleet);
    let answer = tokio::spawn(async move { asked.find("").unwrap().test().await.status });
    let answer = timeout(Duration::from_secs(5), answer).await;
    assert_eq!(answer.expect("it is timed out").unwrap(), 504);
    fleet.close(true).await;
}
