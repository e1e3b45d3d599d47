//! Pools of real child processes, spoken to over stdin and stdout.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use watertight::{Blocking, BlockingManager, Metrics, SyncPool};

/// Answers every line with its own process id and that line.
const SERVER: &str = r#"while IFS= read -r line; do echo "$$ $line"; done"#;

/// Splits an answer, and checks that it is to this request.
fn pid_of(answer: &str, request: &str) -> u32 {
    let (pid, echo) = answer
        .trim_end()
        .split_once(' ')
        .expect("a pid and an echo");
    assert_eq!(echo, request, "somebody else's answer");
    pid.parse().expect("a process id")
}

struct Blockingly;

struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn ask(&mut self, request: &str) -> std::io::Result<u32> {
        writeln!(self.stdin, "{request}")?;
        let mut answer = String::new();
        self.stdout.read_line(&mut answer)?;
        Ok(pid_of(&answer, request))
    }
}

impl BlockingManager for Blockingly {
    type Connection = Server;
    type Error = std::io::Error;

    fn connect(&self) -> std::io::Result<Server> {
        let mut child = Command::new("sh")
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are piped");
        };
        let stdout = BufReader::new(stdout);
        Ok(Server {
            child,
            stdin,
            stdout,
        })
    }

    fn check(&self, server: &mut Server, _: &Metrics) -> std::io::Result<()> {
        server.ask("ping").map(drop)
    }

    fn close(&self, server: Server) {
        let Server {
            mut child, stdin, ..
        } = server;
        drop(stdin);
        child.wait().expect("it has not been reaped before");
    }
}

/// S6: through the sync facade: with `max_size` 1, N requests see one process id.
#[test]
fn s6_one_process_serves_all_threads() {
    let builder = SyncPool::builder(Blocking::new(Blockingly)).max_size(1);
    #[cfg(not(any(feature = "tokio", feature = "smol")))]
    let builder = builder.runtime(crate::support::Custom);
    let pool = builder.build().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|t| {
            let pool = pool.clone();
            thread::spawn(move || {
                let ask = |n| pool.acquire().unwrap().ask(&format!("{t} {n}")).unwrap();
                (0..25).map(ask).collect::<BTreeSet<u32>>()
            })
        })
        .collect();
    let pids: BTreeSet<u32> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(pids.len(), 1, "{pids:?}");
    assert_eq!(pool.statistics().connects, 1);
    pool.close();
}

/// The same on an async runtime, whose own process type `$process` is.
#[cfg(any(feature = "tokio", feature = "smol"))]
macro_rules! on_a_runtime {
    ($name:ident, $process:path, $write:path, $read:path, $buf:path) => {
        mod $name {
            use super::{BTreeSet, SERVER, Stdio, pid_of};
            use $buf as BufReader;
            use $process as process;
            use $read as _;
            use $write as _;

            pub(super) struct Children;

            pub(super) struct Server {
                child: process::Child,
                stdin: process::ChildStdin,
                stdout: BufReader<process::ChildStdout>,
            }

            impl Server {
                pub(super) async fn ask(&mut self, request: &str) -> std::io::Result<u32> {
                    self.stdin
                        .write_all(format!("{request}\n").as_bytes())
                        .await?;
                    self.stdin.flush().await?;
                    let mut answer = String::new();
                    self.stdout.read_line(&mut answer).await?;
                    Ok(pid_of(&answer, request))
                }
            }

            impl watertight::Manager for Children {
                type Connection = Server;
                type Error = std::io::Error;

                async fn connect(&self) -> std::io::Result<Server> {
                    let mut child = process::Command::new("sh")
                        .args(["-c", SERVER])
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped())
                        .kill_on_drop(true)
                        .spawn()?;
                    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take())
                    else {
                        unreachable!("both are piped");
                    };
                    let stdout = BufReader::new(stdout);
                    Ok(Server {
                        child,
                        stdin,
                        stdout,
                    })
                }

                async fn check(
                    &self,
                    server: &mut Server,
                    _: &watertight::Metrics,
                ) -> std::io::Result<()> {
                    server.ask("ping").await.map(drop)
                }

                async fn close(&self, server: Server) {
                    let Server {
                        mut child, stdin, ..
                    } = server;
                    drop(stdin);
                    // Reaped, or the time-out kills it.
                    let _ = status(&mut child).await;
                }
            }

            async fn status(
                child: &mut process::Child,
            ) -> std::io::Result<std::process::ExitStatus> {
                super::wait::$name(child).await
            }

            /// Asks from many tasks at once, and returns which processes answered.
            pub(super) async fn pids(
                pool: &watertight::Pool<Children>,
                task: usize,
                requests: usize,
            ) -> BTreeSet<u32> {
                let mut pids = BTreeSet::new();
                for n in 0..requests {
                    let mut server = pool.acquire().await.expect("a server");
                    let pid = server.ask(&format!("{task} {n}")).await.expect("an answer");
                    pids.insert(pid);
                }
                pids
            }
        }
    };
}

