//! The server falls silent: connections to it can be made, and nobody answers.

use std::time::Duration;

use watertight::CheckPolicy;
use watertight_services::servers::Server;

use crate::crowd::{Crowd, Tally, assert_every_place_serves, settled};
use crate::flavour::Flavour;
use crate::mode::{Mode, Settings};
use crate::{assert_books_balance, eventually, millis, tests};

const SIZE: usize = 6;
const DEADLINE: Duration = Duration::from_secs(1);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(1500);

fn silent_server_holds_nobody_beyond_his_deadline<F: Flavour>() {
    let Some(server) = F::server() else { return };
    F::Mode::run(async {
        let pool = F::Mode::build(
            F::manager(&server, "frozen"),
            &Settings {
                size: SIZE,
                min_idle: SIZE,
                acquire_timeout: DEADLINE,
                every_timeout: millis(500),
                keepalive: Some(millis(500)),
                check: CheckPolicy::default(),
                reset_on_failed_check: false,
            },
        );
        pool.fill().await.expect("the server is there");
        let crowd = Crowd::start::<F>(&pool, 4 * SIZE, millis(500));
        F::Mode::sleep(millis(500)).await;
        crowd.so_far().assert_flawless();

        server.freeze();
        F::Mode::sleep(Duration::from_secs(5)).await;
        let silence = crowd.so_far();
        assert!(silence.longest_acquire < DEADLINE + SLACK, "{silence:?}");
        assert!(
            silence.timed_out > 0,
            "a silence that nobody notices: {silence:?}"
        );
        assert_eq!(silence.refused, Vec::<String>::new());
        if silence.given_up > 0 {
            // What came back was given up, and so was the attempt to replace it.
            let statistics = pool.statistics();
            assert!(statistics.closes.total() > 0, "{statistics:?}");
            assert!(statistics.failed_connects > 0, "{statistics:?}");
        }

        server.thaw();
        F::Mode::sleep(Duration::from_secs(3)).await;
        let awakening = crowd.so_far();
        assert!(
            awakening.longest_acquire < DEADLINE + SLACK,
            "{awakening:?}"
        );
        // On a busy machine one answer in a thousand may come late at any time.
        let mut second = Tally::default();
        for _ in 0..5 {
            crowd.so_far();
            F::Mode::sleep(Duration::from_secs(1)).await;
            second = crowd.so_far();
            if second.missed() == 0 {
                break;
            }
        }
        second.assert_flawless();
        crowd.stop().await;

        // What was begun in the silence has come to its end, at the server as well.
        let whole = (SIZE, SIZE);
        eventually::<F::Mode, _>("recovery", Duration::from_secs(5), whole, || settled(&pool))
            .await;
        let sessions = || server.sessions("frozen");
        eventually::<F::Mode, _>("sessions", Duration::from_secs(5), SIZE, sessions).await;
        assert_every_place_serves::<F>(&pool).await;
        assert_books_balance(&pool);
        pool.close().await;
        assert_books_balance(&pool);
        let sessions = || server.sessions("frozen");
        eventually::<F::Mode, _>("sessions", Duration::from_secs(5), 0, sessions).await;
    });
}

tests!(silent_server_holds_nobody_beyond_his_deadline with all servers);
