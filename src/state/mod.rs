//! The pool as plain data.
//!
//! No lock, no clock, no `Arc`, no code of the user's: every transition is a method that takes
//! the time as an argument and writes what is to be done *after unlocking* into [`Effects`].
//!
//! A place in the pool is always in exactly one of these states. The arrows are the methods that
//! move it; each begins and ends with the pool's lock held, and what runs between two of them
//! (a connect, a check) carries the place as a [`Lease`](crate::lease::Lease).
//!
//! ```text
//! from        by                            to
//! free        pump                          connecting
//! connecting  connected                     idle or lent
//! connecting  connect_failed, given_back    free
//! idle        lend, lend_at, pump           lent
//! idle        pump, borrow_idle             checking
//! idle        pump, advance, resize, close  closing
//! checking    passed                        idle or lent
//! lent        put_back, returned            idle, or lent to the next
//! lent        returned (dirty)              recycling
//! lent        returned (broken, expired)    closing
//! lent        detached                      free
//! recycling   passed                        idle or lent
//! checking    condemned                     closing
//! recycling   condemned                     closing
//! closing     given_back                    free
//! ```
//!
//! Every arrow that ends in idle or lent may end in closing instead, for one that has expired, say;
//! every arrow may be cut short by `given_back`, when the task is lost that carries the place.
//!
//! Invariants, asserted by [`State::check`] after every slow transition in debug builds:
//!
//! 1. `size = idle + lent + connecting + checking + recycling + closing`; nothing else counts.
//! 2. Nothing is begun above `max_size`: `size` exceeds it only after a shrink, and only falls
//!    until it no longer does.
//! 3. An idle connection that is fit to be lent and a live waiter never exist side by side, unless
//!    the pool is paused.
//! 4. If somebody waits and a place is free, then as many checks and attempts to connect are
//!    under way as there are waiters (not counting overdue ones, see
//!    [`attempts`](crate::attempts)), or the schedule, the limit on concurrent connects, a
//!    driverless attempt (5), a stranded pool (8) or a pause says why not.
//! 5. `driverless` attempts are fewer than those who wait: each is a task that the runtime
//!    dropped, to be run by a waiter instead.
//! 6. Once closed: nobody waits, nothing is idle, connecting only falls.
//! 7. Idle connections are in the order of their last return.
//! 8. A transition in which a task was lost spawns none; it leaves the pool stranded, and wakes
//!    the first waiter to go on.
//! 9. `barred` if closed, paused, or with connections of before a reset: then nothing takes the
//!    short way. `barred_back` if barred, shrunk and not yet down to size, or being filled: then
//!    nothing takes the short way back.

mod answers;
mod effects;
mod flow;
mod loans;
mod outcomes;
mod place;
mod renewal;
mod shed;
mod short;
mod supply;
mod tenancy;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::VecDeque;

use crate::attempts::Attempts;
use crate::clock::{Clock, Moment};
use crate::config::{CheckPolicy, Config, IdleOrder};
use crate::error::Phase;
use crate::overload::Overload;
use crate::retry::Retry;
use crate::status::{CloseReason, Statistics, Status};
use crate::waiters::Waiters;

use loans::Loans;
use place::Stages;
use renewal::Renewals;

