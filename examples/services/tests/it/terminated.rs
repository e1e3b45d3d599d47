//! The server ends sessions that are idle, or itself, while nobody looks.

use std::time::Duration;

use watertight::CheckPolicy;
use watertight_services::servers::Server;

use crate::crowd::{assert_every_place_serves, settled};
use crate::flavour::{Flavour, Session};
use crate::mode::{Mode, Settings};
use crate::{assert_books_balance, eventually, millis, tests};

const SIZE: usize = 4;

fn settings(check: CheckPolicy, keepalive: Option<Duration>) -> Settings {
    Settings {
        size: SIZE,
        min_idle: SIZE,
        acquire_timeout: Duration::from_secs(10),
        every_timeout: Duration::from_secs(5),
        keepalive,
        check,
        reset_on_failed_check: false,
    }
}

fn terminated_sessions_are_lent_to_nobody<F: Flavour>() {
    let Some(server) = F::server() else { return };
    F::Mode::run(async {
        let manager = F::manager(&server, "terminated");
        let pool = F::Mode::build(manager, &settings(CheckPolicy::Always, None));
        pool.fill().await.expect("the server is there");
        for round in 1..=10 {
            let sessions = || server.sessions("terminated");
            eventually::<F::Mode, _>("sessions", Duration::from_secs(5), SIZE, sessions).await;
            assert_eq!(server.terminate("terminated"), SIZE, "in round {round}");
            assert_every_place_serves::<F>(&pool).await;
            let whole = (SIZE, SIZE);
            eventually::<F::Mode, _>("return", Duration::from_secs(5), whole, || settled(&pool))
                .await;
        }
        let closes = pool.statistics().closes;
        assert!(closes.check_failed >= 10 * SIZE as u64, "{closes:?}");
        assert_books_balance(&pool);
        pool.close().await;
    });
}

fn terminated_sessions_are_replaced_without_anybody_asking<F: Flavour>() {
    let Some(server) = F::server() else { return };
    F::Mode::run(async {
        let manager = F::manager(&server, "terminated");
        let pool = F::Mode::build(manager, &settings(CheckPolicy::Never, Some(millis(200))));
        pool.fill().await.expect("the server is there");
        assert_eq!(server.terminate("terminated"), SIZE);
        let made = || pool.statistics().connects;
        let twice = 2 * SIZE as u64;
        eventually::<F::Mode, _>("replacement", Duration::from_secs(10), twice, made).await;
        let whole = (SIZE, SIZE);
        eventually::<F::Mode, _>("recovery", Duration::from_secs(5), whole, || settled(&pool))
            .await;
        assert_eq!(pool.statistics().acquires, 0);
        assert_eq!(server.sessions("terminated"), SIZE);
        assert_every_place_serves::<F>(&pool).await;
        assert_books_balance(&pool);
        pool.close().await;
    });
}

fn restart_between_two_uses_is_not_noticed<F: Flavour>() {
    let Some(server) = F::server() else { return };
    F::Mode::run(async {
        let manager = F::manager(&server, "restarted");
        let pool = F::Mode::build(manager, &settings(CheckPolicy::Always, None));
        for _ in 0..3 {
            let mut session = F::Mode::acquire(&pool).await.expect("there is one");
            assert_eq!(session.ask(F::REQUEST).await.as_deref(), Ok(F::ANSWER));
            drop(session);
            server.kill();
            server.restart();
        }
        assert_every_place_serves::<F>(&pool).await;
        assert_books_balance(&pool);
        pool.close().await;
    });
}

/// When the first is found dead the others need no check of their own.
fn fail_over_costs_one_failed_check<F: Flavour>() {
    let Some(server) = F::server() else { return };
    F::Mode::run(async {
        let mut settings = settings(CheckPolicy::Always, None);
        settings.reset_on_failed_check = true;
        let pool = F::Mode::build(F::manager(&server, "failed-over"), &settings);
        for round in 1..=3 {
            let whole = (SIZE, SIZE);
            eventually::<F::Mode, _>("rest", Duration::from_secs(5), whole, || settled(&pool))
                .await;
            server.kill();
            server.restart();
            let mut session = F::Mode::acquire(&pool).await.expect("there is one");
            assert_eq!(session.ask(F::REQUEST).await.as_deref(), Ok(F::ANSWER));
            drop(session);
            // The others are closed beside the connect that serves.
            let closes = || {
                let closes = pool.statistics().closes;
                (closes.check_failed, closes.reset)
            };
            let expected = (round, round * (SIZE as u64 - 1));
            eventually::<F::Mode, _>("closes", Duration::from_secs(5), expected, closes).await;
        }
        assert_every_place_serves::<F>(&pool).await;
        assert_books_balance(&pool);
        pool.close().await;
    });
}

tests!(fail_over_costs_one_failed_check with all servers);
tests!(terminated_sessions_are_lent_to_nobody with all servers);
tests!(terminated_sessions_are_replaced_without_anybody_asking with all servers);
tests!(restart_between_two_uses_is_not_noticed with all servers);
