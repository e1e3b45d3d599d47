//! What the types say of themselves: what they are, and nothing that the manager holds.

use std::convert::Infallible;
use std::error::Error as _;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use watertight::{
    AcquireError, Balanced, BalancedError, Blocking, BlockingManager, CheckPolicy, Condition,
    ConnectError, ConnectPolicy, KeyedPool, Manager, Metrics, Phase, Pool, PooledConnection,
};

use crate::support::Mortal;

/// Neither it nor its connections can be printed.
struct Discreet;

impl Manager for Discreet {
    type Connection = Secret;
    type Error = Infallible;

    async fn connect(&self) -> Result<Secret, Infallible> {
        Ok(Secret)
    }
}

impl BlockingManager for Discreet {
    type Connection = Secret;
    type Error = Infallible;

    fn connect(&self) -> Result<Secret, Infallible> {
        Ok(Secret)
    }
}

#[derive(Debug, PartialEq)]
struct Secret;

/// Asserts that it says this first, all of the rest, and nothing of the connection.
#[track_caller]
fn assert_says(value: &dyn Debug, name: &str, rest: &[&str]) {
    let said = format!("{value:?}");
    assert!(said.starts_with(name), "{said}");
    for part in rest {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("Secret"), "{said}");
}

#[test]
fn pools_and_their_handles_say_how_things_stand() {
    let runtime = Mortal::new();
    let builder = Pool::builder(Discreet).max_size(7).runtime(runtime.clone());
    assert_says(&builder, "Builder {", &["max_size: 7"]);
    let pool = builder.build().unwrap();
    let conn = runtime.block_on(pool.acquire()).unwrap();
    assert_says(&conn, "PooledConnection {", &["id: Some(0)"]);
    pool.set_leak_threshold(Some(Duration::from_secs(1)))
        .unwrap();
    let marked = runtime.block_on(pool.acquire()).unwrap();
    let loans = pool.loans();
    let loan = [
        "connection: 1",
        "held: 0ns",
        "debugging.rs:",
        "thread: Some(",
    ];
    assert_says(loans.last().unwrap(), "Loan {", &loan);
    drop(marked);
    let status = ["max_size: 7", "in_use: 1"];
    assert_says(&pool, "Pool {", &status);
    assert_says(&pool.sync(), "SyncPool {", &status);
    assert_says(&pool.downgrade(), "WeakPool", &[]);
    drop(conn);
    runtime.block_on(pool.close());
    let made = Pool::from_fn(|| async { Ok::<_, Infallible>(Secret) })
        .runtime(runtime.clone())
        .build()
        .unwrap();
    assert_says(made.manager(), "FromFn", &[]);
    runtime.block_on(made.close());
}

#[test]
fn pools_with_keys_say_how_all_of_them_stand() {
    let runtime = Mortal::new();
    let builder = KeyedPool::builder(|_: &u32| Discreet)
        .max_total(5)
        .each(|each| each.max_size(2).runtime(runtime.clone()));
    assert_says(&builder, "KeyedBuilder {", &["max_total: 5", "max_size: 2"]);
    let pool = builder.build().unwrap();
    let conn = runtime.block_on(pool.acquire(&1)).unwrap();
    let status = ["total_status", "max_size: 5", "in_use: 1"];
    assert_says(&pool, "KeyedPool {", &status);
    assert_says(&pool.sync(), "SyncKeyedPool {", &status);
    drop(conn);
    runtime.block_on(pool.close());
}

#[test]
fn managers_of_managers_say_what_they_are() {
    let runtime = Mortal::new();
    let pool = Pool::builder(Blocking::new(Discreet))
        .runtime(runtime.clone())
        .build()
        .unwrap();
    assert_says(pool.manager(), "Blocking", &[]);
    let conn = runtime.block_on(pool.acquire()).unwrap();
    assert_says(&*conn, "BlockingConnection", &[]);
    drop(conn);
    runtime.block_on(pool.close());
    let pool = Pool::builder(Balanced::new([Discreet, Discreet]))
        .runtime(runtime.clone())
        .build()
        .unwrap();
    assert_says(pool.manager(), "Balanced {", &["endpoints: 2", "policy: "]);
    let conn = runtime.block_on(pool.acquire()).unwrap();
    assert_says(&*conn, "BalancedConnection {", &["endpoint: "]);
    drop(conn);
    runtime.block_on(pool.close());
}

