//! The reference: what must be true of a pool, said plainly, from the outside.
//!
//! It keeps its own queue of those who wait, in the order in which they came. The pool says how
//! many of them it still counts as waiting; since it serves from the front, the others are the
//! first ones, which is how the model knows when each was served, whether or not he has looked.
//! Whether an answer is the right one is for [`answers`](crate::answers) to say.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use watertight::{Pool, Status, Timer, VirtualRuntime, WeakPool};

use crate::answers::Tally;
use crate::coverage::saw;
use crate::outage::Outage;
use crate::plan::Plan;
use crate::settings::Settings;
use crate::support::{Acquired, Scripted};

pub(crate) struct Model {
    runtime: VirtualRuntime,
    pool: WeakPool<Scripted>,
    pub(crate) settings: Settings,
    pub(crate) loses_tasks: bool,
    /// How late the pool's idea of the time may be.
    pub(crate) lateness: Duration,
    pub(crate) books: RefCell<Books>,
    outage: Cell<Outage>,
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) queue: Vec<Waiter>,
    tickets: u64,
    pub(crate) last_joined: Option<Instant>,
    pub(crate) closed_at: Option<Instant>,
    most_places: usize,
    pub(crate) tally: Tally,
}

/// Somebody who has joined the queue and has not learned how it ended.
pub(crate) struct Waiter {
    ticket: u64,
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    /// How many attempts to connect had failed when it came.
    pub(crate) failed_before: u64,
    pub(crate) served: Option<Served>,
    /// Nobody will ever poll it.
    forgotten: bool,
}

/// How things stood when somebody was served.
#[derive(Clone, Copy)]
pub(crate) struct Served {
    pub(crate) at: Instant,
    /// Connections that were there, lent ones included.
    pub(crate) live: usize,
}

/// A pool at one instant.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) now: Instant,
    pub(crate) status: Status,
    pub(crate) outage: Outage,
}

impl Sight {
    pub(crate) fn served(&self) -> Served {
        let Status {
            idle,
            in_use,
            checking,
            recycling,
            ..
        } = self.status;
        Served {
            at: self.now,
            live: idle + in_use + checking + recycling,
        }
    }
}

impl Model {
    pub(crate) fn new(runtime: VirtualRuntime, pool: WeakPool<Scripted>, plan: &Plan) -> Self {
        Model {
            runtime,
            pool,
            settings: plan.settings.clone(),
            loses_tasks: plan.mischief.loses,
            lateness: plan.mischief.lateness(),
            books: RefCell::default(),
            outage: Cell::default(),
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

    /// The pool is about to close.
    pub(crate) fn closing(&self) {
        let now = self.now();
        self.books.borrow_mut().closed_at.get_or_insert(now);
    }

    pub(crate) fn now(&self) -> Instant {
        self.runtime.now()
    }

    pub(crate) fn pool(&self) -> Option<Pool<Scripted>> {
        self.pool.upgrade()
    }

    /// Notes who has been served since the last look, and what has become of attempts to connect.
    /// To be called at every step. `None` if the pool has ended.
    pub(crate) fn look(&self) -> Option<Sight> {
        let pool = self.pool();
        let sight = pool.map(|pool| self.see(&pool));
        let waiting = sight.map_or(0, |sight| sight.status.waiting);
        let mut books = self.books.borrow_mut();
        let served = books.queue.len().checked_sub(waiting);
        let served = served.expect("more wait than have joined");
        let how = sight.map_or_else(|| self.at_the_end(), |sight| sight.served());
        for (place, waiter) in books.queue.iter_mut().enumerate() {
            if place < served {
                waiter.served.get_or_insert(how);
            } else {
                assert!(
                    waiter.served.is_none(),
                    "somebody was served out of turn, or is waiting again"
                );
            }
        }
        sight
    }

    /// [`look`](Model::look), by somebody who has a handle.
    pub(crate) fn look_at_it(&self) -> Sight {
        self.look().expect("somebody has a handle")
    }

    fn see(&self, pool: &Pool<Scripted>) -> Sight {
        let (status, statistics) = (pool.status(), pool.statistics());
        let mut outage = self.outage.get();
        outage.look(&status, &statistics);
        self.outage.set(outage);
        Sight {
            now: self.now(),
            status,
            outage,
        }
    }

    fn at_the_end(&self) -> Served {
        Served {
            at: self.now(),
            live: 0,
        }
    }

    /// Nothing can run without time passing: nobody whose time is over may still be waiting.
    pub(crate) fn assert_nobody_is_late(&self) {
        let now = self.now();
        for waiter in &self.books.borrow().queue {
            assert!(
                waiter.forgotten || waiter.deadline > now,
                "ticket {} waits beyond its deadline",
                waiter.ticket
            );
            assert!(
                waiter.forgotten || waiter.served.is_none(),
                "ticket {} was served and not woken",
                waiter.ticket
            );
        }
    }

    fn join(&self, patience: Duration, before: &Sight) -> u64 {
        let mut books = self.books.borrow_mut();
        books.tickets += 1;
        books.tally.waits += 1;
        books.last_joined = Some(before.now);
        let ticket = books.tickets;
        books.queue.push(Waiter {
            ticket,
            since: before.now,
            deadline: before.now + patience,
            failed_before: before.outage.failed(),
            served: None,
            forgotten: false,
        });
        ticket
    }

    fn forget(&self, ticket: u64) {
        let mut books = self.books.borrow_mut();
        let waiter = books.queue.iter_mut().find(|w| w.ticket == ticket);
        waiter.expect("it waits").forgotten = true;
    }

    /// A waiter leaves the queue. Returns it, and those who came before it and are still there.
    fn leave(&self, ticket: u64) -> (Waiter, Ahead) {
        let mut books = self.books.borrow_mut();
        let place = books.queue.iter().position(|w| w.ticket == ticket);
        let place = place.expect("it waits");
        let waiting = books.queue[..place].iter().filter(|w| w.served.is_none());
        let ahead = Ahead {
            all: place,
            waiting: waiting.count(),
        };
        (books.queue.remove(place), ahead)
    }

    /// A call that waited was dropped.
    fn dropped(&self, ticket: u64) {
        let (waiter, _) = self.leave(ticket);
        let tally = &mut self.books.borrow_mut().tally;
        match waiter.served {
            None => {
                tally.cancellations += 1;
                saw("waiter: gone before it was served");
            }
            Some(_) => {
                tally.unseen += 1;
                saw("waiter: gone before it looked");
            }
        }
    }
}

/// How many came before somebody and have not learned yet how it ended for them.
pub(crate) struct Ahead {
    pub(crate) all: usize,
    /// Those who have not been served either.
    pub(crate) waiting: usize,
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
        let before = model.look_at_it();
        let acquire = this.acquire.as_mut().expect("it is not dropped");
        let poll = acquire.as_mut().poll(cx);
        match (&poll, this.ticket) {
            (Poll::Pending, None) => this.ticket = Some(model.join(this.patience, &before)),
            (Poll::Pending, Some(_)) => {}
            (Poll::Ready(result), None) => model.answered(this.patience, result, &before),
            (Poll::Ready(result), Some(ticket)) => {
                let (waiter, ahead) = model.leave(ticket);
                model.ended(&waiter, &ahead, result, &before);
            }
        }
        this.over = poll.is_ready();
        model.look();
        poll
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if self.over || std::thread::panicking() {
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
