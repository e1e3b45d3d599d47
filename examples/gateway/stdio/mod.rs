//! A pool of servers that speak JSON-RPC over their standard input and output, as those of the
//! Model Context Protocol do. Nothing here knows which async runtime or HTTP library it serves:
//! `gateway` puts it on tokio and axum, `gateway_smol` on smol and hyper.

mod admin;
mod config;
mod demo_server;
mod fault;
mod fleet;
mod gateway;
mod head;
mod health;
mod leash;
mod options;
pub(crate) mod process;
mod reply;
mod report;
mod revision;
mod roster;
mod rpc;
mod servers;
mod session;
mod sessions;
mod settings;
mod signal;
mod source;
mod terminal;
mod visitors;

pub(crate) use demo_server::serve as serve_stdio;
pub(crate) use fleet::Fleet;
pub(crate) use head::Head;
pub(crate) use options::Options;
pub(crate) use reply::{BODY_LIMIT, Reply};
pub(crate) use terminal::{complain, say};
pub(crate) use visitors::Visitors;