pub(crate) use answers::{Join, Lend, Missed, Refusal, Returned, TimeOut, Turn, Unseen, Verdict};
pub(crate) use effects::{Effects, Outcome};
pub(crate) use place::{Live, Stage, Tag};
pub(crate) use tenancy::Standing;
pub(crate) use upkeep::Warmth;

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct State<C, E> {
    config: Config,
    rng: fastrand::Rng,
    clock: Clock,
    closed: bool,
    paused: bool,
    /// Nothing takes the short way: see invariant 9.
    barred: bool,
    /// Nothing takes the short way back.
    barred_back: bool,
    renewals: Renewals,
    /// From the one that has been idle longest to the one that was given back last.
    idle: VecDeque<Box<Live<C>>>,
    stages: Stages,
    waiters: Waiters<Outcome<C, E>>,
    overload: Option<Overload>,
    retry: Retry<E>,
    /// Attempts to connect whose task the runtime dropped, and that no waiter has taken over yet.
    driverless: usize,
    /// The connects and checks under way.
    attempts: Attempts,
    /// A task was dropped by the runtime, and what follows from it was left undone: to spawn in
    /// its place, then and there, might go on for ever. The first who waits sees to it.
    stranded: bool,
    /// Nobody who waits needs an attempt to connect before this: the last one lost its task.
    refill_after: Moment,
    /// When supply and demand were brought together last. Nothing that has become due since has been
    /// seen to, whoever has read the clock.
    pumped_at: Moment,
    /// Calls to `fill` under way.
    fillers: usize,
    /// The places are somebody else's, see [`tenancy`].
    is_tenant: bool,
    /// How many of his it may have.
    most: usize,
    /// Until when the keeper sleeps, if it is not nudged.
    keeper_until: Moment,
    next_id: u64,
    next_turn: u64,
    statistics: Statistics,
    loans: Loans,
}

/// What is known of an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fitness {
    /// It may be lent.
    Fit,
    /// It must be checked first.
    Stale,
    /// It has outlived its lifetime.
    Expired,
}

impl<C, E> State<C, E> {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        State {
            config,
            rng: fastrand::Rng::with_seed(seed),
            clock: Clock::new(config.tick(), config.check_policy),
            closed: false,
            paused: false,
            barred: false,
            barred_back: false,
            renewals: Renewals::new(),
            idle: VecDeque::new(),
            stages: Stages::default(),
            waiters: Waiters::new(),
            overload: config.controlled_delay.map(Overload::new),
            retry: Retry::new(config.backoff()),
            driverless: 0,
            attempts: Attempts::new(),
            stranded: false,
            refill_after: Moment::START,
            pumped_at: Moment::START,
            fillers: 0,
            is_tenant: false,
            most: 0,
            keeper_until: Moment::NEVER,
            next_id: 0,
            next_turn: 0,
            statistics: Statistics::default(),
            loans: Loans::default(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.statistics
    }

    pub(crate) fn status(&self, now: Moment) -> Status {
        let Stages {
            lent,
            connecting,
            checking,
            recycling,
            closing,
        } = self.stages;
        Status {
            max_size: self.config.max_size,
            size: self.size(),
            idle: self.idle.len(),
            in_use: lent,
            connecting,
            checking,
            recycling,
            closing,
            waiting: self.waiters.len(),
            oldest_waiter: self
                .waiters
                .first()
                .map(|waiter| now.elapsed_since(waiter.since)),
            paused: self.paused,
            closed: self.closed,
        }
    }

    /// To be called when one of its causes has changed.
    fn update_barred(&mut self) {
        self.barred = self.closed || self.paused || self.renewals.old() > 0;
        self.barred_back = self.barred || self.fillers > 0 || self.is_surplus();
    }

    pub(crate) fn size(&self) -> usize {
        self.live() + self.stages.connecting + self.stages.closing
    }

    fn free(&self) -> usize {
        self.config.max_size.saturating_sub(self.size())
    }

    /// Connections that could still serve somebody. Those in the making are not among them: a
    /// shrink does not close one that is there in favour of one that may never be, unless the place
    /// is [owed](State::owes_place).
    fn live(&self) -> usize {
        self.idle.len() + self.stages.lent + self.stages.checking + self.stages.recycling
    }

    /// After a shrink: more connections than there are places.
    fn is_surplus(&self) -> bool {
        self.live() > self.config.max_size
    }

    fn min_idle(&self) -> usize {
        self.config.min_idle.min(self.config.max_size)
    }

    fn has_room_for_idle(&self) -> bool {
        self.config.max_idle.is_none_or(|max| self.idle.len() < max)
    }

    /// Is it fit to be lent?
    fn fitness(&self, live: &Live<C>, now: Moment) -> Fitness {
        let stale = match self.config.check_policy {
            CheckPolicy::Always => true,
            CheckPolicy::IdleFor(age) => now.elapsed_since(live.fit_at) > age,
            CheckPolicy::Never => false,
        };
        match stale {
            _ if live.expires_at <= now => Fitness::Expired,
            true => Fitness::Stale,
            false => Fitness::Fit,
        }
    }

