//! What is measured of a whole process: instructions, and how often it is woken.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use watertight_peers::pools::{Bb8, Deadpool, FastPool, Mobc, R2d2, Watertight};
use watertight_peers::scenarios::{Contender, Scenario};
use watertight_peers::subject::{Setup, Subject, SyncSubject};

use crate::runs::argument;

/// The difference between a long and a short run is that of the cycles alone.
pub fn instructions() -> io::Result<()> {
    println!("| pool | scenario | instructions |\n|---|---|---|");
    let scenarios = [
        Scenario::Uncontended,
        Scenario::TimeOuts,
        Scenario::Checks,
        Scenario::Thread,
    ];
    for scenario in scenarios {
        for contender in Contender::value_variants() {
            if contender.takes_part(scenario) {
                let cycles = match scenario {
                    Scenario::Thread => 400_000.0,
                    _ => 200_000.0,
                };
                let (short, long) = (0.05, 0.25);
                let more = count(scenario, *contender, long)? - count(scenario, *contender, short)?;
                let each = more / (cycles * (long - short));
                println!("| {} | {scenario:?} | {each:.0} |", contender.name());
            }
        }
    }
    Ok(())
}

/// The instructions of a whole run.
fn count(scenario: Scenario, contender: Contender, scale: f64) -> io::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .arg("sample")
        .args([argument(&scenario), argument(&contender)])
        .arg(scale.to_string())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.split("Collected : ").nth(1);
    let collected = collected.and_then(|it| it.split_whitespace().next()?.parse().ok());
    collected.ok_or_else(|| io::Error::other(format!("valgrind: {told}")))
}

/// Ten seconds of a process with 100 pools, each with an idle connection.
pub fn idle() -> io::Result<()> {
    println!("| pool | wake-ups in ten seconds |\n|---|---|");
    let nobody = [None];
    let somebody = [
        Contender::Watertight,
        Contender::Deadpool,
        Contender::Bb8,
        Contender::FastPool,
        Contender::Mobc,
        Contender::R2d2,
    ];
    for contender in nobody.into_iter().chain(somebody.map(Some)) {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("sleep");
        if let Some(contender) = contender {
            command.arg(argument(&contender));
        }
        let output = command.stderr(Stdio::inherit()).output()?;
        let name = contender.map_or("none", Contender::name);
        println!(
            "| {name} | {} |",
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    Ok(())
}

/// Opens the pools and sleeps; tells how often any of the process' threads was woken meanwhile.
pub fn sleep(contender: Option<Contender>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let pools: Box<dyn std::any::Any> = match contender {
        None => Box::new(()),
        Some(Contender::Watertight) => runtime.block_on(open::<Watertight>()),
        Some(Contender::Deadpool) => runtime.block_on(open::<Deadpool>()),
        Some(Contender::Bb8) => runtime.block_on(open::<Bb8>()),
        Some(Contender::FastPool) => runtime.block_on(open::<FastPool>()),
        Some(Contender::Mobc) => runtime.block_on(open::<Mobc>()),
        Some(Contender::R2d2) => {
            let pools: Vec<_> = (0..100).map(|_| R2d2::open(Setup::of(1))).collect();
            for pool in &pools {
                drop(pool.acquire());
            }
            Box::new(pools)
        }
        Some(other) => return Err(io::Error::other(format!("not {}", other.name()))),
    };
    // Until all that was begun is over: some look after a second whether a connect was too slow.
    std::thread::sleep(Duration::from_secs(3));
    let before = wake_ups()?;
    std::thread::sleep(Duration::from_secs(10));
    // One is that of this sleep.
    println!("{}", wake_ups()?.saturating_sub(before + 1));
    drop(pools);
    std::process::exit(0)
}

async fn open<S: Subject>() -> Box<dyn std::any::Any> {
    let mut pools = Vec::new();
    for _ in 0..100 {
        let pool = S::open(Setup::of(1)).await;
        drop(pool.acquire().await);
        pools.push(pool);
    }
    Box::new(pools)
}

/// How often the threads of this process have gone to sleep by themselves so far.
fn wake_ups() -> io::Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = line.and_then(|line| line.trim().parse::<u64>().ok());
        sum += count.unwrap_or_default();
    }
    Ok(sum)
}