#[test]
fn errors_say_all_that_they_know() {
    type Late = AcquireError<&'static str>;
    let refused = ConnectError::Failed(Arc::new("refused"));
    assert_says(&refused, "Failed(\"refused\")", &[]);
    assert_says(&ConnectError::<()>::TimedOut, "TimedOut", &[]);
    assert_says(&ConnectError::<()>::Panicked, "Panicked", &[]);
    assert_says(&Late::Connect(refused), "Connect(Failed(", &["refused"]);
    assert_says(&Late::Paused, "Paused", &[]);
    assert_says(&Late::QueueFull, "QueueFull", &[]);
    assert_says(&Late::Closed, "Closed", &[]);
    let waited = Duration::from_millis(7);
    assert_says(&Late::Shed { waited }, "Shed {", &["waited: 7ms"]);
    let late = late_error();
    assert!(matches!(
        late,
        AcquireError::TimedOut {
            phase: Phase::Wait,
            ..
        }
    ));
    let said = ["phase: Wait", "waited: 7ms", "cause: None", "in_use: 1"];
    assert_says(&late, "TimedOut {", &said);
    assert!(late.source().is_none(), "nothing failed");
}

/// Law 44.
#[test]
fn errors_say_which_they_are_and_none_other() {
    type Any = AcquireError<Infallible>;
    let waited = Duration::ZERO;
    let all = [
        late_error(),
        Any::Paused,
        Any::QueueFull,
        Any::Shed { waited },
        Any::Closed,
        Any::Connect(ConnectError::TimedOut),
    ];
    for (number, error) in all.iter().enumerate() {
        let is = [
            error.is_timed_out(),
            error.is_paused(),
            error.is_queue_full(),
            error.is_shed(),
            error.is_closed(),
            error.connect_error().is_some(),
        ];
        let expected = std::array::from_fn(|other| other == number);
        assert_eq!(is, expected, "{error}");
    }
}

#[test]
fn what_an_error_is_due_to_is_its_source() {
    let refused = || ConnectError::Failed(Arc::new(std::io::Error::other("refused")));
    let error = AcquireError::Connect(refused());
    let source = error.source().unwrap();
    assert_eq!(source.to_string(), refused().to_string());
    assert_eq!(source.source().unwrap().to_string(), "refused");
    let late = ConnectError::<std::io::Error>::TimedOut;
    assert!(late.source().is_none());
    assert!(AcquireError::<std::io::Error>::Closed.source().is_none());
}

#[test]
fn only_a_caller_who_waited_for_a_return_is_told_what_to_do_about_it() {
    let hint = "; raise max_size, or look for connections that are held too long";
    let late = late_error();
    assert!(late.to_string().ends_with(hint), "{late}");
    let AcquireError::TimedOut { waited, status, .. } = late else {
        panic!("{late}");
    };
    for phase in [Phase::Check, Phase::Connect] {
        let late = AcquireError::<Infallible>::TimedOut {
            phase,
            waited,
            cause: None,
            status: status.clone(),
        };
        assert!(!late.to_string().contains(hint), "{late}");
    }
}

/// What a caller gets for whom a lent connection does not come back.
fn late_error() -> AcquireError<Infallible> {
    let runtime = Mortal::new();
    let pool = Pool::builder(Discreet)
        .max_size(1)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let conn = runtime.block_on(pool.acquire()).unwrap();
    let late = runtime.block_on(pool.acquire_timeout(Duration::from_millis(7)));
    drop(conn);
    runtime.block_on(pool.close());
    late.map(drop).unwrap_err()
}

#[test]
fn error_of_several_hosts_says_what_each_had_to_say() {
    struct Down(&'static str);
    impl Manager for Down {
        type Connection = Secret;
        type Error = &'static str;
        async fn connect(&self) -> Result<Secret, &'static str> {
            Err(self.0)
        }
    }
    let runtime = Mortal::new();
    let pool = Pool::builder(Balanced::new([Down("cold"), Down("wet")]))
        .runtime(runtime.clone())
        .connect_policy(ConnectPolicy::FailFast)
        .build()
        .unwrap();
    let error = runtime.block_on(pool.acquire()).map(drop).unwrap_err();
    let all: &BalancedError<_> = error
        .connect_error()
        .and_then(ConnectError::manager_error)
        .unwrap();
    let each = [
        "endpoint: 0",
        "Failed(\"cold\")",
        "endpoint: 1",
        "Failed(\"wet\")",
    ];
    assert_says(all, "[EndpointFailure {", &each);
    runtime.block_on(pool.close());
}

