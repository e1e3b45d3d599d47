//! The queue: first come, first served, with hand-off.
//!
//! A waiter is an entry in a slab, linked into a list for as long as it waits. Whoever serves it
//! unlinks it and puts the outcome *into* its entry, so the woken task has nothing to race for.
//! The entry stays until its owner removes it: an outcome that its owner never sees comes back
//! out of [`remove`](Waiters::remove) and can be passed on. Only the owner removes, so a key is
//! never stale.

use std::task::Waker;

use slab::Slab;

use crate::clock::Moment;

/// Queue entries keep `u32` links: a waiter should be small, and four billion are enough.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Waiters<O> {
    entries: Slab<Waiter<O>>,
    head: u32,
    tail: u32,
    queued: usize,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Waiter<O> {
    pub(crate) since: Moment,
    pub(crate) deadline: Moment,
    pub(crate) waker: Option<Waker>,
    pub(crate) outcome: Option<O>,
    /// It runs an attempt to connect on its own task.
    pub(crate) driving: bool,
    queued: bool,
    previous: u32,
    next: u32,
}

impl<O> Waiters<O> {
    pub(crate) fn new() -> Self {
        Waiters {
            entries: Slab::new(),
            head: NONE,
            tail: NONE,
            queued: 0,
        }
    }

    /// How many wait; those that have been served are no longer counted.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.queued
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Joins the end of the queue.
    pub(crate) fn push(&mut self, since: Moment, deadline: Moment, waker: Waker) -> usize {
        let key = self.entries.insert(Waiter {
            since,
            deadline,
            waker: Some(waker),
            outcome: None,
            driving: false,
            queued: true,
            previous: self.tail,
            next: NONE,
        });
        // A slab that large does not fit into memory.
        let link = u32::try_from(key).unwrap_or(NONE);
        match self.entries.get_mut(self.tail as usize) {
            Some(last) => last.next = link,
            None => self.head = link,
        }
        self.tail = link;
        self.queued += 1;
        key
    }

    /// The one that has waited longest.
    #[inline]
    pub(crate) fn first(&self) -> Option<&Waiter<O>> {
        self.entries.get(self.head as usize)
    }

