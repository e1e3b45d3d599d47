//! The server refuses: it is full, or the password is wrong.

use std::error::Error;
use std::time::{Duration, Instant};

use watertight::{AcquireError, CheckPolicy, ConnectError};
use watertight_services::servers::{PostgreSql, available};

use crate::crowd::Crowd;
use crate::flavour::{Drivers, Flavour, Postgres};
use crate::mode::Settings;
use crate::{assert_books_balance, eventually, millis, tests};

const SIZE: usize = 6;

fn settings(acquire_timeout: Duration) -> Settings {
    Settings {
        size: SIZE,
        min_idle: 0,
        acquire_timeout,
        every_timeout: Duration::from_secs(5),
        keepalive: None,
        check: CheckPolicy::default(),
        reset_on_failed_check: false,
    }
}

/// The server's code at the bottom of an error.
fn code<E: Error + 'static>(error: &AcquireError<E>) -> String {
    let mut next: Option<&(dyn Error + 'static)> = Some(match error.connect_error() {
        Some(ConnectError::Failed(error)) => &**error,
        other => panic!("not an error of the server's: {other:?}"),
    });
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<postgres::Error>() {
            return error
                .code()
                .map(|code| code.code().to_owned())
                .unwrap_or_default();
        }
        next = error.source();
    }
    panic!("no error of PostgreSQL's: {error:?}")
}

/// Two may log in, and no more: `FATAL 53300`.
fn full_server_is_shared_by_those_it_lets_in<Mo: Drivers>() {
    if !available(PostgreSql::PROGRAMS) {
        return;
    }
    let places = [
        "max_connections=5",
        "superuser_reserved_connections=3",
        "max_wal_senders=0",
    ];
    let server = PostgreSql::start(&places);
    Mo::run(async {
        let pool = Mo::build(
            Mo::postgres(&server.url("first")),
            &settings(Duration::from_secs(20)),
        );
        let crowd = Crowd::start::<Postgres<Mo>>(&pool, 4 * SIZE, Duration::from_secs(10));
        Mo::sleep(Duration::from_secs(2)).await;
        let tally = crowd.stop().await;
        tally.assert_flawless();
        let statistics = pool.statistics();
        assert!(statistics.failed_connects > 0, "{statistics:?}");
        assert_eq!(statistics.connects, 2, "{statistics:?}");

        // Another pool gets nothing, and is told why, at its deadline.
        let late = Mo::build(Mo::postgres(&server.url("second")), &settings(millis(700)));
        let begin = Instant::now();
        let error = Mo::acquire(&late).await.expect_err("the server is full");
        assert!(
            error.is_timed_out() && begin.elapsed() >= millis(700),
            "{error:?}"
        );
        assert!(begin.elapsed() < millis(2200), "{error:?}");
        assert_eq!(code(&error), "53300");

        // Until there is room, which it notices by itself.
        late.set_min_idle(2).expect("there are six places");
        pool.close().await;
        let idle = || late.status().idle;
        eventually::<Mo, _>("recovery", Duration::from_secs(10), 2, idle).await;
        assert_books_balance(&pool);
        assert_books_balance(&late);
        late.close().await;
    });
}

fn wrong_password_fails_at_once<Mo: Drivers>() {
    let Some(server) = Postgres::<Mo>::server() else {
        return;
    };
    Mo::run(async {
        let url = server.url_of("locked:guess", "locked");
        let pool = Mo::build(Mo::postgres(&url), &settings(Duration::from_secs(60)));
        let begin = Instant::now();
        let error = Mo::acquire(&pool).await.expect_err("the password is wrong");
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            begin.elapsed()
        );
        assert!(matches!(error, AcquireError::Connect(_)), "{error:?}");
        assert_eq!(code(&error), "28P01");
        assert_eq!(pool.statistics().failed_connects, 1);
        let filling = pool.set_min_idle(1);
        filling.expect("there are six places");
        assert!(pool.fill().await.is_err());
        pool.close().await;

        let url = server.url_of("locked:secret", "locked");
        let pool = Mo::build(Mo::postgres(&url), &settings(Duration::from_secs(60)));
        drop(Mo::acquire(&pool).await.expect("the password is right"));
        pool.close().await;
    });
}

tests!(full_server_is_shared_by_those_it_lets_in);
tests!(wrong_password_fails_at_once);
