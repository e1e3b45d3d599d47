//! PostgreSQL in part: nobody is let in, or one session's process dies.

use std::time::Duration;

use watertight::CheckPolicy;
use watertight_services::servers::Server;

use crate::crowd::{Crowd, assert_every_place_serves, settled};
use crate::flavour::{Drivers, Flavour, Postgres};
use crate::mode::Settings;
use crate::{assert_books_balance, eventually, millis, tests};

const SIZE: usize = 6;

fn settings(min_idle: usize) -> Settings {
    Settings {
        size: SIZE,
        min_idle,
        acquire_timeout: Duration::from_secs(10),
        every_timeout: millis(500),
        keepalive: Some(millis(500)),
        check: CheckPolicy::default(),
        reset_on_failed_check: false,
    }
}

/// Those who wait are served by the sessions that there are, not held up by logins that hang.
fn hung_logins_hold_nobody_up<Mo: Drivers>() {
    let Some(server) = Postgres::<Mo>::server() else {
        return;
    };
    Mo::run(async {
        let manager = Mo::postgres(&server.url("hung"));
        let pool = Mo::build(manager, &settings(2));
        pool.fill().await.expect("the server is there");
        server.freeze_logins();
        let crowd = Crowd::start::<Postgres<Mo>>(&pool, 4 * SIZE, Duration::from_secs(10));
        Mo::sleep(Duration::from_secs(3)).await;
        let meanwhile = crowd.so_far();
        meanwhile.assert_flawless();
        assert!(
            meanwhile.longest_acquire < Duration::from_secs(3),
            "{meanwhile:?}"
        );
        let statistics = pool.statistics();
        assert_eq!(statistics.connects, 2, "{statistics:?}");
        assert!(statistics.failed_connects > 0, "{statistics:?}");

        server.thaw();
        let made = || pool.status().size - pool.status().connecting;
        eventually::<Mo, _>("growth", Duration::from_secs(10), SIZE, made).await;
        crowd.stop().await.assert_flawless();
        assert_every_place_serves::<Postgres<Mo>>(&pool).await;
        let sessions = || server.sessions("hung");
        eventually::<Mo, _>("sessions", Duration::from_secs(5), SIZE, sessions).await;
        assert_books_balance(&pool);
        pool.close().await;
    });
}

fn crash_of_one_session_ends_all_and_all_come_back<Mo: Drivers>() {
    let Some(server) = Postgres::<Mo>::server() else {
        return;
    };
    Mo::run(async {
        let manager = Mo::postgres(&server.url("crash"));
        let pool = Mo::build(manager, &settings(SIZE));
        pool.fill().await.expect("the server is there");
        let crowd = Crowd::start::<Postgres<Mo>>(&pool, 4 * SIZE, Duration::from_secs(10));
        for crash in 1..=3 {
            Mo::sleep(millis(500)).await;
            crowd.so_far();
            server.crash("crash");
            Mo::sleep(Duration::from_secs(3)).await;
            let tally = crowd.so_far();
            // Only who was in the middle of something is told; those who wait are served later.
            assert!(tally.failed.len() <= 2 * SIZE, "{crash}: {tally:?}");
            let made = pool.statistics().connects;
            assert!(
                made >= (SIZE * (crash + 1)) as u64,
                "{crash}: {made}, {tally:?}"
            );
            assert_eq!(
                (tally.timed_out, tally.refused.len()),
                (0, 0),
                "{crash}: {tally:?}"
            );
        }
        crowd.stop().await.assert_flawless();
        let whole = (SIZE, SIZE);
        eventually::<Mo, _>("recovery", Duration::from_secs(5), whole, || settled(&pool)).await;
        assert_eq!(server.sessions("crash"), SIZE);
        assert_every_place_serves::<Postgres<Mo>>(&pool).await;
        assert_books_balance(&pool);
        pool.close().await;
    });
}

tests!(hung_logins_hold_nobody_up);
tests!(crash_of_one_session_ends_all_and_all_come_back);
