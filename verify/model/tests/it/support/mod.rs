mod callers;
mod executor;
mod explore;
mod ledger;
mod manager;
mod world;

#[cfg(shuttle)]
pub(crate) use callers::KeyedPools;
pub(crate) use callers::{Acquired, held, queued};
pub(crate) use executor::{begin, block_on};
pub(crate) use explore::{explore, explore_crowd};
pub(crate) use manager::Script;
