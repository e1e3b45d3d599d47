//! The pool on plain threads, with drivers that block: sixteen threads share four child
//! processes, which are spoken to through `std::process`. No async runtime in sight: the pool
//! brings its own.
//!
//! The program starts itself, with the argument `--child`, as the child: a server that answers
//! every line with the same line in capitals.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use watertight::{
    Blocking, BlockingManager, CheckPolicy, Condition, Metrics, PooledConnection, SyncPool,
};

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().any(|argument| argument == "--child") {
        return Ok(capitalize()?);
    }

    let pool = SyncPool::builder(Blocking::new(Children))
        .max_size(4)
        .check_policy(CheckPolicy::Always)
        .build()?;

    let answers = Mutex::new(BTreeMap::<u32, u32>::new());
    thread::scope(|scope| {
        for n in 0..16 {
            let (pool, answers) = (&pool, &answers);
            scope.spawn(move || match ask_often(pool, n) {
                Ok(pids) => count(answers, &pids),
                Err(error) => eprintln!("thread {n}: {error}"),
            });
        }
    });
    for (pid, number) in &*answers.lock().map_err(|_| "a thread panicked")? {
        println!("child {pid} gave {number} answers");
    }

    // A child that dies is found out when it is given back, and replaced.
    let mut victim = pool.acquire()?;
    println!("killing child {}", victim.child.id());
    victim.child.kill()?;
    victim.child.wait()?;
    drop(victim);
    println!("another one says {:?}", pool.acquire()?.ask("still here")?);

    // One that is of no use to anybody can be thrown away, or taken out and kept.
    PooledConnection::discard(pool.acquire()?);
    let mut kept = PooledConnection::detach(pool.acquire()?).into_inner();
    println!("one of our own says {:?}", kept.ask("mine")?);
    drop(kept);

    println!("{}", pool.status());
    println!("closes: {}", pool.statistics().closes.total());
    pool.close_within(Duration::from_secs(5));
    Ok(())
}

fn ask_often(pool: &SyncPool<Blocking<Children>>, n: u32) -> Result<Vec<u32>, Box<dyn Error>> {
    (0..100)
        .map(|question| {
            let mut server = pool.acquire()?;
            let answer = server.ask(&format!("thread {n}, question {question}"))?;
            assert_eq!(answer, format!("THREAD {n}, QUESTION {question}"));
            Ok(server.child.id())
        })
        .collect()
}

fn count(answers: &Mutex<BTreeMap<u32, u32>>, pids: &[u32]) {
    if let Ok(mut answers) = answers.lock() {
        for &pid in pids {
            *answers.entry(pid).or_default() += 1;
        }
    }
}

/// Makes [`Server`]s. All of it blocks, but `inspect`, which must not.
struct Children;

impl BlockingManager for Children {
    type Connection = Server;
    type Error = io::Error;

    fn connect(&self) -> io::Result<Server> {
        let mut child = Command::new(env::current_exe()?)
            .arg("--child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("the child has no pipes");
        Ok(Server {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().ok_or_else(missing)?),
            child,
            asking: false,
        })
    }

    fn check(&self, server: &mut Server, _: &Metrics) -> io::Result<()> {
        server.ask("are you there?").map(drop)
    }

    fn inspect(&self, server: &mut Server) -> Condition {
        match server.child.try_wait() {
            Ok(None) if !server.asking => Condition::Clean,
            _ => Condition::Broken,
        }
    }
}

/// A child process; dropping it, by whomever, ends it.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// Still set if a question failed half-way: the next answer might not be to the next question.
    asking: bool,
}

impl Server {
    fn ask(&mut self, question: &str) -> io::Result<String> {
        self.asking = true;
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(format!("{question}\n").as_bytes())?;
        let mut answer = String::new();
        if self.stdout.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.asking = false;
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Server {
    /// Closes its input, which is how it learns that it may go. One that is in the middle of
    /// something might never notice, so it is killed. Either way it is reaped.
    fn drop(&mut self) {
        self.stdin = None;
        if self.asking {
            // The only failure is that it has ended already.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn capitalize() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(stdout, "{}", line?.to_uppercase())?;
        stdout.flush()?;
    }
    Ok(())
}
