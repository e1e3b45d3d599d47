//! A PgBouncer between the pool and its server, which is paused, resumed and told to reconnect.

use std::time::Duration;

use watertight::CheckPolicy;
use watertight_services::servers::{PgBouncer, PostgreSql, available};

use crate::crowd::{Crowd, assert_every_place_serves};
use crate::flavour::{Drivers, Flavour, Postgres};
use crate::mode::Settings;
use crate::{assert_books_balance, millis, tests};

const SIZE: usize = 6;
/// Fewer than the pool's, so that PgBouncer has something to do.
const BEHIND: usize = 3;

fn paused_bouncer_costs_no_error<Mo: Drivers>() {
    if !available(PgBouncer::PROGRAMS) {
        return;
    }
    let Some(server) = Postgres::<Mo>::server() else {
        return;
    };
    let bouncer = PgBouncer::start(&server, BEHIND);
    Mo::run(async {
        let pool = Mo::build(
            Mo::postgres(&bouncer.url()),
            &Settings {
                size: SIZE,
                min_idle: SIZE,
                acquire_timeout: Duration::from_secs(10),
                every_timeout: Duration::from_secs(10),
                keepalive: Some(millis(300)),
                check: CheckPolicy::IdleFor(millis(300)),
                reset_on_failed_check: false,
            },
        );
        pool.fill().await.expect("the server is there");
        let crowd = Crowd::start::<Postgres<Mo>>(&pool, 4 * SIZE, Duration::from_secs(10));
        Mo::sleep(millis(300)).await;
        for _ in 0..3 {
            bouncer.tell("PAUSE");
            Mo::sleep(millis(500)).await;
            crowd.so_far().assert_no_error();
            Mo::sleep(millis(500)).await;
            let pause = crowd.so_far();
            assert_eq!(pause.answers, 0, "that was no pause");
            pause.assert_no_error();
            assert_eq!(behind(&server), 0, "a pause disconnects from the server");
            bouncer.tell("RESUME");
            Mo::sleep(millis(1000)).await;
            crowd.so_far().assert_flawless();
            bouncer.tell("RECONNECT");
            Mo::sleep(millis(500)).await;
            crowd.so_far().assert_flawless();
        }
        crowd.stop().await.assert_flawless();
        assert_every_place_serves::<Postgres<Mo>>(&pool).await;
        let statistics = pool.statistics();
        assert_eq!(statistics.connects, SIZE as u64, "{statistics:?}");
        assert_eq!(statistics.failed_connects, 0, "{statistics:?}");
        assert!(behind(&server) <= BEHIND);
        assert_books_balance(&pool);
        pool.close().await;
    });
}

fn behind(server: &PostgreSql) -> usize {
    let count = "select count(*) from pg_stat_activity where usename = 'guest'";
    server.sql(count)[0].parse().expect("it is a number")
}

tests!(paused_bouncer_costs_no_error);
