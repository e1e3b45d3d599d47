//! What a manager holds is nobody's business.

use std::fmt::Debug;
use std::time::Duration;

use watertight::{KeyedPool, Manager, Pool, SyncPool};

use crate::support::Mortal;

const SECRET: &str = "hunter2";

/// Would tell its password to everybody who asks.
#[derive(Clone, Debug)]
struct Talkative(&'static str);

impl Manager for Talkative {
    type Connection = Talkative;
    type Error = Talkative;

    async fn connect(&self) -> Result<Talkative, Talkative> {
        assert_eq!(self.0, SECRET);
        Ok(self.clone())
    }
}

fn silent(what: &impl Debug) {
    for text in [format!("{what:?}"), format!("{what:#?}")] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn debug_output_tells_nothing_that_the_manager_holds() {
    assert!(format!("{:?}", Talkative(SECRET)).contains(SECRET));
    let runtime = Mortal::new();
    let builder = Pool::builder(Talkative(SECRET))
        .leak_threshold(Duration::from_secs(1))
        .name("orders")
        .runtime(runtime.clone());
    silent(&builder);
    let pool = builder.build().unwrap();
    silent(&pool);
    assert!(format!("{pool:?}").contains("orders"));
    silent(&pool.downgrade());
    silent(&pool.sync());
    silent(&SyncPool::builder(Talkative(SECRET)));
    let keyed =
        KeyedPool::builder(|_: &u32| Talkative(SECRET)).each(|b| b.runtime(runtime.clone()));
    silent(&keyed);
    let keyed = keyed.build().unwrap();
    silent(&keyed);
    silent(&keyed.sync());
    runtime.block_on(async {
        let conn = pool.acquire().await.unwrap();
        silent(&conn);
        silent(&pool.loans());
        silent(&pool.statistics());
        drop(conn);
        silent(&keyed.acquire(&1).await.unwrap());
        keyed.close().await;
        pool.close().await;
    });
}
