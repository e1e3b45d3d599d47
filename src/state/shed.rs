//! Serving the queue of a pool that may be overloaded; see [`overload`](crate::overload).

use super::{Effects, Outcome, State};
use crate::clock::Moment;
use crate::config::QueueOrder;
use crate::error::Phase;
use crate::status::Rejection;

impl<C, E> State<C, E> {
    /// Who is served with what has come free, by the rule for overload.
    pub(super) fn pop_by_the_rule(
        &mut self,
        now: Moment,
        phase: Phase,
        fx: &mut Effects<C, E>,
    ) -> Option<usize> {
        let sheds = self.overload.as_mut()?.comes_free(now);
        self.turn_away(sheds, phase, now, fx);
        // What counts is the wait of the first, even if another is served: the short waits of the
        // last to come say nothing about the load.
        let first = self.waiters.first().map(|first| first.since);
        let overload = self.overload.as_mut()?;
        let lifo = overload.is_slow() && self.config.queue_order == QueueOrder::AdaptiveLifo;
        let key = match lifo {
            true => self.waiters.pop_last(now),
            false => self.waiters.pop(),
        };
        match first {
            Some(since) => overload.served(since, self.next_turn, now),
            None => overload.is_idle(),
        }
        key
    }

    /// Tells those at the head of the queue who are late; if it `sheds`, also those who have waited for
    /// too long.
    fn turn_away(&mut self, sheds: bool, phase: Phase, now: Moment, fx: &mut Effects<C, E>) {
        let patience = self.overload.as_ref().map(|overload| overload.patience());
        let lifo = self.config.queue_order == QueueOrder::AdaptiveLifo;
        while let Some(first) = self.waiters.first() {
            let (since, late) = (first.since, first.deadline <= now);
            let counts = self.overload.as_ref().map(|it| it.waited(since, now));
            let shed = sheds && counts > patience;
            if !late && !shed {
                return;
            }
            let Some(key) = self.waiters.pop() else {
                return;
            };
            if late {
                self.tell_late(key, phase, since, now, fx);
                continue;
            }
            if let Some(overload) = self.overload.as_mut().filter(|_| lifo) {
                overload.turned_away(now);
            }
            self.statistics.rejections.count(Rejection::Shed);
            let waited = now.elapsed_since(since);
            let waker = self.waiters.resolve(key, Outcome::Shed { waited });
            fx.wake(waker);
        }
    }

    /// The timer of the rule: in case nothing comes free.
    pub(super) fn shed_by_the_clock(&mut self, now: Moment, fx: &mut Effects<C, E>) {
        if self.paused || self.closed {
            return;
        }
        let (Some(overload), Some(first)) = (&mut self.overload, self.waiters.first()) else {
            return;
        };
        if overload.ticks(first.since, now) {
            self.turn_away(true, Phase::Wait, now, fx);
        }
    }

    /// When that timer goes off.
    pub(super) fn shed_due(&self) -> Moment {
        match &self.overload {
            Some(overload) if !self.waiters.is_empty() && !self.paused => overload.tick(),
            _ => Moment::NEVER,
        }
    }
}