#[cfg(any(feature = "tokio", feature = "smol"))]
mod wait {
    use std::io::Result;
    use std::process::ExitStatus;

    #[cfg(feature = "tokio")]
    pub(super) async fn on_tokio(child: &mut tokio::process::Child) -> Result<ExitStatus> {
        child.wait().await
    }

    #[cfg(feature = "smol")]
    pub(super) async fn on_smol(child: &mut smol::process::Child) -> Result<ExitStatus> {
        child.status().await
    }
}

#[cfg(feature = "tokio")]
on_a_runtime!(
    on_tokio,
    tokio::process,
    tokio::io::AsyncWriteExt,
    tokio::io::AsyncBufReadExt,
    tokio::io::BufReader
);
#[cfg(feature = "smol")]
on_a_runtime!(
    on_smol,
    smol::process,
    smol::io::AsyncWriteExt,
    smol::io::AsyncBufReadExt,
    smol::io::BufReader
);

/// S6: on tokio.
#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread")]
async fn s6_one_process_serves_all_tokio_tasks() {
    let pool = watertight::Pool::builder(on_tokio::Children)
        .max_size(1)
        .build()
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let pool = pool.clone();
        tasks.spawn(async move { on_tokio::pids(&pool, task, 25).await });
    }
    let pids: BTreeSet<u32> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(pids.len(), 1, "{pids:?}");
    pool.close().await;
}

/// S6: on smol.
#[cfg(feature = "smol")]
#[test]
fn s6_one_process_serves_all_smol_tasks() {
    smol::block_on(async {
        let pool = watertight::Pool::builder(on_smol::Children)
            .max_size(1)
            .runtime(watertight::SmolRuntime::new())
            .build()
            .unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let pool = pool.clone();
                smol::spawn(async move { on_smol::pids(&pool, task, 25).await })
            })
            .collect();
        let mut pids = BTreeSet::new();
        for task in tasks {
            pids.extend(task.await);
        }
        assert_eq!(pids.len(), 1, "{pids:?}");
        pool.close().await;
    });
}

/// S8: the part that takes seconds: ten thousand concurrent requests over four processes are all
/// answered, each with its own answer, by four processes. (Memory over an hour is the business of
/// `examples/soak`.)
#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread")]
async fn s8_ten_thousand_concurrent_requests_share_four_processes() {
    let pool = watertight::Pool::builder(on_tokio::Children)
        .max_size(4)
        .build()
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..10_000 {
        let pool = pool.clone();
        tasks.spawn(async move { on_tokio::pids(&pool, task, 1).await });
    }
    let pids: BTreeSet<u32> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(pids.len(), 4, "{pids:?}");
    let statistics = pool.statistics();
    assert_eq!(statistics.acquires, 10_000);
    assert_eq!(statistics.connects, 4);
    pool.close().await;
    assert_eq!(pool.status().size, 0);
}
