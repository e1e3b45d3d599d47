//! What managers that stand before another make of a reset.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use watertight::{Balanced, Blocking, BlockingManager, Manager, Pool, SyncPool};

mod threads {
    include!("../../support/threads.rs");
}
use threads::Threads;

/// Numbers its connects, each of which waits for a word of its own.
#[derive(Clone)]
struct Slow(Arc<Script>);

struct Script {
    words: Mutex<Vec<Receiver<()>>>,
    begun: Sender<usize>,
    calls: AtomicUsize,
    closed: Mutex<Vec<usize>>,
}

impl BlockingManager for Slow {
    type Connection = usize;
    type Error = io::Error;

    fn connect(&self) -> io::Result<usize> {
        let call = self.0.calls.fetch_add(1, Ordering::SeqCst);
        let word = self.0.words.lock().unwrap().remove(0);
        self.0.begun.send(call).unwrap();
        word.recv().map_err(io::Error::other)?;
        Ok(call)
    }

    fn close(&self, connection: usize) {
        self.0.closed.lock().unwrap().push(connection);
    }
}

/// The first connect outlives its time-out and a reset: what it makes is of before.
#[test]
fn blocking_call_of_before_a_reset_serves_nobody_who_came_after_it() {
    let (words, listeners): (Vec<_>, Vec<_>) = (0..2).map(|_| channel()).unzip();
    let (begun, begins) = channel();
    let script = Slow(Arc::new(Script {
        words: Mutex::new(listeners),
        begun,
        calls: AtomicUsize::new(0),
        closed: Mutex::new(Vec::new()),
    }));
    let pool = SyncPool::builder(Blocking::new(script.clone()))
        .runtime(Threads)
        .max_size(1)
        .connect_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    thread::scope(|threads| {
        let caller = threads.spawn(|| pool.acquire().map(|conn| **conn).unwrap());
        assert_eq!(begins.recv(), Ok(0));
        pool.set_connect_timeout(None).unwrap();
        pool.reset();
        assert_eq!(begins.recv(), Ok(1), "the first has been given up");
        words[0].send(()).unwrap();
        while script.0.closed.lock().unwrap().is_empty() {
            assert!(!caller.is_finished());
            thread::sleep(Duration::from_millis(1));
        }
        words[1].send(()).unwrap();
        assert_eq!(caller.join().unwrap(), 1);
    });
    assert_eq!(*script.0.closed.lock().unwrap(), [0]);
    pool.close();
}

/// Counts the resets of its pool.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicUsize>);

impl Manager for Counts {
    type Connection = ();
    type Error = io::Error;

    async fn connect(&self) -> io::Result<()> {
        Ok(())
    }

    fn renew(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn every_host_hears_of_every_reset() {
    let hosts = [Counts::default(), Counts::default()];
    let pool = Pool::builder(Balanced::new(hosts.clone()))
        .runtime(Threads)
        .build()
        .unwrap();
    pool.reset();
    pool.reset_over(Duration::from_millis(1));
    block_on(pool.close());
    for host in hosts {
        assert_eq!(host.0.load(Ordering::SeqCst), 2);
    }
}
