//! The reference: what must be true of a pool, said plainly, from the outside.
//!
//! It keeps its own queue of those who wait, in the order in which they came. The pool says how
//! many of them it still counts as waiting; since it serves from the front, the others are the
//! first ones, which is how the model knows when each was served, whether or not he has looked.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use watertight::{AcquireError, CheckPolicy, Pool, Statistics, Timer, VirtualRuntime, WeakPool};

use crate::plan::{Plan, Settings};
use crate::support::{Acquired, Scripted};

pub(crate) struct Model {
    runtime: VirtualRuntime,
    pool: WeakPool<Scripted>,
    settings: Settings,
    loses_tasks: bool,
    books: RefCell<Books>,
}

#[derive(Default)]
struct Books {
    queue: Vec<Waiter>,
    tickets: u64,
    closed_at: Option<Instant>,
    most_places: usize,
    tally: Tally,
}

/// Somebody who has joined the queue and has not learned how it ended.
struct Waiter {
    ticket: u64,
    deadline: Instant,
    served_at: Option<Instant>,
    /// Nobody will ever poll it.
    forgotten: bool,
}

/// What the statistics should say.
#[derive(Default)]
struct Tally {
    acquires: u64,
    waits: u64,
    timeouts: u64,
    cancellations: u64,
    /// Those who were served, in time or late, and went away without having looked. It may have been
    /// a connection, a time-out or another error.
    unseen: u64,
    /// Those who were answered at once, and may have joined the queue all the same: to be given one
    /// that was fit while another is checked, or to do what a task should have done that was lost.
    quick: u64,
}

impl Model {
    pub(crate) fn new(runtime: VirtualRuntime, pool: WeakPool<Scripted>, plan: &Plan) -> Self {
        Model {
            runtime,
            pool,
            settings: plan.settings.clone(),
            loses_tasks: plan.mischief.loses,
            books: RefCell::default(),
        }
    }

