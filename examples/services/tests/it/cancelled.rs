//! A caller is gone in the middle of a request, or of a transaction.

use std::time::{Duration, Instant};

use watertight::{CheckPolicy, PooledConnection};
use watertight_services::postgres;
use watertight_services::servers::Server;

use crate::flavour::{Drivers, Flavour, Postgres, Session};
use crate::mode::{Mode, Settings, Tasks};
use crate::{assert_books_balance, eventually, millis, tests};

const SIZE: usize = 2;
/// Everybody after a caller who is gone is served within this; what he asked for takes a minute.
const SOON: Duration = Duration::from_secs(5);

fn settings() -> Settings {
    Settings {
        size: SIZE,
        min_idle: 0,
        acquire_timeout: SOON,
        every_timeout: SOON,
        keepalive: None,
        check: CheckPolicy::Never,
        reset_on_failed_check: false,
    }
}

/// From before the request is sent until long after.
fn moments() -> impl Iterator<Item = Duration> {
    (0..40).map(|n| Duration::from_micros(n * n * 12))
}

/// Requests are dropped at every moment of theirs; whoever comes next gets his own answer, soon.
fn request_of_a_caller_who_is_gone_is_in_nobodys_way<F: Flavour>() {
    let Some(server) = F::server() else { return };
    F::Mode::run(async {
        let pool = F::Mode::build(F::manager(&server, "cancelled"), &settings());
        for (round, moment) in moments().enumerate() {
            let mut session = F::Mode::acquire(&pool).await.expect("there is one");
            let answer = F::Mode::within(moment, session.ask(F::LONG)).await;
            assert_eq!(answer, None, "that was quick");
            drop(session);

            let begin = Instant::now();
            let mut sessions = Vec::new();
            for _ in 0..SIZE {
                let session = F::Mode::acquire(&pool).await;
                sessions.push(session.unwrap_or_else(|error| panic!("round {round}: {error}")));
            }
            for session in &mut sessions {
                let answer = session.ask(F::REQUEST).await;
                assert_eq!(answer.as_deref(), Ok(F::ANSWER), "in round {round}");
            }
            assert!(
                begin.elapsed() < SOON,
                "round {round}: {:?}",
                begin.elapsed()
            );
        }
        // One that is closed instead ends at the server as well, long before its minute is over.
        let mut session = F::Mode::acquire(&pool).await.expect("there is one");
        let answer = F::Mode::within(millis(50), session.ask(F::LONG)).await;
        assert_eq!(answer, None, "that was quick");
        PooledConnection::discard(session);
        let closed = || (pool.status().closing, pool.statistics().closes.discarded);
        eventually::<F::Mode, _>("close", SOON, (0, 1), closed).await;

        assert_books_balance(&pool);
        let size = pool.status().size;
        let sessions = || server.sessions("cancelled");
        eventually::<F::Mode, _>("sessions", SOON, size, sessions).await;
        pool.close().await;
        let sessions = || server.sessions("cancelled");
        eventually::<F::Mode, _>("sessions", SOON, 0, sessions).await;
    });
}

tests!(request_of_a_caller_who_is_gone_is_in_nobodys_way with all servers in tasks);

/// How a caller leaves a transaction open.
#[derive(Clone, Copy, Debug)]
enum Abandoned {
    /// He forgets it, or an error makes him.
    Dropped,
    /// He is gone while a statement of it runs.
    Cancelled,
    /// He began it by hand, without telling the session.
    ByHand,
}

async fn abandon<Mo: Mode>(session: &mut postgres::Session, how: Abandoned) {
    const MARK: &str = "update accounts set balance = 0";
    match how {
        Abandoned::Dropped => {
            let transaction = session.transaction().await.expect("it begins");
            assert_eq!(transaction.execute(MARK, &[]).await.expect("it is done"), 1);
        }
        Abandoned::Cancelled => {
            let transaction = session.transaction().await.expect("it begins");
            assert_eq!(transaction.execute(MARK, &[]).await.expect("it is done"), 1);
            let long = transaction.batch_execute("select pg_sleep(60)");
            assert!(Mo::within(millis(20), long).await.is_none());
        }
        Abandoned::ByHand => {
            let script = format!("begin; {MARK}");
            session
                .client()
                .batch_execute(&script)
                .await
                .expect("it is done");
        }
    }
}

fn abandoned_transaction_is_rolled_back_before_anybody_sees_it<Mo: Tasks>() {
    let Some(server) = Postgres::<Mo>::server() else {
        return;
    };
    server.sql(
        "create table accounts (balance integer not null); insert into accounts values (100);
         grant all on accounts to guest",
    );
    Mo::run(async {
        // One session, so that who comes next gets that very one, if it can be made clean.
        let pool = Mo::build(
            Mo::postgres(&server.url("abandoned")),
            &Settings {
                size: 1,
                ..settings()
            },
        );
        let own = "select pg_backend_pid()";
        let before = Mo::acquire(&pool)
            .await
            .expect("there is one")
            .ask(own)
            .await;
        let mut begun = 0;
        for how in [Abandoned::Dropped, Abandoned::Cancelled, Abandoned::ByHand] {
            for _ in 0..10 {
                let mut session = Mo::acquire(&pool).await.expect("there is one");
                abandon::<Mo>(&mut session, how).await;
                drop(session);
                begun += 1;
                let status = pool.status();
                assert_eq!(
                    (status.idle, status.recycling),
                    (0, 1),
                    "{how:?}: {status:?}"
                );

                let mut session = Mo::acquire(&pool).await.expect("it is clean again");
                let open = "select pg_current_xact_id_if_assigned() is not null";
                assert_eq!(session.ask(open).await.expect("it answers"), "f", "{how:?}");
                let balance = "select balance from accounts";
                assert_eq!(
                    session.ask(balance).await.expect("it answers"),
                    "100",
                    "{how:?}"
                );
                // Nothing is locked either, and what is done now is kept.
                let again = session
                    .query("update accounts set balance = 100", &[])
                    .await;
                again.expect("nobody is in the way");
            }
        }
        let after = Mo::acquire(&pool)
            .await
            .expect("there is one")
            .ask(own)
            .await;
        assert_eq!(before.expect("it answers"), after.expect("it answers"));
        assert_eq!(pool.statistics().connects, 1, "after {begun} transactions");

        // What is committed comes back clean.
        let mut session = Mo::acquire(&pool).await.expect("there is one");
        let transaction = session.transaction().await.expect("it begins");
        let change = transaction
            .execute("update accounts set balance = 7", &[])
            .await;
        assert_eq!(change.expect("it is done"), 1);
        transaction.commit().await.expect("it is kept");
        drop(session);
        assert_eq!(pool.status().idle, 1);
        pool.close().await;
    });
    assert_eq!(server.sql("select balance from accounts"), ["7"]);
    assert_eq!(server.sessions("abandoned"), 0);
}

tests!(abandoned_transaction_is_rolled_back_before_anybody_sees_it in tasks);
