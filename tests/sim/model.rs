//! The reference: what must be true of a pool, said plainly, from the outside.
//!
//! It keeps its own queue of those who wait, in the order in which they came. The pool says how
//! many of them it still counts as waiting; since it serves from the front, the others are the
//! first ones, which is how the model knows when each was served, whether or not he has looked. An
//! overloaded pool may serve from the back: then those who were woken tell.
//! Whether an answer is the right one is for [`answers`](crate::answers) to say.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use watertight::{Pool, QueueOrder, Status, Timer, VirtualRuntime, WeakPool};

use crate::answers::Tally;
use crate::coverage::saw;
use crate::load::Load;
use crate::outage::Outage;
use crate::plan::{Ms, Plan};
use crate::renewal::Resets;
use crate::settings::Settings;
use crate::support::{Generation, Scripted, World};
use crate::watched::Bell;

pub(crate) struct Model {
    runtime: VirtualRuntime,
    pool: WeakPool<Scripted>,
    pub(crate) world: World,
    settings: Cell<Settings>,
    pub(crate) loses_tasks: bool,
    /// How late the pool's idea of the time may be.
    pub(crate) lateness: Duration,
    pub(crate) books: RefCell<Books>,
    pub(crate) outage: Cell<Outage>,
    last_look: Cell<Option<Sight>>,
    /// Those who want to know when a pause is complete, and when a reset is over.
    pub(crate) pausing: Cell<usize>,
    pub(crate) renewing: Cell<usize>,
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) queue: Vec<Waiter>,
    tickets: u64,
    pub(crate) last_joined: Option<Instant>,
    pub(crate) closed_at: Option<Instant>,
    most_places: usize,
    most_idle: usize,
    pub(crate) resets: Resets,
    pub(crate) load: Option<Load>,
    /// When somebody was last served, or the pool was last paused.
    pub(crate) last_moved: Option<Instant>,
    /// When something last kept the pool from checking connections in the background.
    pub(crate) checks_held_up: Option<Instant>,
    /// When there were last so few idle ones that none of them was too old.
    pub(crate) few_idle: Option<Instant>,
    /// Since when connections have been made with which lifetime.
    lifetimes: Vec<(Instant, Option<Ms>)>,
    /// The coarsest that the pool's time has been.
    pub(crate) tick: Duration,
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
    /// Rings when it is woken.
    bell: Bell,
    /// Nobody will ever poll it.
    forgotten: bool,
}

impl Waiter {
    /// It has been woken since it was last polled, or its time is over.
    fn is_awake(&self, now: Instant) -> bool {
        self.bell.has_rung() || self.deadline <= now
    }
}

/// How things stood when somebody was served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) at: Instant,
    /// Connections that were there, lent ones included.
    pub(crate) live: usize,
    /// What was of before then.
    pub(crate) generation: Generation,
    /// The pool was paused, and had been so for some time.
    pub(crate) paused: bool,
    /// Others had come before.
    pub(crate) last_first: bool,
}

/// A pool at one instant.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) now: Instant,
    pub(crate) status: Status,
    pub(crate) outage: Outage,
    pub(crate) generation: Generation,
    /// How many have joined the queue so far.
    pub(crate) waits: u64,
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
            generation: self.generation,
            paused: false,
            last_first: false,
        }
    }
}

impl Model {
    pub(crate) fn new(
        runtime: VirtualRuntime,
        pool: WeakPool<Scripted>,
        world: &World,
        plan: &Plan,
    ) -> Self {
        let model = Model {
            pool,
            world: world.clone(),
            settings: Cell::new(plan.settings),
            loses_tasks: plan.mischief.loses,
            lateness: plan.mischief.lateness(),
            books: RefCell::default(),
            outage: Cell::default(),
            last_look: Cell::default(),
            pausing: Cell::default(),
            renewing: Cell::default(),
            runtime,
        };
        model.books.borrow_mut().load = Load::new(&plan.settings, model.now());
        model.set(plan.settings);
        model
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings.get()
    }

    /// The settings are these from now on.
    pub(crate) fn set(&self, settings: Settings) {
        let now = self.now();
        let mut books = self.books.borrow_mut();
        books.lifetimes.push((now, settings.max_lifetime));
        books.tick = books.tick.max(settings.tick());
        // What came back a moment ago was kept by the setting of then.
        for most in [self.settings().max_idle, settings.max_idle] {
            books.most_idle = books.most_idle.max(most.unwrap_or(usize::MAX));
        }
        // What is due by a new period is seen to now.
        books.checks_held_up = Some(now);
        books.few_idle = Some(now);
        self.settings.set(settings);
    }

