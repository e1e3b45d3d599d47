//! The command line.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use humantime::parse_duration;

use super::process::CommandLine;

/// Serves a pool of stdio servers (JSON-RPC 2.0, one message a line, as the Model Context
/// Protocol has it) over HTTP.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,

    /// Address for the operator, to POST /admin/pause, /admin/resume and /admin/reset to. Must be one
    /// that only this machine can reach, such as 127.0.0.1:0; there is none unless this is given
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    pub(crate) admin: Option<SocketAddr>,

    /// The most servers to run at a time
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(crate) max: usize,

    /// How many servers to keep ready. With 0 the first starts with the first request, and a
    /// command that does not work shows only then
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) min_idle: usize,

    /// How long a request may wait for a server
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) acquire_timeout: Duration,

    /// How long a server may take to answer
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) request_timeout: Duration,

    /// How long a server may take to start
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) connect_timeout: Duration,

    /// How long a server may be idle before it is ended
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_timeout: Duration,

    /// How long requests in progress may take after Ctrl-C
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) drain_timeout: Duration,

    /// Be a stdio server oneself: what the gateway starts if it is given no command
    #[arg(long)]
    pub(crate) stdio_server: bool,

    /// The server to start, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Options {
    /// The command to start a server with: the one given, or this program as a server.
    pub(crate) fn command_line(&self) -> io::Result<CommandLine> {
        Ok(match self.command.split_first() {
            Some((program, arguments)) => CommandLine {
                program: program.clone(),
                arguments: arguments.to_vec(),
            },
            None => CommandLine {
                program: env::current_exe()?.into(),
                arguments: vec!["--stdio-server".into()],
            },
        })
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "no address and port".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("other machines can reach that address".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_let_administer() {
        let admin = |address| {
            let options = Options::try_parse_from(["gateway", "--admin", address]);
            options.map(|options| options.admin)
        };
        for address in ["127.0.0.1:0", "127.0.0.7:8081", "[::1]:0"] {
            assert_eq!(admin(address).ok(), Some(address.parse().ok()));
        }
        for address in [
            "0.0.0.0:0",
            "[::]:8081",
            "192.0.2.1:8081",
            "127.0.0.1",
            "host:1",
        ] {
            assert!(admin(address).is_err(), "{address}");
        }
        assert_eq!(Options::parse_from(["gateway"]).admin, None);
    }
}
