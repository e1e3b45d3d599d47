//! A soak test: many tasks over few child processes, under constant attack.
//!
//! ```text
//! cargo run --release --example soak -- --duration 60s
//! ```
//!
//! It keeps a pool of real child processes (this program itself, as an echo server on stdin and
//! stdout) under load while processes are killed, connects are refused or hang, and callers and
//! holders go away, panic, or give back what needs work. Which fault comes next is drawn from
//! `--seed`. Once a second it looks at memory, descriptors, threads, children and the pool; in
//! the end it says whether anything grew, and whether every process that was ever started is
//! accounted for. The exit code is 1 if not. Samples and a plot go to `target/soak/`.
//!
//! Memory, descriptors, threads and children are read from `/proc`, so on Linux only; elsewhere
//! the verdict rests on the books alone.

mod caller;
mod echo;
mod evidence;
mod growth;
mod leak;
mod ledger;
mod options;
mod plot;
mod process;
mod roster;
mod samples;
mod server;
mod soak;
mod tally;
mod verdict;
mod vitals;
mod watch;
mod weather;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.echo_server {
        true => echo::serve().map(|()| true).map_err(Box::from),
        false => soak(options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn soak(options: Options) -> Result<bool, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let interrupt = interrupt()?;
        soak::run(options, interrupt).await
    })
}

/// Resolves when the user has seen enough, on the terminal or by `kill`.
#[cfg(unix)]
fn interrupt() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut from_terminal = signal(SignalKind::interrupt())?;
    let mut from_elsewhere = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = from_terminal.recv() => {}
            _ = from_elsewhere.recv() => {}
        }
    })
}

/// Resolves when the user has seen enough.
#[cfg(not(unix))]
fn interrupt() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}
