//! A server that does as it is told. Each adapter's module makes it a manager of that pool's.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// How a call ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Fate {
    #[default]
    Ok,
    Err,
    Panic,
}

/// What it says when it is told to fail.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused, as the test says")
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&fmt::Error)
    }
}

/// One kind of call: how the next ones end, and the threads that made them.
#[derive(Debug, Default)]
struct Calls {
    next: VecDeque<Fate>,
    rest: Fate,
    made: Vec<ThreadId>,
}

#[derive(Debug, Default)]
pub(super) struct Script(Mutex<Calls>);

impl Script {
    pub(super) fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.lock().next.extend(fates);
    }

    pub(super) fn always(&self, fate: Fate) {
        self.lock().rest = fate;
    }

    pub(super) fn calls(&self) -> usize {
        self.lock().made.len()
    }

    /// The threads that called, in order.
    pub(super) fn callers(&self) -> Vec<ThreadId> {
        self.lock().made.clone()
    }

    fn called(&self) -> Result<(), Refused> {
        let fate = {
            let mut calls = self.lock();
            calls.made.push(thread::current().id());
            calls.next.pop_front().unwrap_or(calls.rest)
        };
        match fate {
            Fate::Ok => Ok(()),
            Fate::Err => Err(Refused),
            Fate::Panic => std::panic::resume_unwind(Box::new("as the test says")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(super) struct Scripts {
    pub(super) connects: Script,
    /// `is_valid`, `recycle`.
    pub(super) checks: Script,
    /// `has_broken`.
    pub(super) looks: Script,
    /// `detach`, by the number of the link.
    pub(super) detached: Mutex<Vec<usize>>,
    alive: Mutex<usize>,
}

impl Scripts {
    /// How many links there are.
    pub(super) fn alive(&self) -> usize {
        *self.alive.lock().unwrap()
    }
}

/// Cloning it makes another handle to the same server.
#[derive(Clone, Debug, Default)]
pub(super) struct Server(pub(super) Arc<Scripts>);

impl Server {
    pub(super) fn connect(&self) -> Result<Link, Refused> {
        self.0.connects.called()?;
        *self.0.alive.lock().unwrap() += 1;
        Ok(Link {
            number: self.0.connects.calls() - 1,
            broken: false,
            scripts: Arc::clone(&self.0),
        })
    }

    pub(super) fn check(&self, _: &mut Link) -> Result<(), Refused> {
        self.0.checks.called()
    }

    pub(super) fn has_broken(&self, link: &mut Link) -> bool {
        self.0.looks.called().is_err() || link.broken
    }
}

/// A connection to it.
#[derive(Debug)]
pub(super) struct Link {
    /// That of the attempt which made it, from 0 on.
    pub(super) number: usize,
    pub(super) broken: bool,
    scripts: Arc<Scripts>,
}

impl Drop for Link {
    fn drop(&mut self) {
        *self.scripts.alive.lock().unwrap() -= 1;
    }
}
