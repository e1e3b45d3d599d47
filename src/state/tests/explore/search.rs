//! Breadth first over every sequence of operations, and from each state on to the end.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::super::super::*;
use super::laws::Before;
use super::ops::Op;
use super::settle::Way;
use super::world::{May, Rules, World};

/// What an exploration has seen.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) states: usize,
    pub(super) transitions: usize,
    pub(super) depth: usize,
}

/// How a state was reached first: from which, and by what.
struct Step {
    from: usize,
    op: Option<Op>,
}

struct Search {
    start: World,
    steps: Vec<Step>,
    seen: HashSet<Box<[u8]>>,
    /// From these the pool settles.
    settled: [HashSet<Box<[u8]>>; 3],
    report: Report,
}

/// Visits every state that a pool can get into.
pub(super) fn explore(config: Config, rules: Rules) -> Report {
    let start = World::new(config, rules);
    let mut search = Search {
        start: start.clone(),
        steps: Vec::new(),
        seen: HashSet::new(),
        settled: Default::default(),
        report: Report::default(),
    };
    let mut ahead = VecDeque::new();
    search.visit(start, 0, Step { from: 0, op: None }, &mut ahead);
    while let Some((world, number, depth)) = ahead.pop_front() {
        let before = Before::of(&world);
        for op in world.ops() {
            let mut next = world.clone();
            search.or_tell(number, &[op], || {
                next.apply(op);
                next.assert_laws(&before, op);
            });
            search.report.transitions += 1;
            let step = Step {
                from: number,
                op: Some(op),
            };
            search.visit(next, depth + 1, step, &mut ahead);
        }
    }
    search.report
}

impl Search {
    fn visit(
        &mut self,
        world: World,
        depth: usize,
        step: Step,
        ahead: &mut VecDeque<(World, usize, usize)>,
    ) {
        if !self.seen.insert(world.fingerprint(true)) {
            return;
        }
        let number = self.steps.len();
        self.steps.push(step);
        self.report.states += 1;
        self.report.depth = depth;
        let print = world.fingerprint(false);
        let ways = [Way::QuickWaiters, Way::QuickTasks, Way::DeadRuntime];
        let all = if world.may(May::Lose) { 3 } else { 2 };
        for way in ways.into_iter().take(all) {
            if !self.settled[way as usize].contains(&print) {
                self.settle(&world, number, way);
            }
        }
        ahead.push_back((world, number, depth));
    }

    /// Whatever has happened: if things go well from now on, all is well in the end.
    fn settle(&mut self, from: &World, number: usize, way: Way) {
        let mut on_the_way = Vec::new();
        let mut ops = Vec::new();
        let mut world = from.clone();
        loop {
            let print = world.fingerprint(false);
            if self.settled[way as usize].contains(&print) {
                break;
            }
            self.or_tell(number, &ops, || {
                assert!(!on_the_way.contains(&print), "goes round in circles");
            });
            on_the_way.push(print);
            let Some(op) = world.next_to_settle(way) else {
                self.or_tell(number, &ops, || world.assert_settled());
                break;
            };
            ops.push(op);
            let before = Before::of(&world);
            self.or_tell(number, &ops, || {
                world.apply(op);
                world.assert_laws(&before, op);
            });
        }
        self.settled[way as usize].extend(on_the_way);
    }

    /// Tells, if this panics, all that led to it.
    fn or_tell(&self, number: usize, then: &[Op], act: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
            self.tell(number, then);
            resume_unwind(panic);
        }
    }

    fn tell(&self, number: usize, then: &[Op]) {
        let mut ops = then.to_vec();
        ops.reverse();
        let mut at = number;
        while let Step { from, op: Some(op) } = self.steps[at] {
            ops.push(op);
            at = from;
        }
        let mut world = self.start.clone();
        eprintln!("start: {}", world.summary());
        let last = ops.len().saturating_sub(1);
        for (index, op) in ops.into_iter().rev().enumerate() {
            eprintln!("{:3}. {op:?}", index + 1);
            if index == last {
                // It may be this one that panics.
                let _ = catch_unwind(AssertUnwindSafe(|| world.apply(op)));
            } else {
                world.apply(op);
            }
            eprintln!("     {}", world.summary());
        }
    }
}
