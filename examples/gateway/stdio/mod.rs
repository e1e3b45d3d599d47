//! A pool of servers that speak JSON-RPC over their standard input and output, as those of the
//! Model Context Protocol do. Nothing here knows which async runtime or HTTP library it serves:
//! `gateway` puts it on tokio and axum, `gateway_smol` on smol and hyper.

mod admin;
mod demo_server;
mod fault;
mod gateway;
mod leash;
mod options;
pub(crate) mod process;
mod reply;
mod roster;
mod rpc;
mod servers;
mod session;

pub(crate) use demo_server::serve as serve_stdio;
pub(crate) use gateway::Gateway;
pub(crate) use options::Options;
pub(crate) use reply::{BODY_LIMIT, Reply};
