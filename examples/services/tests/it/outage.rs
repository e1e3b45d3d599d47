//! The server is killed under load, is away for ten seconds, and comes back.

use std::time::{Duration, Instant};

use watertight::CheckPolicy;
use watertight_services::servers::Server;

use crate::crowd::{Crowd, assert_every_place_serves, settled};
use crate::flavour::Flavour;
use crate::mode::{Mode, Settings};
use crate::{assert_books_balance, eventually, millis, tests};

const SIZE: usize = 6;
const DEADLINE: Duration = Duration::from_secs(2);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(1500);

fn killed_server_costs_no_place_and_no_deadline<F: Flavour>() {
    let Some(server) = F::server() else { return };
    F::Mode::run(async {
        let pool = F::Mode::build(
            F::manager(&server, "killed"),
            &Settings {
                size: SIZE,
                min_idle: SIZE,
                acquire_timeout: DEADLINE,
                every_timeout: Duration::from_secs(1),
                keepalive: Some(millis(500)),
                check: CheckPolicy::default(),
                reset_on_failed_check: false,
            },
        );
        pool.fill().await.expect("the server is there");
        assert_eq!(server.sessions("killed"), SIZE);

        let crowd = Crowd::start::<F>(&pool, 4 * SIZE, Duration::from_secs(1));
        F::Mode::sleep(Duration::from_secs(1)).await;
        crowd.so_far().assert_flawless();

        server.kill();
        let down = Instant::now();
        F::Mode::sleep(Duration::from_secs(9)).await;
        let outage = crowd.stop().await;
        assert!(outage.longest_acquire < DEADLINE + SLACK, "{outage:?}");
        assert!(
            outage.timed_out > 0,
            "an outage that nobody notices: {outage:?}"
        );
        assert_eq!(outage.refused, Vec::<String>::new());
        let status = pool.status();
        assert_eq!((status.in_use, status.waiting), (0, 0), "{status:?}");
        F::Mode::sleep(Duration::from_secs(10).saturating_sub(down.elapsed())).await;

        // Nobody asks for a connection from here on.
        let acquires = pool.statistics().acquires;
        server.restart();
        eventually::<F::Mode, _>("recovery", Duration::from_secs(20), (SIZE, SIZE), || {
            settled(&pool)
        })
        .await;
        assert_eq!(pool.statistics().acquires, acquires);
        let sessions = || server.sessions("killed");
        eventually::<F::Mode, _>("sessions", Duration::from_secs(5), SIZE, sessions).await;

        assert_every_place_serves::<F>(&pool).await;
        let crowd = Crowd::start::<F>(&pool, 4 * SIZE, Duration::from_secs(1));
        F::Mode::sleep(Duration::from_secs(1)).await;
        crowd.stop().await.assert_flawless();
        assert_books_balance(&pool);
        pool.close().await;
        assert_books_balance(&pool);
        let sessions = || server.sessions("killed");
        eventually::<F::Mode, _>("sessions", Duration::from_secs(5), 0, sessions).await;
    });
}

tests!(killed_server_costs_no_place_and_no_deadline with all servers);
