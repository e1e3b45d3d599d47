//! Something to wait for that may ring at any time.
//!
//! The waiting task leaves its waker first and looks second, so a ring between the two is not
//! missed. Wakers are the executor's code: they are cloned, woken and dropped without the lock,
//! and may do there whatever they like, even poll.

use std::ops::Deref;
use std::task::{Poll, Waker};

use slab::Slab;

use crate::primitives::{Mutex, contain};

/// Room for so many is kept when nobody waits.
const KEPT: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// `None` for one that has been woken and has not looked yet.
    waiting: Mutex<Slab<Option<Waker>>>,
}

impl Bell {
    /// Makes everybody who waits look again.
    pub(crate) fn ring(&self) {
        let woken: Vec<Waker> = {
            let mut waiting = self.waiting.lock();
            waiting
                .iter_mut()
                .filter_map(|(_, waker)| waker.take())
                .collect()
        };
        #[cfg(mutant = "bell-wakes-one")]
        let woken = woken.into_iter().take(1);
        for waker in woken {
            contain(|| waker.wake());
        }
    }

    /// Looks at every ring, until there is something to see.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut place = Place::at(self);
        std::future::poll_fn(|cx| {
            #[cfg(mutant = "bell-looks-first")]
            let look = {
                let seen = look();
                move || seen
            };
            place.leave(cx.waker().clone());
            look().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Where somebody who waits has left a waker.
pub(crate) struct Place<B: Deref<Target = Bell>> {
    bell: B,
    key: Option<usize>,
}

impl<B: Deref<Target = Bell>> Place<B> {
    pub(crate) fn at(bell: B) -> Self {
        Place { bell, key: None }
    }

    /// To be looked for what there is to see afterwards.
    pub(crate) fn leave(&mut self, waker: Waker) {
        let old = {
            let mut waiting = self.bell.waiting.lock();
            let key = *self.key.get_or_insert_with(|| waiting.insert(None));
            waiting[key].replace(waker)
        };
        contain(|| drop(old));
    }
}

impl<B: Deref<Target = Bell>> Drop for Place<B> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = {
                let mut waiting = self.bell.waiting.lock();
                let waker = waiting.remove(key);
                // The memory of a crowd goes with the last of it.
                if waiting.is_empty() && waiting.capacity() > KEPT {
                    *waiting = Slab::new();
                }
                waker
            };
            contain(|| drop(waker));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_who_waits_looks_at_every_ring_and_leaves_nothing_behind() {
        let bell = Bell::default();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        {
            let mut looks = 0;
            let mut waiting = pin!(bell.until(|| {
                looks += 1;
                (looks == 3).then_some(looks)
            }));
            for ring in 1..3 {
                assert!(waiting.as_mut().poll(&mut cx).is_pending());
                bell.ring();
                bell.ring();
                assert_eq!(count.0.load(Ordering::Relaxed), ring, "woken once a look");
            }
            assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(3));
        }
        assert!(bell.waiting.lock().is_empty());
    }

    #[test]
    fn crowd_leaves_little_behind() {
        let bell = Bell::default();
        for (crowd, most) in [(KEPT, KEPT), (100 * KEPT, 0)] {
            let mut places: Vec<_> = (0..crowd).map(|_| Place::at(&bell)).collect();
            for place in &mut places {
                place.leave(Waker::noop().clone());
            }
            assert_eq!(bell.waiting.lock().len(), crowd);
            drop(places);
            assert!(bell.waiting.lock().capacity() <= most);
        }
    }

    /// Panics when the last of its wakers is dropped.
    struct Fragile;

    impl Wake for Fragile {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Fragile {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("fragile"));
        }
    }

    #[test]
    fn waker_may_panic_when_another_takes_its_place_or_nobody_waits_any_more() {
        let bell = Bell::default();
        let mut waiting = Box::pin(bell.until(|| None::<()>));
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(Fragile));
            let mut cx = Context::from_waker(&waker);
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
        }
        drop(waiting);
        assert!(bell.waiting.lock().is_empty());
    }
}