    /// Given [credit](Clock::spend): is it fit to be lent, as far as coarse time can tell?
    #[inline]
    fn is_surely_fit(&self, live: &Live<C>) -> bool {
        self.clock.is_surely_before(live.expires_at) && self.clock.is_surely_fit(live.fit_at)
    }

    /// Which idle connection is next to be lent, as an index.
    #[inline]
    fn candidate(&self) -> Option<usize> {
        match self.config.idle_order {
            IdleOrder::Lifo => self.idle.len().checked_sub(1),
            IdleOrder::Fifo if self.idle.is_empty() => None,
            IdleOrder::Fifo => Some(0),
        }
    }

    fn take_idle(&mut self, index: usize) -> Option<Box<Live<C>>> {
        self.idle.remove(index)
    }

    /// What a waiter at this place in the queue is waiting for.
    fn phase_of(&self, key: usize) -> Phase {
        if self.paused {
            return Phase::Wait;
        }
        let checks = self.stages.checking;
        let connects = checks + self.stages.connecting + self.free();
        let place = self
            .waiters
            .iter()
            .take(connects)
            .position(|(other, _)| other == key);
        match place {
            Some(place) if place < checks => Phase::Check,
            Some(_) => Phase::Connect,
            None => Phase::Wait,
        }
    }

    /// Begins to close a connection that is in no stage at the moment.
    fn condemn(&mut self, live: Box<Live<C>>, reason: CloseReason, fx: &mut Effects<C, E>) {
        self.stages.enter(Stage::Closing);
        fx.close.push((live, reason));
    }

    /// Somebody read the clock. If there is traffic, the keeper is to do so from now on.
    fn read_clock(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        if self.clock.read(now) {
            self.note_due(now, fx);
        }
    }

    /// Asks the keeper to wake earlier if it would sleep past `at`.
    fn note_due(&mut self, at: Moment, fx: &mut Effects<C, E>) {
        if at < self.keeper_until {
            self.keeper_until = at;
            fx.nudge = true;
        }
    }

    #[cfg(any(test, debug_assertions))]
    fn attempts_under_way(&self) -> usize {
        self.stages.checking + self.stages.connecting + self.driverless
    }

    /// Asserts the invariants at the top of this file.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        // In a crowd, only now and then: walking the queue every time would take for ever.
        if self.waiters.len() > 64 && self.next_turn % 1024 != 0 {
            return;
        }
        self.waiters.check();
        // Without a vector: what is counted of allocations in debug builds is to be true in release.
        let turns = self.idle.iter().map(|live| live.turn);
        assert!(turns.is_sorted(), "7: idle ones are out of order");
        assert!(
            self.driverless <= self.waiters.len(),
            "5: driverless attempts without a waiter"
        );
        if self.closed {
            assert!(self.idle.is_empty(), "6: idle in a closed pool");
            assert!(self.waiters.is_empty(), "6: waiting for a closed pool");
            return;
        }
        assert!(self.renewals.old() <= self.size(), "old ones outnumber all");
        let barred = self.paused || self.renewals.old() > 0;
        assert_eq!(self.barred, barred, "9: barred for no reason, or not");
        let barred_back = barred || self.fillers > 0 || self.is_surplus();
        assert_eq!(
            self.barred_back, barred_back,
            "9: barred back for no reason, or not"
        );
        if self.waiters.is_empty() || self.paused {
            return;
        }
        let never_checked = self.config.check_policy == CheckPolicy::Never;
        assert!(
            self.idle.is_empty() || !never_checked || self.config.max_lifetime.is_some(),
            "3: idle beside a waiter"
        );
        let limit = self.config.connect_concurrency.unwrap_or(usize::MAX);
        assert!(
            self.free() <= self.driverless
                || self.attempts_under_way() >= self.waiters.len()
                || self.stranded
                || self.retry.is_failing()
                || self.stages.connecting + self.driverless >= limit,
            "4: nobody works for a waiter although a place is free"
        );
    }

    #[cfg(not(any(test, debug_assertions)))]
    #[inline]
    pub(crate) fn check(&self) {}
}
