mod callers;
mod executor;
mod explore;
mod ledger;
mod manager;
mod world;

#[cfg(shuttle)]
pub(crate) use callers::KeyedPools;
pub(crate) use callers::{Acquired, assert_served_or_closed, held, queued};
pub(crate) use executor::{begin, block_on};
pub(crate) use explore::{explore, explore_crowd};
pub(crate) use manager::{Maker, Script};
pub(crate) use world::World;
