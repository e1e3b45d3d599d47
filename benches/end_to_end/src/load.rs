//! One service, and wrk that sends it requests.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::pools::Failure;
use crate::serve::Subject;

/// What wrk saw in one run: times are in microseconds, except for the duration.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Seen {
    pub requests: u64,
    pub seconds: f64,
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    /// Responses that were not 2xx, time-outs, and what went wrong with sockets.
    pub failed: u64,
}

/// A service in a process of its own. It ends with this value, or with this process, however that ends.
pub struct Service {
    process: Child,
    address: String,
}

impl Service {
    /// Starts one, and waits until it listens.
    pub fn start(pool: Subject, connections: u16, url: &str) -> Result<Self, Failure> {
        let name = clap::ValueEnum::to_possible_value(&pool).ok_or("it has a name")?;
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", "--until-eof", "--pool", name.get_name()])
            .args(["--connections", &connections.to_string(), url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("its output is a pipe")?;
        let mut service = Service {
            process,
            address: String::new(),
        };
        BufReader::new(output).read_line(&mut service.address)?;
        service.address.truncate(service.address.trim_end().len());
        if service.address.is_empty() {
            return Err(format!("the service with {} has ended", name.get_name()).into());
        }
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// wrk, and the script that has it report.
pub struct Wrk(NamedTempFile);

impl Wrk {
    /// Writes the script.
    pub fn new() -> Result<Self, Failure> {
        let mut script = tempfile::Builder::new().suffix(".lua").tempfile()?;
        script.write_all(include_bytes!("report.lua"))?;
        Ok(Wrk(script))
    }

    /// Has that many clients send one request after the other for so long.
    pub fn run(
        &self,
        service: &Service,
        route: &str,
        clients: u16,
        seconds: u16,
    ) -> Result<Seen, Failure> {
        let output = Command::new("wrk")
            .args(["--latency", "--threads", "1", "--timeout", "30s"])
            .args(["--connections", &clients.to_string()])
            .args(["--duration", &format!("{seconds}s")])
            .arg("--script")
            .arg(self.0.path())
            .arg(format!("http://{}/{route}", service.address))
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("wrk cannot be run, is it installed? {error}"))?;
        let text = String::from_utf8(output.stdout)?;
        let report = text.lines().find(|line| line.starts_with('{'));
        let report = report.ok_or_else(|| format!("wrk has not reported: {text}"))?;
        Ok(serde_json::from_str(report)?)
    }
}
