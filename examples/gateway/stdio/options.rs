//! The command line.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use humantime::parse_duration;

use super::config;
use super::process::CommandLine;
use super::settings::{Plan, PoolSettings, Settings, parse_wait};

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

    /// Serve the servers that this file (TOML) names, each under /mcp/NAME. The options below are
    /// what holds for those of which it says nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) config: Option<PathBuf>,

    /// Serve requests to this host name, and from web pages of this host, although it is not this
    /// machine. May be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,

    /// The most connections that clients may have at a time; more wait until one is closed
    #[arg(long, default_value = "512", value_name = "N")]
    pub(crate) max_connections: NonZeroUsize,

    /// How long a client may take to send the header of a request, then its body, and to take any of
    /// an answer (on Linux); and how long a connection may be idle before it is closed
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) client_timeout: Duration,

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
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) request_timeout: Duration,

    /// How long a server may take to start
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) connect_timeout: Duration,

    /// How long a server may be idle before it is ended, as long as more are than are kept ready
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_timeout: Duration,

    /// How long requests in progress may take after Ctrl-C, SIGTERM or SIGHUP
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) shutdown_timeout: Duration,

    /// Be a stdio server oneself: what the gateway starts if it is given no command
    #[arg(long)]
    pub(crate) stdio_server: bool,

    /// The server to start, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Options {
    /// What is to be served: what the file names, or the one command under the empty name. The
    /// error is for the user to read.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        if let Some(path) = &self.config {
            return config::read(path, self);
        }
        let command = self.command_line().map_err(|error| error.to_string())?;
        let settings = Settings {
            command,
            request_timeout: self.request_timeout,
            pool: self.pool(),
        };
        Ok(Plan {
            servers: vec![(String::new(), settings)],
            shared: None,
        })
    }

    /// The settings of every pool of which nothing else is said.
    pub(super) fn pool(&self) -> PoolSettings {
        PoolSettings {
            max: self.max,
            min_idle: self.min_idle,
            max_waiters: None,
            acquire_timeout: self.acquire_timeout,
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            keepalive: None,
            max_lifetime: None,
            max_uses: None,
            circuit_breaker: false,
        }
    }

    /// The command to start a server with: the one given, or this program as a server.
    fn command_line(&self) -> io::Result<CommandLine> {
        let (program, arguments) = match self.command.split_first() {
            Some((program, arguments)) => (program.clone(), arguments.to_vec()),
            None => (env::current_exe()?.into(), vec!["--stdio-server".into()]),
        };
        Ok(CommandLine {
            name: "servers".to_owned(),
            program,
            arguments,
            environment: Vec::new(),
            directory: None,
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

    #[test]
    fn a_request_has_some_time_and_not_all() {
        let timeout = |time| {
            let options = Options::try_parse_from(["gateway", "--request-timeout", time]);
            options.map(|options| options.request_timeout)
        };
        assert_eq!(timeout("1ms").ok(), Some(Duration::from_millis(1)));
        assert_eq!(timeout("24h").ok(), Some(Duration::from_secs(86400)));
        for time in ["0s", "999us", "25h", "500000000000y", "30"] {
            assert!(timeout(time).is_err(), "{time}");
        }
    }

    #[test]
    fn a_file_and_a_command_exclude_each_other() {
        let line = ["gateway", "--config", "x.toml", "--", "server"];
        assert!(Options::try_parse_from(line).is_err());
        assert!(Options::try_parse_from(&line[..3]).is_ok());
    }
}