    /// Takes the one that has waited longest out of the queue, and returns its key.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        let key = self.head as usize;
        self.entries.contains(key).then(|| {
            self.unlink(key);
            key
        })
    }

    /// Takes the one that came last out of the queue if it has the time, else as
    /// [`pop`](Waiters::pop).
    pub(crate) fn pop_last(&mut self, now: Moment) -> Option<usize> {
        let last = self.tail as usize;
        match self.entries.get(last) {
            Some(waiter) if waiter.deadline > now => {
                self.unlink(last);
                Some(last)
            }
            _ => self.pop(),
        }
    }

    /// Puts an outcome into the entry of one that was [popped](Waiters::pop), and returns the
    /// waker to wake once the lock is released.
    pub(crate) fn resolve(&mut self, key: usize, outcome: O) -> Option<Waker> {
        let waiter = &mut self.entries[key];
        debug_assert!(!waiter.queued && waiter.outcome.is_none());
        waiter.outcome = Some(outcome);
        let waker = waiter.waker.take();
        waker.filter(|_| !cfg!(mutant = "wakes-too-early"))
    }

    /// Takes an entry out altogether, wherever it is.
    pub(crate) fn remove(&mut self, key: usize) -> Waiter<O> {
        if self.entries[key].queued {
            self.unlink(key);
        }
        let waiter = self.entries.remove(key);
        if self.entries.is_empty() {
            self.shrink();
        }
        waiter
    }

    pub(crate) fn get_mut(&mut self, key: usize) -> &mut Waiter<O> {
        &mut self.entries[key]
    }

    #[cfg(test)]
    pub(crate) fn get(&self, key: usize) -> &Waiter<O> {
        &self.entries[key]
    }

    /// Takes the wakers of all in the queue, in order.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        let keys: Vec<_> = self.iter().map(|(key, _)| key).collect();
        let wakers = keys.into_iter().map(|key| self.entries[key].waker.take());
        wakers.flatten().collect()
    }

    /// The queue in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Waiter<O>)> {
        let mut at = self.head as usize;
        std::iter::from_fn(move || {
            let key = at;
            let waiter = self.entries.get(key)?;
            at = waiter.next as usize;
            Some((key, waiter))
        })
    }

    /// The first in the queue and since when he has been waiting, if his deadline has passed.
    pub(crate) fn first_late(&self, now: Moment) -> Option<(usize, Moment)> {
        let first = self.iter().next();
        let late = first.filter(|(_, waiter)| waiter.deadline <= now);
        late.map(|(key, waiter)| (key, waiter.since))
    }

    /// Those whose deadlines have not passed, in order.
    fn in_time(&self, now: Moment) -> impl Iterator<Item = (usize, &Waiter<O>)> {
        self.iter().filter(move |(_, waiter)| waiter.deadline > now)
    }

    /// Those of them who may be woken: whoever has been woken since he looked last may be polled no more.
    fn asleep(&self, now: Moment) -> impl Iterator<Item = (usize, &Waiter<O>)> {
        self.in_time(now)
            .filter(|(_, waiter)| waiter.waker.is_some())
    }

    /// The first to be woken.
    pub(crate) fn first_asleep(&self, now: Moment) -> Option<usize> {
        self.asleep(now).next().map(|(key, _)| key)
    }

    /// The first few to be woken to run an attempt to connect: those who run none yet, then the others.
    pub(crate) fn drivers(&self, most: usize, now: Moment) -> Vec<usize> {
        let free = self.asleep(now).filter(|(_, waiter)| !waiter.driving);
        let busy = self.asleep(now).filter(|(_, waiter)| waiter.driving);
        free.chain(busy).take(most).map(|(key, _)| key).collect()
    }

    /// True if this one should run an attempt: it is in time, and runs none yet, or all others do who are. If
    /// there is no other `hope`, those do not count who have been woken already: they may be polled no more.
    pub(crate) fn may_drive(&self, key: usize, hope: bool, now: Moment) -> bool {
        let waiter = &self.entries[key];
        let mut others = self.in_time(now);
        waiter.deadline > now
            && (!waiter.driving
                || others.all(|(_, other)| other.driving || (!hope && other.waker.is_none())))
    }

    fn unlink(&mut self, key: usize) {
        let waiter = &mut self.entries[key];
        debug_assert!(waiter.queued);
        waiter.queued = false;
        let (previous, next) = (waiter.previous, waiter.next);
        match self.entries.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(after) => after.previous = previous,
            None => self.tail = previous,
        }
        self.queued -= 1;
    }

    /// Gives the memory of a crowd back once it has dispersed.
    fn shrink(&mut self) {
        const KEPT: usize = 1024;
        if self.entries.capacity() > KEPT {
            self.entries = Slab::new();
        }
    }

    /// Asserts that the list and the entries agree.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let queued = self
            .entries
            .iter()
            .filter(|(_, waiter)| waiter.queued)
            .count();
        assert_eq!(queued, self.queued, "queued entries");
        assert_eq!(self.iter().count(), self.queued, "length of the list");
        assert!(self.iter().all(|(_, waiter)| waiter.outcome.is_none()));
        assert_eq!(self.head == NONE, self.queued == 0);
        assert_eq!(self.tail == NONE, self.queued == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue_of(n: usize) -> (Waiters<usize>, Vec<usize>) {
        let mut waiters = Waiters::new();
        let now = Moment::START;
        let keys = (0..n)
            .map(|_| waiters.push(now, Moment::NEVER, Waker::noop().clone()))
            .collect();
        waiters.check();
        (waiters, keys)
    }

    #[test]
    fn the_first_to_come_is_the_first_to_go() {
        let (mut waiters, keys) = queue_of(5);
        for key in keys {
            assert_eq!(waiters.pop(), Some(key));
            waiters.check();
        }
        assert_eq!(waiters.pop(), None);
    }

    #[test]
    fn one_that_leaves_from_anywhere_keeps_the_order_of_the_rest() {
        for gone in 0..5 {
            let (mut waiters, mut keys) = queue_of(5);
            waiters.remove(keys.remove(gone));
            waiters.check();
            let left: Vec<_> = std::iter::from_fn(|| waiters.pop()).collect();
            assert_eq!(left, keys);
        }
    }

    #[test]
    fn an_outcome_nobody_saw_comes_back_out() {
        let (mut waiters, keys) = queue_of(2);
        let key = waiters.pop().expect("two wait");
        assert!(waiters.resolve(key, 7).is_some());
        waiters.check();
        assert_eq!(waiters.len(), 1);
        assert_eq!(waiters.remove(key).outcome, Some(7));
        assert_eq!(waiters.remove(keys[1]).outcome, None);
        waiters.check();
    }

    #[test]
    fn a_reused_entry_starts_afresh() {
        let (mut waiters, keys) = queue_of(1);
        waiters.remove(keys[0]);
        let key = waiters.push(Moment::START, Moment::NEVER, Waker::noop().clone());
        assert_eq!(key, keys[0]);
        assert!(waiters.get_mut(key).outcome.is_none());
        waiters.check();
    }

    #[test]
    fn those_who_run_no_attempt_are_to_run_the_next() {
        let (mut waiters, keys) = queue_of(3);
        let now = Moment::START;
        assert_eq!(waiters.drivers(2, now), keys[..2]);
        waiters.get_mut(keys[0]).driving = true;
        assert_eq!(waiters.drivers(3, now), [keys[1], keys[2], keys[0]]);
        assert!(
            !waiters.may_drive(keys[0], true, now),
            "the others run none"
        );
        assert!(waiters.may_drive(keys[1], true, now) && waiters.may_drive(keys[2], true, now));
        waiters.get_mut(keys[1]).driving = true;
        assert!(!waiters.may_drive(keys[1], true, now));
        waiters.get_mut(keys[2]).driving = true;
        assert!(keys.iter().all(|&key| waiters.may_drive(key, true, now)));
    }

    #[test]
    fn whoever_is_late_runs_no_attempt_and_nobody_waits_for_that() {
        let (mut waiters, keys) = queue_of(3);
        let late_at = Moment::START.after(std::time::Duration::from_millis(9));
        waiters.get_mut(keys[0]).deadline = late_at;
        waiters.get_mut(keys[1]).driving = true;
        waiters.get_mut(keys[2]).driving = true;
        assert_eq!(waiters.drivers(3, Moment::START), keys);
        assert!(!waiters.may_drive(keys[1], true, Moment::START));
        assert_eq!(waiters.drivers(3, late_at), keys[1..]);
        assert!(waiters.may_drive(keys[1], true, late_at));
        assert!(!waiters.may_drive(keys[0], true, late_at));
        assert_eq!(waiters.first_asleep(Moment::START), Some(keys[0]));
        assert_eq!(waiters.first_asleep(late_at), Some(keys[1]));
    }

    #[test]
    fn whoever_has_been_woken_already_is_not_the_one_to_be_woken() {
        let (mut waiters, keys) = queue_of(3);
        waiters.get_mut(keys[0]).waker = None;
        assert_eq!(waiters.first_asleep(Moment::START), Some(keys[1]));
        assert_eq!(waiters.drivers(1, Moment::START), [keys[1]]);
        waiters.get_mut(keys[1]).driving = true;
        assert_eq!(waiters.drivers(3, Moment::START), [keys[2], keys[1]]);
        assert!(
            !waiters.may_drive(keys[1], true, Moment::START),
            "the third is asleep"
        );
        waiters.get_mut(keys[2]).waker = None;
        assert!(waiters.may_drive(keys[1], false, Moment::START));
        assert!(
            !waiters.may_drive(keys[1], true, Moment::START),
            "it may come"
        );
    }

    #[test]
    fn the_last_to_come_is_taken_only_while_it_has_the_time() {
        let late_at = Moment::START.after(std::time::Duration::from_millis(9));
        let (mut waiters, keys) = queue_of(2);
        let last = waiters.push(Moment::START, late_at, Waker::noop().clone());
        assert_eq!(waiters.pop_last(late_at), Some(keys[0]), "it is late");
        assert_eq!(waiters.pop_last(Moment::START), Some(last));
        waiters.check();
        assert_eq!(waiters.pop_last(late_at), Some(keys[1]));
        assert_eq!(waiters.pop_last(late_at), None);
    }

    #[test]
    fn the_memory_of_a_crowd_is_given_back_when_the_last_has_gone() {
        for (crowd, kept) in [(1024, true), (1025, false)] {
            let (mut waiters, keys) = queue_of(crowd);
            let (last, others) = keys.split_last().expect("there are some");
            for &key in others {
                waiters.remove(key);
            }
            assert!(waiters.entries.capacity() >= crowd);
            waiters.remove(*last);
            assert_eq!(waiters.entries.capacity() >= crowd, kept, "{crowd}");
        }
    }
}
