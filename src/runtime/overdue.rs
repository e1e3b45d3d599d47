//! Blocking work for which a runtime has no thread.
//!
//! tokio and smol have so many threads for such work, and keep in a queue what is too much. If all of them
//! wait for connections of a pool, and that pool's own calls are behind others in the queue, nobody
//! goes on. So what has not begun soon begins on a thread of its own.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::{Runtime, on_a_thread_of_its_own};
use crate::bell::Bell;
use crate::primitives::{Arc, Mutex, contain};
use crate::race::race;
use crate::shared::reach;

/// So long a runtime has for finding a thread.
const SOON: Duration = Duration::from_millis(100);

/// Room for so many is kept.
const KEPT: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// Work that is done by whoever takes it first.
#[derive(Clone)]
pub(super) struct Offer(Arc<Mutex<Option<Work>>>);

impl Offer {
    pub(super) fn take(&self) -> Option<Work> {
        self.0.lock().take()
    }

    fn is_taken(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Unless it has begun.
    fn begin_on_a_thread_of_its_own(self) {
        if self.is_taken() {
            return;
        }
        // If there is none to be had, the runtime still has it in its queue.
        on_a_thread_of_its_own(move || {
            if let Some(work) = self.take() {
                work();
            }
        });
    }
}

/// What is handed to the runtime. If that drops it, the work is dropped, whoever else has it.
pub(super) struct Given {
    offer: Offer,
    overdue: Arc<Overdue>,
}

impl Given {
    pub(super) fn begin(self) {
        let work = self.take();
        if let Some(work) = work {
            work();
        }
    }

    fn take(&self) -> Option<Work> {
        let work = self.offer.take();
        if work.is_some() && self.overdue.have_all_begun() {
            self.overdue.calm.ring();
        }
        work
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// The work that a runtime was given of late.
#[derive(Default)]
pub(super) struct Overdue {
    books: Mutex<Books>,
    /// Rings when all has begun: a pool that is closed leaves no task and no timer behind.
    calm: Bell,
}

#[derive(Default)]
struct Books {
    /// When each is overdue, in that order.
    offers: VecDeque<(Instant, Offer)>,
    is_watched: bool,
}

impl Books {
    /// When the first that has not begun is overdue.
    fn next(&mut self) -> Option<Instant> {
        while let Some((at, offer)) = self.offers.front() {
            if !offer.is_taken() {
                return Some(*at);
            }
            self.offers.pop_front();
        }
        None
    }
}

impl Overdue {
    /// Sees to it that `work` begins soon, whether `runtime` finds a thread for it or not. The first is
    /// for the runtime.
    pub(super) fn give<R: Runtime + Clone>(
        self: &Arc<Self>,
        runtime: &R,
        work: Work,
    ) -> (Given, Offer) {
        let offer = Offer(Arc::new(Mutex::new(Some(work))));
        let at = runtime.now().checked_add(SOON);
        let is_first = at.is_some_and(|at| {
            let mut books = self.books.lock();
            books.offers.push_back((at, offer.clone()));
            !std::mem::replace(&mut books.is_watched, true)
        });
        if is_first {
            let watch = Watch(Some(Arc::clone(self)));
            let ours = runtime.clone();
            contain(|| runtime.spawn(Box::pin(watch.until_all_have_begun(ours))));
        }
        let given = Given {
            offer: offer.clone(),
            overdue: Arc::clone(self),
        };
        (given, offer)
    }

    fn have_all_begun(&self) -> bool {
        self.books.lock().next().is_none()
    }

    /// Begins what is overdue. Returns when the next is, or that nothing is left to be watched.
    fn hurry(&self, now: Instant) -> Option<Instant> {
        loop {
            let overdue = {
                let mut books = self.books.lock();
                match books.next() {
                    Some(at) if at > now => return Some(at),
                    Some(_) => books.offers.pop_front(),
                    None => {
                        books.offers.shrink_to(KEPT);
                        books.is_watched = false;
                        None
                    }
                }
            };
            let (_, offer) = overdue?;
            offer.begin_on_a_thread_of_its_own();
        }
    }
}

/// A task that watches, for as long as there is anything. If the runtime drops it, that is about to end: then
/// nothing waits any longer for a thread of its.
struct Watch(Option<Arc<Overdue>>);

impl Watch {
    async fn until_all_have_begun<R: Runtime>(mut self, runtime: R) {
        while let Some(overdue) = &self.0 {
            match overdue.hurry(runtime.now()) {
                Some(at) => {
                    let all_have_begun = overdue
                        .calm
                        .until(|| overdue.have_all_begun().then_some(()));
                    race(pin!(all_have_begun), pin!(reach(&runtime, Some(at)))).await;
                }
                None => self.0 = None,
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(overdue) = &self.0 {
            let mut books = overdue.books.lock();
            books.is_watched = false;
            let offers = std::mem::take(&mut books.offers);
            drop(books);
            for (_, offer) in offers {
                offer.begin_on_a_thread_of_its_own();
            }
        }
    }
}
