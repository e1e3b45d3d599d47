//! Which endpoint has how much to do, whose turn it is, and who is down.

use super::EndpointStatus;
use crate::clock::Moment;
use crate::primitives::{Arc, Mutex};

/// How a [`Balanced`](super::Balanced) manager chooses among the endpoints that are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BalancePolicy {
    /// The one whose last turn is longest ago: one after the other, and when one is down, all the
    /// others get equal parts of its share. The default.
    #[default]
    RoundRobin,
    /// The one with the fewest connections, those in the making included; among equals, in turn.
    LeastLoaded,
}

/// How good an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    First,
    /// While none of the first can be reached.
    Second,
    Unused,
}

#[derive(Debug)]
pub(super) struct Books {
    accounts: Mutex<Accounts>,
}

#[derive(Debug)]
struct Accounts {
    endpoints: Vec<Account>,
    /// The turns taken so far.
    turns: u64,
}

#[derive(Debug)]
struct Account {
    rank: Rank,
    connections: usize,
    /// Its last turn; 0 if it had none.
    turn: u64,
    /// The last turn that is known to have succeeded.
    proven: u64,
    /// When it is to be tried again; `None` while it is up.
    recheck_at: Option<Moment>,
}

impl Account {
    fn is_down(&self, now: Moment) -> bool {
        self.recheck_at.is_some_and(|at| now < at)
    }
}

impl Books {
    pub(super) fn new(ranks: impl Iterator<Item = Rank>) -> Self {
        let account = |rank| Account {
            rank,
            connections: 0,
            turn: 0,
            proven: 0,
            recheck_at: None,
        };
        Books {
            accounts: Mutex::new(Accounts {
                endpoints: ranks.map(account).collect(),
                turns: 0,
            }),
        }
    }

    pub(super) fn status(&self, now: Moment) -> Vec<EndpointStatus> {
        let accounts = self.accounts.lock();
        let endpoints = accounts.endpoints.iter();
        endpoints
            .map(|account| EndpointStatus {
                connections: account.connections,
                is_down: account.is_down(now),
            })
            .collect()
    }

    /// Takes the best of `untried` out of it, and begins an attempt there. One that was down is
    /// passed over by others from now until `recheck_at`, or until this attempt succeeds.
    pub(super) fn begin(
        self: &Arc<Self>,
        untried: &mut Vec<usize>,
        policy: BalancePolicy,
        now: Moment,
        recheck_at: Moment,
    ) -> Option<Attempt> {
        let mut accounts = self.accounts.lock();
        let merit = |place: usize| {
            let account = &accounts.endpoints[untried[place]];
            let load = match policy {
                BalancePolicy::RoundRobin => 0,
                BalancePolicy::LeastLoaded => account.connections,
            };
            (account.is_down(now), account.rank, load, account.turn)
        };
        let best = (0..untried.len()).min_by_key(|&place| merit(place))?;
        // Not swapped: among those that had no turn yet, the first in the list is the first.
        let endpoint = untried.remove(best);
        accounts.turns += 1;
        let turn = accounts.turns;
        let account = &mut accounts.endpoints[endpoint];
        account.turn = turn;
        account.connections += 1;
        account.recheck_at = account.recheck_at.map(|_| recheck_at);
        let books = Arc::clone(self);
        Some(Attempt {
            load: Some(Load { books, endpoint }),
            endpoint,
            turn,
            recheck_at,
        })
    }

    fn with<T>(&self, endpoint: usize, change: impl FnOnce(&mut Account) -> T) -> T {
        change(&mut self.accounts.lock().endpoints[endpoint])
    }
}

/// An attempt to connect to an endpoint. One that is dropped, because the pool broke it off, has
/// failed.
#[derive(Debug)]
pub(super) struct Attempt {
    /// `None` once it has come to its end.
    load: Option<Load>,
    endpoint: usize,
    turn: u64,
    /// When to try again if nobody says how this one ended.
    recheck_at: Moment,
}

impl Attempt {
    pub(super) fn endpoint(&self) -> usize {
        self.endpoint
    }

    /// There is a connection, which is part of the endpoint's load from now on.
    pub(super) fn succeeded(mut self) -> Load {
        let Some(load) = self.load.take() else {
            unreachable!("whoever ends an attempt consumes it")
        };
        load.books.with(self.endpoint, |account| {
            account.proven = account.proven.max(self.turn);
            account.recheck_at = None;
        });
        load
    }

    /// It failed; the endpoint is to be tried again at `recheck_at`.
    pub(super) fn failed(mut self, recheck_at: Moment) {
        self.recheck_at = recheck_at;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(load) = self.load.take() else {
            return;
        };
        load.books.with(self.endpoint, |account| {
            // One that hung while the endpoint came back has nothing to say about it.
            if account.proven < self.turn {
                account.recheck_at = Some(self.recheck_at);
            }
        });
    }
}

/// One connection's part of the load of its endpoint.
#[derive(Debug)]
pub(super) struct Load {
    books: Arc<Books>,
    endpoint: usize,
}

impl Load {
    pub(super) fn endpoint(&self) -> usize {
        self.endpoint
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.books
            .with(self.endpoint, |account| account.connections -= 1);
    }
}
