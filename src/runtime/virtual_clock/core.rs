//! The tasks and timers of a virtual runtime: plain data, behind its lock. Futures and wakers that
//! are to be dropped or called are handed out, since they may call back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::task::Waker;
use std::time::Instant;

use super::Faults;
use crate::primitives::Arc;
use crate::runtime::BoxFuture;

/// So many polls without time passing are a loop without end.
const MANY: usize = 2_000_000;

pub(super) type TaskId = u64;

pub(super) struct Task {
    pub(super) future: BoxFuture<()>,
    pub(super) faults: Faults,
}

/// Where a task stands.
struct Slot {
    /// `None` while it is being polled.
    task: Option<Task>,
    faults: Faults,
    ready: bool,
    /// Its turn came while it was being polled, which a task may be that drives the runtime.
    again: bool,
    /// Its next poll is one that nobody asked for.
    in_vain: bool,
}

/// What happens at a time.
pub(super) enum Alarm {
    Wake(Waker),
    /// A wake-up arrives that was delayed.
    Ready(TaskId),
}

pub(super) struct Core {
    pub(super) now: Instant,
    /// In the order in which they were spawned, so that to drop them all is deterministic too.
    slots: BTreeMap<TaskId, Slot>,
    ready: VecDeque<TaskId>,
    alarms: BTreeMap<(Instant, u64), Alarm>,
    pub(super) settling: Vec<(Waker, Arc<AtomicBool>)>,
    next_id: u64,
    pub(super) drops_spawned: bool,
    pub(super) lost_tasks: bool,
    /// Since time last passed.
    polls: usize,
    rng: Option<fastrand::Rng>,
}

impl Core {
    pub(super) fn new(now: Instant, rng: Option<fastrand::Rng>) -> Self {
        Core {
            now,
            slots: BTreeMap::new(),
            ready: VecDeque::new(),
            alarms: BTreeMap::new(),
            settling: Vec::new(),
            next_id: 0,
            drops_spawned: false,
            lost_tasks: false,
            polls: 0,
            rng,
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn timers(&self) -> usize {
        let alarms = self.alarms.values();
        alarms
            .filter(|alarm| matches!(alarm, Alarm::Wake(_)))
            .count()
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A number by chance; always the same one if nothing is left to chance.
    pub(super) fn entropy(&mut self) -> u64 {
        self.rng.as_mut().map_or(0, |rng| rng.u64(..))
    }

    /// Decides something by chance; without any, what is certain.
    pub(super) fn draws(&mut self, probability: f64) -> bool {
        match &mut self.rng {
            Some(rng) => probability > 0.0 && rng.f64() < probability,
            None => probability >= 1.0,
        }
    }

    /// Takes a task in. It comes back if it is to be dropped unpolled.
    pub(super) fn spawn(&mut self, future: BoxFuture<()>, faults: Faults) -> Option<BoxFuture<()>> {
        if self.drops_spawned || self.draws(faults.drops_unpolled) {
            self.lost_tasks = true;
            return Some(future);
        }
        let id = self.new_id();
        let slot = Slot {
            task: Some(Task { future, faults }),
            faults,
            ready: false,
            again: false,
            in_vain: false,
        };
        self.slots.insert(id, slot);
        self.make_ready(id);
        None
    }

    pub(super) fn make_ready(&mut self, id: TaskId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            if !std::mem::replace(&mut slot.ready, true) {
                self.ready.push_back(id);
            }
        }
    }

    /// A task was woken: it is ready, at once or after a delay.
    pub(super) fn woken(&mut self, id: TaskId) {
        let Some(faults) = self.slots.get(&id).map(|slot| slot.faults) else {
            return;
        };
        if !self.draws(faults.delays) {
            return self.make_ready(id);
        }
        let share = self.rng.as_mut().map_or(1.0, fastrand::Rng::f64);
        let at = self.now + faults.longest_delay.mul_f64(share);
        let key = (at, self.new_id());
        self.alarms.insert(key, Alarm::Ready(id));
    }

    pub(super) fn count_poll(&mut self) {
        self.polls += 1;
        assert!(self.polls < MANY, "tasks keep each other busy without end");
    }

    /// The next task to poll; its future is not there if it is the one being polled.
    pub(super) fn take_next(&mut self) -> Option<(TaskId, Option<Task>)> {
        let id = match &mut self.rng {
            Some(rng) if self.ready.len() > 1 => {
                let index = rng.usize(..self.ready.len());
                self.ready.swap_remove_back(index)?
            }
            _ => self.ready.pop_front()?,
        };
        self.count_poll();
        let task = self.slots.get_mut(&id).and_then(|slot| {
            slot.ready = false;
            // One that is being polled is ready again as soon as it comes back.
            slot.again |= slot.task.is_none();
            slot.task.take()
        });
        Some((id, task))
    }

    /// A task has been polled and waits. It comes back if there is no place for it any more.
    pub(super) fn put_back(&mut self, id: TaskId, task: Task) -> Option<Task> {
        let in_vain = self.draws(task.faults.polls_in_vain);
        let Some(slot) = self.slots.get_mut(&id) else {
            return Some(task);
        };
        slot.task = Some(task);
        // Not twice in a row, or one that is always polled in vain would never rest.
        slot.in_vain = in_vain && !slot.in_vain;
        if std::mem::take(&mut slot.again) || slot.in_vain {
            self.make_ready(id);
        }
        None
    }

    pub(super) fn remove(&mut self, id: TaskId) {
        self.slots.remove(&id);
    }

    /// A task is dropped before its end.
    pub(super) fn forget(&mut self, id: TaskId) {
        self.lost_tasks = true;
        self.remove(id);
    }

    /// Every task, to be dropped.
    pub(super) fn kill(&mut self) -> Vec<Task> {
        self.drops_spawned = true;
        self.lost_tasks |= !self.slots.is_empty();
        self.ready.clear();
        let slots = std::mem::take(&mut self.slots);
        slots.into_values().filter_map(|slot| slot.task).collect()
    }

    pub(super) fn is_seeded(&self) -> bool {
        self.rng.is_some()
    }

    /// When the earliest alarm goes off.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first_key_value().map(|(&(at, _), _)| at)
    }

    /// The earliest alarm, if it is not after `limit`. Time moves on to it.
    pub(super) fn take_alarm(&mut self, limit: Instant) -> Option<Alarm> {
        let entry = self.alarms.first_entry()?;
        let (at, _) = *entry.key();
        if at > limit {
            return None;
        }
        let alarm = entry.remove();
        self.move_on(at);
        Some(alarm)
    }

    /// Time passes, unless it is that late already.
    pub(super) fn move_on(&mut self, to: Instant) {
        if to > self.now {
            self.now = to;
            self.polls = 0;
        }
    }

    /// Sets or changes a timer. Returns its key, and the waker that was there, to be dropped.
    pub(super) fn set_timer(
        &mut self,
        at: Instant,
        key: Option<u64>,
        waker: Waker,
    ) -> (u64, Option<Alarm>) {
        let key = key.unwrap_or_else(|| self.new_id());
        let old = self.alarms.insert((at, key), Alarm::Wake(waker));
        (key, old)
    }

    pub(super) fn unset_timer(&mut self, at: Instant, key: u64) -> Option<Alarm> {
        self.alarms.remove(&(at, key))
    }
}