#[test]
fn blocking_manager_that_says_nothing_more_has_fit_and_clean_connections() {
    let runtime = Mortal::new();
    let pool = Pool::builder(Blocking::new(Discreet))
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let manager = pool.manager().get_ref();
    let mut conn = runtime.block_on(pool.acquire()).unwrap();
    let metrics = PooledConnection::metrics(&conn);
    assert_eq!(BlockingManager::check(manager, &mut conn, &metrics), Ok(()));
    assert_eq!(BlockingManager::recycle(manager, &mut conn), Ok(()));
    let condition = BlockingManager::inspect(manager, &mut conn);
    assert_eq!(condition, Condition::Clean);
    let Err(error) = Fails.connect();
    assert!(!BlockingManager::is_permanent(&Fails, &error));
    let detached = PooledConnection::detach(conn).into_inner();
    assert_eq!(detached, Secret);
    BlockingManager::close(manager, detached);
    runtime.block_on(pool.close());
}

/// Nothing comes of it.
struct Fails;

impl BlockingManager for Fails {
    type Connection = Infallible;
    type Error = &'static str;

    fn connect(&self) -> Result<Infallible, &'static str> {
        Err("no")
    }
}

/// Makes connections, and refuses all else that could be refused.
struct Picky;

impl BlockingManager for Picky {
    type Connection = Secret;
    type Error = &'static str;

    fn connect(&self) -> Result<Secret, &'static str> {
        Ok(Secret)
    }

    fn check(&self, _: &mut Secret, _: &Metrics) -> Result<(), &'static str> {
        Err("unfit")
    }

    fn inspect(&self, _: &mut Secret) -> Condition {
        Condition::Dirty
    }

    fn recycle(&self, _: &mut Secret) -> Result<(), &'static str> {
        Err("unclean")
    }

    fn is_permanent(&self, error: &&'static str) -> bool {
        *error == "unfit"
    }
}

#[test]
fn what_a_blocking_manager_says_is_passed_on() {
    let runtime = Mortal::new();
    let pool = Pool::builder(Blocking::new(Picky))
        .max_size(1)
        .check_policy(CheckPolicy::Always)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    drop(runtime.block_on(pool.acquire()).unwrap());
    runtime.settle();
    assert_eq!(pool.statistics().closes.recycle_failed, 1);
    let conn = runtime.block_on(pool.acquire()).unwrap();
    let connection = PooledConnection::detach(conn);
    pool.adopt(connection).ok().unwrap();
    drop(runtime.block_on(pool.acquire()).unwrap());
    assert_eq!(pool.statistics().closes.check_failed, 1);
    assert!(pool.manager().is_permanent(&"unfit"));
    assert!(!pool.manager().is_permanent(&"unclean"));
    runtime.block_on(pool.close());
}

#[test]
fn what_is_wrong_with_settings_is_said() {
    use watertight::BuildError;
    let zero = BuildError::Zero {
        option: "max_total",
    };
    let said = [
        (BuildError::ZeroMaxSize, "max_size"),
        (zero, "max_total must not be zero"),
        (BuildError::LifetimeJitter, "lifetime_jitter"),
        (BuildError::Backoff, "back-off"),
        (BuildError::MinIdleOfKeys, "min_idle"),
        (BuildError::NoRuntime, "runtime"),
        (BuildError::NoTimer, "timer"),
    ];
    for (error, word) in said {
        let text = error.to_string();
        assert!(text.contains(word), "{error:?}: {text}");
    }
}

/// Nobody holds any, so nothing is said of that.
#[test]
fn time_out_blames_no_holder_where_there_is_none() {
    let runtime = Mortal::new();
    let connect = || std::future::pending::<Result<(), Infallible>>();
    let pool = Pool::from_fn(connect)
        .max_size(1)
        .runtime(runtime.clone())
        .build()
        .unwrap();
    let late = |pool: &Pool<_>| {
        let ms = Duration::from_millis;
        let late = runtime.block_on(pool.acquire_timeout(ms(5)));
        late.err().unwrap().to_string()
    };
    pool.resize(0);
    let text = late(&pool);
    assert!(text.contains("waiting for a connection"), "{text}");
    assert!(!text.contains("held too long"), "{text}");
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_say_of_which_pool_they_are() {
    let metrics = watertight::PoolMetrics::new("orders");
    assert_says(&metrics, "PoolMetrics {", &["orders"]);
}

#[cfg(feature = "tokio")]
#[test]
fn runtime_of_tokio_says_whether_it_is_down() {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let runtime = watertight::TokioRuntime::new(tokio.handle().clone());
    assert_says(&runtime, "TokioRuntime {", &["down: false"]);
}
