//! Redis, and an answer that comes too late: it must not be taken for the next one's.

use std::time::Duration;

use watertight::{Blocking, CheckPolicy};
use watertight_services::blocking;
use watertight_services::servers::{RedisServer, available};

use crate::flavour::Session;
use crate::mode::{Mode, Settings, Threads};
use crate::{assert_books_balance, millis};

#[test]
fn answer_that_came_too_late_is_not_the_next_ones() {
    if !available(RedisServer::PROGRAMS) {
        return;
    }
    let server = RedisServer::start();
    Threads::run(async {
        let manager = blocking::Redis::new(&server.url(), millis(100)).expect("the URL is right");
        let pool = Threads::build(
            Blocking::new(manager),
            &Settings {
                size: 1,
                min_idle: 0,
                acquire_timeout: Duration::from_secs(10),
                every_timeout: Duration::from_secs(5),
                keepalive: None,
                check: CheckPolicy::Never,
                reset_on_failed_check: false,
            },
        );
        for round in 0..5 {
            let mut session = Threads::acquire(&pool).await.expect("there is one");
            let late = session.ask("BLPOP nothing 0.2").await;
            late.expect_err("nobody waits for so long");
            drop(session);
            Threads::sleep(millis(200)).await; // by now it has come
            let mut session = Threads::acquire(&pool).await.expect("there is one");
            let word = format!("word-{round}");
            assert_eq!(session.ask(&format!("ECHO {word}")).await, Ok(word));
        }
        let closes = pool.statistics().closes;
        assert_eq!(closes.broken, 5, "{closes:?}");
        assert_books_balance(&pool);
        pool.close().await;
    });
}
