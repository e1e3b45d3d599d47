//! The pool against real servers, which these tests start themselves. See `docs/services.md` for what
//! each of them claims.
#![cfg(target_os = "linux")]

mod cancelled;
mod crash;
mod crowd;
mod flavour;
mod frozen;
mod mode;
mod outage;
mod pgbouncer;
mod refused;
mod stale;
mod table;
mod terminated;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use watertight::{Manager, Pool};

use mode::Mode;

/// Makes tests of a generic function, one for each flavour or mode that it is to be tried in.
macro_rules! tests {
    ($test:ident: $($name:ident $flavour:ty),* $(,)?) => {
        mod $test {
            #[allow(unused_imports)]
            use crate::{flavour::{Postgres, Redis}, mode::{Smol, Threads, Tokio}};

            $(#[test]
            fn $name() {
                super::$test::<$flavour>();
            })*
        }
    };
    ($test:ident with all servers) => {
        crate::tests!($test:
            postgres_tokio Postgres<Tokio>,
            postgres_smol Postgres<Smol>,
            postgres_threads Postgres<Threads>,
            redis_tokio Redis<Tokio>,
            redis_smol Redis<Smol>,
            redis_threads Redis<Threads>,
        );
    };
    // Of threads, no caller can be gone half-way.
    ($test:ident with all servers in tasks) => {
        crate::tests!($test:
            postgres_tokio Postgres<Tokio>,
            postgres_smol Postgres<Smol>,
            redis_tokio Redis<Tokio>,
            redis_smol Redis<Smol>,
        );
    };
    ($test:ident in tasks) => {
        crate::tests!($test: tokio Tokio, smol Smol);
    };
    ($test:ident) => {
        crate::tests!($test: tokio Tokio, smol Smol, threads Threads);
    };
}
pub(crate) use tests;

const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Waits until `look` sees what is wanted, for as long as `limit`.
async fn eventually<Mo: Mode, T: PartialEq + Debug>(
    what: &str,
    limit: Duration,
    wanted: T,
    look: impl Fn() -> T,
) {
    let end = Instant::now() + limit;
    loop {
        let seen = look();
        if seen == wanted {
            return;
        }
        assert!(
            Instant::now() < end,
            "{what}: {seen:?}, not {wanted:?}, after {limit:?}"
        );
        Mo::sleep(millis(20)).await;
    }
}

/// All connections that were made have been closed or are there.
fn assert_books_balance<M: Manager>(pool: &Pool<M>) {
    let (status, statistics) = (pool.status(), pool.statistics());
    let there = status.size - status.connecting;
    assert_eq!(
        statistics.connects,
        statistics.closes.total() + there as u64,
        "{status:?} {statistics:?}"
    );
}
