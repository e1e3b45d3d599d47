//! Which endpoint has how much to do, whose turn it is, and who is down.

use std::time::Duration;

use super::EndpointStatus;
use super::time::Time;
use crate::attempts::usual_after;
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
    /// How long attempts that succeed take, not to be optimistic; zero if nothing is known yet.
    usual: Duration,
    /// How long those took that were broken off since the last that succeeded, all together.
    broken_off: Duration,
}

/// An attempt that is broken off sooner says nothing by itself, however quick others were.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(250);

/// So many times as long as one alone may attempts that are broken off take together and say nothing: else
/// an endpoint that hangs would stay up if nobody had the patience to see that.
const PATIENCE: u32 = 4;

impl Account {
    fn is_down(&self, now: Moment) -> bool {
        self.recheck_at.is_some_and(|at| now < at)
    }

    /// An attempt was broken off after so long. True if it had its time, or several had it together.
    fn breaks_off(&mut self, took: Duration) -> bool {
        let patience = self.usual.max(SHORTEST_PATIENCE);
        self.broken_off = self.broken_off.saturating_add(took);
        took >= patience || self.broken_off >= patience.saturating_mul(PATIENCE)
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
            usual: Duration::ZERO,
            broken_off: Duration::ZERO,
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

    /// Nobody counts as down, and the attempts under way have nothing to say about that.
    pub(super) fn renew(&self) {
        let mut accounts = self.accounts.lock();
        let turns = accounts.turns;
        for account in &mut accounts.endpoints {
            account.recheck_at = None;
            account.proven = turns;
            account.broken_off = Duration::ZERO;
        }
    }

    /// Takes the best of `untried` out of it, and begins an attempt there. One that was down is
    /// passed over by others for `recheck_after` from now, or for as long as is [set
    /// apart](Attempt::may_take) if that is longer, or until this attempt succeeds.
    pub(super) fn begin<'a>(
        self: &Arc<Self>,
        untried: &mut Vec<usize>,
        policy: BalancePolicy,
        time: &'a Time,
        recheck_after: Duration,
    ) -> Option<Attempt<'a>> {
        let now = time.moment();
        let recheck_at = now.after(recheck_after);
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
        let is_recheck = account.recheck_at.is_some();
        account.recheck_at = account.recheck_at.map(|_| recheck_at);
        let books = Arc::clone(self);
        Some(Attempt {
            load: Some(Load { books, endpoint }),
            endpoint,
            turn,
            begun: now,
            is_recheck,
            recheck_after,
            has_failed: false,
            time,
        })
    }

    fn with<T>(&self, endpoint: usize, change: impl FnOnce(&mut Account) -> T) -> T {
        change(&mut self.accounts.lock().endpoints[endpoint])
    }
}

/// An attempt to connect to an endpoint. One that is dropped, because somebody broke it off, has
/// failed if others were quicker; if it had no time to succeed, it says nothing by itself.
pub(super) struct Attempt<'a> {
    /// `None` once it has come to its end.
    load: Option<Load>,
    endpoint: usize,
    turn: u64,
    begun: Moment,
    /// The endpoint was down.
    is_recheck: bool,
    recheck_after: Duration,
    has_failed: bool,
    time: &'a Time,
}

impl Attempt<'_> {
    pub(super) fn endpoint(&self) -> usize {
        self.endpoint
    }

    /// There is a connection, which is part of the endpoint's load from now on.
    pub(super) fn succeeded(mut self) -> Load {
        let Some(load) = self.load.take() else {
            unreachable!("whoever ends an attempt consumes it")
        };
        let took = self.time.moment().elapsed_since(self.begun);
        load.books.with(self.endpoint, |account| {
            account.proven = account.proven.max(self.turn);
            account.recheck_at = None;
            account.usual = usual_after(account.usual, took);
            account.broken_off = Duration::ZERO;
        });
        load
    }

    /// It may take so long, in which nobody else is to try an endpoint that was down.
    pub(super) fn may_take(&self, limit: Option<Duration>) {
        let (Some(limit), Some(load)) = (limit, &self.load) else {
            return;
        };
        if self.is_recheck && !self.recheck_after.is_zero() {
            let end = self.begun.after(limit);
            load.books.with(self.endpoint, |account| {
                account.recheck_at = account.recheck_at.map(|at| at.max(end));
            });
        }
    }

    /// It failed.
    pub(super) fn failed(mut self) {
        self.has_failed = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Some(load) = self.load.take() else {
            return;
        };
        let now = self.time.moment();
        let (took, recheck_at) = (now.elapsed_since(self.begun), now.after(self.recheck_after));
        load.books.with(self.endpoint, |account| {
            // One that hung while the endpoint came back has nothing to say about it.
            if account.proven >= self.turn {
                return;
            }
            if self.has_failed || account.breaks_off(took) {
                account.recheck_at = Some(recheck_at);
            } else if self.is_recheck && account.turn == self.turn {
                // It is not set apart any longer.
                let begun = self.begun.after(self.recheck_after);
                account.recheck_at = account.recheck_at.map(|at| at.min(begun));
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
