mod callers;
mod executor;
mod explore;
mod ledger;
mod manager;
mod world;

pub(crate) use callers::{Acquired, held, queued};
pub(crate) use executor::{begin, block_on};
pub(crate) use explore::{explore, explore_within};
pub(crate) use manager::{Conn, Maker, Script};
pub(crate) use world::World;
