//! The file with several servers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::options::Options;
use super::process::CommandLine;
use super::settings::{Plan, PoolSettings, Settings, Shared, parse_wait};

/// A name is a segment of a path.
const LONGEST_NAME: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    max_processes: Option<Spanned<usize>>,
    request_timeout: Option<Wait>,
    #[serde(default)]
    pool: Pool,
    servers: BTreeMap<Spanned<String>, Server>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    command: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<PathBuf>,
    request_timeout: Option<Wait>,
    pool: Option<Spanned<Pool>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    max: Option<usize>,
    min_idle: Option<Spanned<usize>>,
    max_waiters: Option<usize>,
    acquire_timeout: Option<Time>,
    connect_timeout: Option<Time>,
    idle_timeout: Option<Time>,
    keepalive: Option<Time>,
    max_lifetime: Option<Time>,
    max_uses: Option<u64>,
    circuit_breaker: Option<bool>,
}

/// A number and a unit, as on the command line.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Time(Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = humantime::parse_duration(&text);
        time.map(Time)
            .map_err(|_| "this is no time such as \"10s\"".to_owned())
    }
}

/// A [`Time`] that somebody waits for.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Wait(Duration);

impl TryFrom<String> for Wait {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wait = parse_wait(&text);
        Time::try_from(text)?;
        wait.map(Wait)
    }
}

/// Reads the file. What it does not say is as the options of the command line have it. The error
/// is for the user to read, and for whoever reads the log: it names keys and lines, but none of the
/// values, for there may be secrets among them.
pub(crate) fn read(path: &Path, options: &Options) -> Result<Plan, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&text, options).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse(text: &str, options: &Options) -> Result<Plan, String> {
    let flawed = |at: std::ops::Range<usize>, what: String| {
        let before = &text.as_bytes()[..at.start.min(text.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("line {line}: {what}")
    };
    let flaw = |at, what| Err(flawed(at, what));
    let file: File = toml::from_str(text).map_err(|error| {
        let what = without_value(error.message());
        // As it prints itself, it has the whole line.
        match error.span() {
            Some(at) => flawed(at, what),
            None => what,
        }
    })?;
    if file.servers.is_empty() {
        return Err("there are no servers".to_owned());
    }
    let mut common = file.pool.over(options.pool());
    if let Some(most) = &file.max_processes {
        if *most.get_ref() == 0 {
            return flaw(most.span(), "`max_processes` must be at least 1".to_owned());
        }
        // A common limit means that whoever needs a process gets the one that was used least
        // recently: nobody can have any kept ready.
        match &file.pool.min_idle {
            Some(kept) if *kept.get_ref() > 0 => {
                let what = "`min_idle` is not for servers that share `max_processes`";
                return flaw(kept.span(), what.to_owned());
            }
            _ => common.min_idle = 0,
        }
    }
    let request_timeout = file
        .request_timeout
        .unwrap_or(Wait(options.request_timeout));
    let mut servers = Vec::new();
    for (name, server) in file.servers {
        if !is_name(name.get_ref()) {
            let what = format!(
                "{:?} is no name: up to {LONGEST_NAME} letters, digits, `-` and `_`",
                name.get_ref()
            );
            return flaw(name.span(), what);
        }
        let pool = match server.pool {
            Some(pool) if file.max_processes.is_some() => {
                let what = "servers that share `max_processes` have the settings of the one [pool]";
                return flaw(pool.span(), what.to_owned());
            }
            Some(pool) => pool.into_inner().over(common.clone()),
            None => common.clone(),
        };
        let name = name.into_inner();
        let settings = Settings {
            command: CommandLine {
                name: name.clone(),
                program: server.command.into(),
                arguments: server.args.into_iter().map(Into::into).collect(),
                environment: server.env.into_iter().collect(),
                directory: server.cwd,
            },
            request_timeout: server.request_timeout.unwrap_or(request_timeout).0,
            pool,
        };
        servers.push((name, settings));
    }
    Ok(Plan {
        servers,
        shared: file.max_processes.map(|most| Shared {
            max_processes: most.into_inner(),
            pool: common,
        }),
    })
}

/// A value of the wrong kind is told by its kind: `args = "--key=..."` is a likely mistake.
fn without_value(message: &str) -> String {
    let shown = ["invalid type: ", "invalid value: "];
    if !shown.iter().any(|what| message.starts_with(what)) {
        return message.to_owned();
    }
    // `string "..."` or ``integer `...` ``; the last of these is serde's own.
    let kind = message.split(['"', '`']).next().unwrap_or_default();
    match message.rsplit_once(", expected ") {
        Some((before, expected)) if kind.len() < before.len() => {
            format!("{}, expected {expected}", kind.trim_end())
        }
        _ => message.to_owned(),
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(fits)
}

impl Pool {
    /// These settings where there are any, and those otherwise. Takes the struct apart, so that
    /// none can be forgotten.
    fn over(&self, defaults: PoolSettings) -> PoolSettings {
        let Pool {
            max,
            min_idle,
            max_waiters,
            acquire_timeout,
            connect_timeout,
            idle_timeout,
            keepalive,
            max_lifetime,
            max_uses,
            circuit_breaker,
        } = self;
        let time = |time: &Option<Time>| time.map(|Time(time)| time);
        let min_idle = min_idle.as_ref().map(|kept| *kept.get_ref());
        let max = max.unwrap_or(defaults.max);
        PoolSettings {
            max,
            // A default is no reason to call a smaller pool wrong.
            min_idle: min_idle.unwrap_or(defaults.min_idle.min(max)),
            max_waiters: max_waiters.or(defaults.max_waiters),
            acquire_timeout: time(acquire_timeout).unwrap_or(defaults.acquire_timeout),
            connect_timeout: time(connect_timeout).unwrap_or(defaults.connect_timeout),
            idle_timeout: time(idle_timeout).unwrap_or(defaults.idle_timeout),
            keepalive: time(keepalive).or(defaults.keepalive),
            max_lifetime: time(max_lifetime).or(defaults.max_lifetime),
            max_uses: max_uses.or(defaults.max_uses),
            circuit_breaker: circuit_breaker.unwrap_or(defaults.circuit_breaker),
        }
    }
}

#[cfg(test)]
mod tests;