    /// Wraps a call to acquire whose patience is this.
    pub(crate) fn watch<'a>(
        &'a self,
        patience: Duration,
        acquire: impl Future<Output = Acquired> + 'a,
    ) -> Watched<'a> {
        Watched {
            model: self,
            acquire: Some(Box::pin(acquire)),
            patience,
            ticket: None,
            over: false,
        }
    }

    /// The pool is about to be resized.
    pub(crate) fn resizing(&self, max_size: usize) {
        let mut books = self.books.borrow_mut();
        books.most_places = books.most_places.max(max_size);
    }

    /// The most places that there have been at any time since the last call.
    pub(crate) fn take_most_places(&self) -> usize {
        std::mem::take(&mut self.books.borrow_mut().most_places)
    }

    /// What `try_acquire` gave.
    pub(crate) fn tried(&self, lent: bool, waiting_before: usize) {
        assert!(!lent || waiting_before == 0, "a newcomer overtook");
        self.books.borrow_mut().tally.acquires += u64::from(lent);
    }

    /// The pool is about to close.
    pub(crate) fn closing(&self) {
        let now = self.runtime.now();
        self.books.borrow_mut().closed_at.get_or_insert(now);
    }

    /// How many wait, as the pool sees it. None, if it has ended.
    pub(crate) fn waiting(&self) -> usize {
        self.pool.upgrade().map_or(0, |pool| pool.status().waiting)
    }

    /// Notes who has been served since the last look. To be called at every step.
    pub(crate) fn look(&self) {
        let now = self.runtime.now();
        let waiting = self.waiting();
        let mut books = self.books.borrow_mut();
        let served = books.queue.len().checked_sub(waiting);
        let served = served.expect("more wait than have joined");
        for (place, waiter) in books.queue.iter_mut().enumerate() {
            if place < served {
                waiter.served_at.get_or_insert(now);
            } else {
                assert!(
                    waiter.served_at.is_none(),
                    "somebody was served out of turn, or is waiting again"
                );
            }
        }
    }

    /// Nothing can run without time passing: nobody whose time is over may still be waiting.
    pub(crate) fn assert_nobody_is_late(&self) {
        let now = self.runtime.now();
        for waiter in &self.books.borrow().queue {
            assert!(
                waiter.forgotten || waiter.deadline > now,
                "ticket {} waits beyond its deadline",
                waiter.ticket
            );
            assert!(
                waiter.forgotten || waiter.served_at.is_none(),
                "ticket {} was served and not woken",
                waiter.ticket
            );
        }
    }

    fn join(&self, deadline: Instant) -> u64 {
        let mut books = self.books.borrow_mut();
        books.tickets += 1;
        books.tally.waits += 1;
        let ticket = books.tickets;
        books.queue.push(Waiter {
            ticket,
            deadline,
            served_at: None,
            forgotten: false,
        });
        ticket
    }

    fn forget(&self, ticket: u64) {
        let mut books = self.books.borrow_mut();
        let waiter = books.queue.iter_mut().find(|w| w.ticket == ticket);
        waiter.expect("it waits").forgotten = true;
    }

    /// A waiter leaves the queue. Returns it, and how many came before it and are still there.
    fn leave(&self, ticket: u64) -> (Waiter, usize) {
        let mut books = self.books.borrow_mut();
        let place = books.queue.iter().position(|w| w.ticket == ticket);
        let place = place.expect("it waits");
        (books.queue.remove(place), place)
    }

    /// A call that waited has come to its end.
    fn ended(&self, ticket: u64, result: &Acquired) {
        let now = self.runtime.now();
        let (waiter, before) = self.leave(ticket);
        let served_before = self.books.borrow().queue.len() - self.waiting();
        let served_at = waiter.served_at.unwrap_or(now);
        let closed_at = self.books.borrow().closed_at;
        match result {
            Ok(_) => {
                assert!(served_at < waiter.deadline, "served after the deadline");
                assert!(served_before >= before, "served before somebody else");
                let in_time = closed_at.is_none_or(|closed| served_at <= closed);
                assert!(in_time, "served by a closed pool");
                self.books.borrow_mut().tally.acquires += 1;
            }
            Err(AcquireError::TimedOut { .. }) => {
                assert!(now >= waiter.deadline, "timed out too early");
                let unserved = waiter.served_at.is_none_or(|at| at >= waiter.deadline);
                assert!(unserved, "served, but told that it timed out");
                self.books.borrow_mut().tally.timeouts += 1;
            }
            Err(AcquireError::Closed) => {
                assert!(self.is_closed(), "told that an open pool is closed");
            }
            Err(AcquireError::Connect(_)) => {
                assert!(served_before >= before, "failed before somebody else");
            }
            Err(other) => panic!("an error that is not offered: {other}"),
        }
    }

    /// A call that did not wait has come to its end.
    fn answered(&self, result: &Acquired, waiting_before: usize) {
        let mut books = self.books.borrow_mut();
        books.tally.quick += 1;
        match result {
            Ok(_) => {
                let waiting = if self.loses_tasks {
                    self.waiting()
                } else {
                    waiting_before
                };
                assert_eq!(waiting, 0, "a newcomer overtook");
                assert!(books.closed_at.is_none(), "lent by a closed pool");
                books.tally.acquires += 1;
            }
            Err(AcquireError::TimedOut { .. }) => books.tally.timeouts += 1,
            Err(AcquireError::Closed) => assert!(self.is_closed(), "told that it is closed"),
            Err(AcquireError::Connect(_)) if self.loses_tasks => {}
            Err(other) => panic!("an answer that needs waiting: {other}"),
        }
    }

    /// A call that waited was dropped.
    fn dropped(&self, ticket: u64) {
        let (waiter, _) = self.leave(ticket);
        let tally = &mut self.books.borrow_mut().tally;
        match waiter.served_at {
            None => tally.cancellations += 1,
            Some(_) => tally.unseen += 1,
        }
    }

    fn is_closed(&self) -> bool {
        self.pool.upgrade().is_none_or(|pool| pool.is_closed())
    }

    /// Compares the history of a pool that nobody uses any more.
    pub(crate) fn compare(&self, pool: &Pool<Scripted>) {
        let Statistics {
            acquires,
            waits,
            cancellations,
            timeouts,
            ..
        } = pool.statistics();
        let books = self.books.borrow();
        let tally = &books.tally;
        assert!(books.queue.is_empty(), "somebody is still waiting");
        assert_eq!(acquires, tally.acquires, "acquires");
        let quick = match self.settings.check_policy {
            CheckPolicy::IdleFor(_) => tally.quick,
            _ if self.loses_tasks => tally.quick,
            _ => 0,
        };
        assert_between(waits, tally.waits, quick, "waits");
        assert_between(timeouts.total(), tally.timeouts, tally.unseen, "time-outs");
        assert_between(
            cancellations,
            tally.cancellations,
            tally.unseen,
            "cancelled",
        );
    }

    pub(crate) fn pool(&self) -> Option<Pool<Scripted>> {
        self.pool.upgrade()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

#[track_caller]
fn assert_between(number: u64, least: u64, slack: u64, what: &str) {
    let most = least + slack;
    assert!(
        (least..=most).contains(&number),
        "{what}: {number}, not {least} to {most}"
    );
}

/// A call to acquire, watched by the model.
pub(crate) struct Watched<'a> {
    model: &'a Model,
    acquire: Option<Pin<Box<dyn Future<Output = Acquired> + 'a>>>,
    patience: Duration,
    ticket: Option<u64>,
    over: bool,
}

impl Watched<'_> {
    /// It will be neither polled nor dropped any more.
    pub(crate) fn forget(&self) {
        if let Some(ticket) = self.ticket {
            self.model.forget(ticket);
        }
    }
}

impl Future for Watched<'_> {
    type Output = Acquired;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acquired> {
        let this = &mut *self;
        let model = this.model;
        model.look();
        let waiting_before = model.waiting();
        let acquire = this.acquire.as_mut().expect("it is not dropped");
        let poll = acquire.as_mut().poll(cx);
        match (&poll, this.ticket) {
            (Poll::Pending, None) => {
                let deadline = model.runtime.now() + this.patience;
                this.ticket = Some(model.join(deadline));
            }
            (Poll::Pending, Some(_)) => {}
            (Poll::Ready(result), None) => model.answered(result, waiting_before),
            (Poll::Ready(result), Some(ticket)) => model.ended(ticket, result),
        }
        this.over = poll.is_ready();
        model.look();
        poll
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Some(ticket) = self.ticket {
            self.model.look();
            drop(self.acquire.take());
            self.model.dropped(ticket);
            self.model.look();
        }
    }
}
