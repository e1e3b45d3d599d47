//! diesel's own manager for r2d2, with SQLite: queries want the connection itself, `&mut **conn`.
//!
//! ```sh
//! cargo run --features sqlite --bin diesel_sqlite
//! ```

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::ConnectionManager;
use watertight::{Blocking, CheckPolicy, R2d2Manager, SyncPool};
use watertight_ecosystem::Outcome;

diesel::table! {
    notes (id) {
        id -> Integer,
        text -> Text,
    }
}

fn main() -> Outcome {
    // In memory, so there is but one connection to have.
    let manager = ConnectionManager::<SqliteConnection>::new(":memory:");
    let pool = SyncPool::builder(Blocking::new(R2d2Manager::new(manager)))
        .max_size(1)
        .check_policy(CheckPolicy::Always)
        .idle_timeout(None)
        .max_lifetime(None)
        .build()?;

    let mut conn = pool.acquire()?;
    diesel::sql_query("create table notes (id integer primary key, text text not null)")
        .execute(&mut **conn)?;
    drop(conn);
    for text in ["one", "two", "three"] {
        let mut conn = pool.acquire()?;
        diesel::insert_into(notes::table)
            .values(notes::text.eq(text))
            .execute(&mut **conn)?;
    }

    // A holder that leaves a transaction open: the manager says that it is broken.
    let mut conn = pool.acquire()?;
    let texts: Vec<String> = notes::table.select(notes::text).load(&mut **conn)?;
    println!("{texts:?}, by {} connection", pool.statistics().connects);
    assert_eq!(texts, ["one", "two", "three"]);
    AnsiTransactionManager::begin_transaction(&mut **conn)?;
    drop(conn);
    pool.close();
    assert_eq!(pool.statistics().closes.broken, 1);
    Ok(())
}
