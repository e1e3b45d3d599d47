//! The same two jobs for every pool.
//!
//! Each session has both statements prepared when it is first needed or before, and keeps them: with
//! deadpool-postgres in its statement cache, with the others beside the client.

mod bb8;
mod deadpool;
mod watertight;

use std::error::Error;
use std::future::Future;

pub use self::bb8::Bb8;
pub use self::deadpool::Deadpool;
pub use self::watertight::Watertight;

/// Why a request failed.
pub type Failure = Box<dyn Error + Send + Sync>;

const READ: &str = "select balance from accounts where id = $1";
const WRITE: &str = "update accounts set balance = balance + 1 where id = $1";

/// A pool of sessions with accounts.
pub trait Accounts: Clone + Send + Sync + 'static {
    /// Reads one row: one round trip.
    fn read(&self, id: i32) -> impl Future<Output = Result<i32, Failure>> + Send;

    /// Changes one row in a transaction: three round trips. Returns how many rows there were.
    fn write(&self, id: i32) -> impl Future<Output = Result<u64, Failure>> + Send;
}