    /// With which lifetimes a connection may have been made then.
    pub(crate) fn lifetimes(&self, made: Instant) -> Vec<Option<Ms>> {
        let books = self.books.borrow();
        let ends = books.lifetimes.iter().skip(1).map(|(end, _)| Some(*end));
        let all = books.lifetimes.iter().zip(ends.chain([None]));
        let then =
            all.filter(|((since, _), end)| *since <= made && end.is_none_or(|end| made <= end));
        then.map(|((_, lifetime), _)| *lifetime).collect()
    }

    /// No connection is too old before this.
    pub(crate) fn shortest_lifetime(&self) -> Option<Duration> {
        let books = self.books.borrow();
        let lifetimes = books.lifetimes.iter().filter_map(|(_, lifetime)| *lifetime);
        lifetimes.min().map(Settings::shortest_of)
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

    /// The most idle ones that have been allowed at any time since the last call.
    pub(crate) fn take_most_idle(&self) -> usize {
        std::mem::take(&mut self.books.borrow_mut().most_idle)
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
        let before = self.last_look.replace(sight);
        let both = before.zip(sight);
        let mut how = sight.map_or_else(|| self.at_the_end(), |sight| sight.served());
        how.paused =
            both.is_some_and(|(before, after)| before.status.paused && after.status.paused);
        self.note_served(waiting, how);
        if let Some((before, after)) = both {
            self.compare_looks(&before, &after);
        }
        sight
    }

    /// So many wait, so the others have been served.
    fn note_served(&self, waiting: usize, how: Served) {
        let mut books = self.books.borrow_mut();
        let books = &mut *books;
        let unserved = books
            .queue
            .iter_mut()
            .filter(|waiter| waiter.served.is_none());
        let mut unserved: Vec<_> = unserved.collect();
        let served = unserved.len().checked_sub(waiting);
        let served = served.expect("more wait than have joined, or somebody is waiting again");
        let from_the_front = match self.settings().queue_order {
            QueueOrder::AdaptiveLifo => {
                let may_have_been = |waiter: &&&mut Waiter| waiter.is_awake(how.at);
                let front = unserved.iter().take_while(may_have_been).count();
                front.min(served)
            }
            _ => served,
        };
        let (front, others) = unserved.split_at_mut(from_the_front);
        let back = others.iter_mut().rev().take(served - front.len());
        let last_first = back.map(|waiter| (waiter, true));
        for (waiter, last_first) in front.iter_mut().map(|one| (one, false)).chain(last_first) {
            waiter.served = Some(Served { last_first, ..how });
            let woken = waiter.is_awake(how.at) || self.loses_tasks;
            assert!(woken, "ticket {} was served and not woken", waiter.ticket);
            if let Some(load) = books.load.as_mut() {
                load.is_waited_for(how.at - waiter.since, how.at);
            }
        }
        if served > 0 || how.paused {
            books.last_moved = Some(how.at);
        }
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
            waits: statistics.waits,
            generation: self.world.ledger().generation(),
        }
    }

    fn at_the_end(&self) -> Served {
        Served {
            at: self.now(),
            live: 0,
            generation: self.world.ledger().generation(),
            paused: false,
            last_first: false,
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

    pub(super) fn join(&self, patience: Duration, bell: Bell, before: &Sight) -> u64 {
        self.assert_may_wait(before);
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
            bell,
            forgotten: false,
        });
        ticket
    }

    pub(super) fn forget(&self, ticket: u64) {
        self.waiter(ticket, |waiter| waiter.forgotten = true);
    }

    /// A waiter is polled anew.
    pub(super) fn polled(&self, ticket: u64, bell: Bell) {
        self.waiter(ticket, |waiter| waiter.bell = bell);
    }

    fn waiter(&self, ticket: u64, change: impl FnOnce(&mut Waiter)) {
        let mut books = self.books.borrow_mut();
        let waiter = books.queue.iter_mut().find(|w| w.ticket == ticket);
        change(waiter.expect("it waits"));
    }

    /// A waiter leaves the queue. Returns it, and those who came before it and are still there.
    pub(super) fn leave(&self, ticket: u64) -> (Waiter, Ahead) {
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
    pub(super) fn dropped(&self, ticket: u64) {
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
