//! A long random walk over the transitions.

use std::sync::Arc;
use std::time::Duration;

use super::twins::Taken;
use super::*;
use crate::attempts::AttemptId;
use crate::config::{PausePolicy, QueueOrder};
use crate::overload::ControlledDelay;

/// One random operation after another, with all that follows from it done at random times, and
/// the invariants asserted in every state.
#[test]
fn a_random_walk_keeps_the_invariants_and_loses_nothing() {
    for seed in 0..400 {
        Walk::new(seed, false).run(300);
    }
}

/// The same with all settings and operations that the short ways have to heed. Each of them is
/// compared with the long way wherever it is taken, and each is taken often.
#[test]
fn the_short_ways_come_to_what_the_long_ones_come_to() {
    let mut taken = Taken::default();
    for seed in 0..2000 {
        let mut walk = Walk::new(seed, true);
        for _ in 0..200 {
            walk.now += walk.rng.u64(0..40);
            walk.step();
            walk.assert_ledger();
            if walk.rng.u8(0..20) == 0 {
                walk.calm_down();
            }
        }
        taken.queued_up += walk.taken.queued_up;
        taken.handed_over += walk.taken.handed_over;
        taken.quit += walk.taken.quit;
    }
    let Taken {
        queued_up,
        handed_over,
        quit,
    } = taken;
    assert!(queued_up.min(handed_over).min(quit) > 500, "{taken:?}");
}

struct Walk {
    rng: fastrand::Rng,
    pool: Pool,
    now: u64,
    made: u32,
    gone: u32,
    connecting: Vec<AttemptId>,
    checking: Vec<(Conn, AttemptId)>,
    recycling: Vec<Conn>,
    closing: Vec<(Conn, CloseReason)>,
    held: Vec<Conn>,
    waiting: Vec<usize>,
    /// All settings, and all that may happen to a pool.
    wild: bool,
    taken: Taken,
}

impl Walk {
    fn new(seed: u64, wild: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let max_size = rng.usize(1..4);
        let mut pool = pool(|config| {
            config.max_size = max_size;
            config.min_idle = rng.usize(0..=max_size);
            config.max_idle = rng.bool().then(|| config.min_idle + rng.usize(0..2));
            config.connect_concurrency = rng.bool().then_some(1);
            config.max_uses = rng.bool().then_some(3);
            config.idle_timeout = rng.bool().then_some(Duration::from_millis(300));
            config.max_lifetime = rng.bool().then_some(Duration::from_millis(500));
            config.check_policy = match rng.u8(0..3) {
                0 => CheckPolicy::Always,
                1 => CheckPolicy::IdleFor(Duration::from_millis(200)),
                _ => CheckPolicy::Never,
            };
            if rng.bool() {
                config.connect_policy = ConnectPolicy::FailFast;
            }
            if rng.bool() {
                config.idle_order = IdleOrder::Fifo;
            }
            if wild {
                Walk::be_wild(config, &mut rng);
            }
        });
        if wild && rng.u8(0..8) == 0 {
            pool.become_tenant(1);
            pool.config.max_waiters = rng.bool().then_some(1);
            pool.config.max_size = max_size;
        }
        Walk {
            rng,
            pool,
            now: 0,
            made: 0,
            gone: 0,
            connecting: Vec::new(),
            checking: Vec::new(),
            recycling: Vec::new(),
            closing: Vec::new(),
            held: Vec::new(),
            waiting: Vec::new(),
            wild,
            taken: Taken::default(),
        }
    }

    /// Nobody is in the way any more.
    fn calm_down(&mut self) {
        let mut fx = Fx::new();
        self.pool.resume(at(self.now), &mut fx);
        while self.pool.fillers > 0 {
            self.pool.end_fill();
        }
        self.take(fx);
    }

    /// Settings that some of the short ways must heed, each seldom enough for those to be taken.
    fn be_wild(config: &mut Config, rng: &mut fastrand::Rng) {
        config.min_idle = config.min_idle.min(rng.usize(0..2));
        if rng.u8(0..3) > 0 {
            config.check_policy = CheckPolicy::Never;
            config.max_uses = (rng.u8(0..4) == 0).then_some(3);
        }
        config.max_waiters = (rng.u8(0..4) == 0).then(|| rng.usize(0..3));
        config.keepalive = rng.bool().then_some(Duration::from_millis(100));
        if rng.u8(0..6) == 0 {
            let ms = Duration::from_millis;
            config.controlled_delay = Some(ControlledDelay {
                target: ms(5),
                interval: ms(50),
            });
            if rng.bool() {
                config.queue_order = QueueOrder::AdaptiveLifo;
            }
        }
        if rng.u8(0..4) == 0 {
            config.connect_policy = ConnectPolicy::CircuitBreaker(Backoff::new(
                Duration::from_millis(10),
                Duration::from_millis(200),
            ));
        }
        if rng.u8(0..4) == 0 {
            config.pause_policy = PausePolicy::FailFast;
        }
    }

    fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.now += self.rng.u64(0..40);
            self.step();
            self.assert_ledger();
        }
        self.settle();
        self.finish();
    }

    /// From wherever it got to, the pool serves everybody once things go well again.
    fn settle(&mut self) {
        let mut fx = Fx::new();
        self.pool.resize(2, at(self.now), &mut fx);
        self.pool.resume(at(self.now), &mut fx);
        self.take(fx);
        for _ in 0..200 {
            self.now += 50;
            let now = at(self.now);
            let mut fx = Fx::new();
            for id in std::mem::take(&mut self.connecting) {
                self.made += 1;
                let from = Stage::Connecting(id);
                let rejected = connected(&mut self.pool, self.made, from, now, &mut fx);
                self.reject(rejected);
            }
            for (live, id) in std::mem::take(&mut self.checking) {
                let from = Stage::Checking(Some(id));
                let rejected = self.pool.passed(live, from, true, now, &mut fx);
                self.reject(rejected);
            }
            for live in std::mem::take(&mut self.recycling) {
                let rejected = self.pool.passed(live, Stage::Recycling, true, now, &mut fx);
                self.reject(rejected);
            }
            for (live, reason) in std::mem::take(&mut self.closing) {
                self.gone += 1;
                let epoch = live.epoch;
                self.pool
                    .given_back(Stage::Closing, epoch, reason, false, now, &mut fx);
            }
            for live in std::mem::take(&mut self.held) {
                match self.pool.returned(live, Verdict::Clean, now, &mut fx) {
                    Returned::Close(live, reason) => self.closing.push((live, reason)),
                    Returned::Recycle(_) => panic!("it was clean"),
                    Returned::Kept => {}
                }
            }
            let _ = self.pool.keep(now, &mut fx);
            self.take(fx);
            for key in std::mem::take(&mut self.waiting) {
                self.poll(key);
            }
            self.assert_ledger();
            if self.waiting.is_empty() && self.held.is_empty() {
                return;
            }
        }
        panic!("{} still wait: {:?}", self.waiting.len(), self.pool);
    }

    fn poll(&mut self, key: usize) {
        match self.pool.poll_waiter(key, None) {
            Turn::Over(Outcome::Connection(live)) => self.held.push(live),
            Turn::Over(_) => {}
            turn => {
                self.waiting.push(key);
                match turn {
                    Turn::Drive => {
                        let attempt = self.pool.drive(key, at(self.now));
                        self.connecting.extend(attempt);
                    }
                    Turn::Advance => {
                        let mut fx = Fx::new();
                        let _ = self.pool.advance(at(self.now), &mut fx);
                        self.take(fx);
                    }
                    _ => {}
                }
            }
        }
    }

    fn take(&mut self, fx: Fx) {
        self.connecting.extend(fx.connect);
        self.checking.extend(fx.check);
        self.closing.extend(fx.close);
    }

    fn reject(&mut self, rejected: Option<(Box<Live<u32>>, CloseReason)>) {
        self.closing.extend(rejected);
    }

    fn pick<T>(rng: &mut fastrand::Rng, from: &mut Vec<T>) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(rng.usize(0..from.len())))
    }

    fn step(&mut self) {
        let now = at(self.now);
        let rng = &mut self.rng;
        let mut fx = Fx::new();
        const TRAFFIC: [u8; 11] = [0, 0, 0, 4, 4, 7, 9, 10, 11, 12, 12];
        // A pool that is meddled with all the time never gets to where a short way is open.
        let kind = match self.wild {
            true if rng.u8(0..8) > 0 => *rng.choice(&TRAFFIC).unwrap_or(&0),
            true => rng.u8(0..21),
            false => rng.u8(0..18),
        };
        match kind {
            0..=2 => {
                let deadline = match rng.bool() {
                    true => now.after(Duration::from_millis(rng.u64(1..400))),
                    false => Moment::NEVER,
                };
                match self.taken.join(&mut self.pool, now, deadline, &mut fx) {
                    Join::Served(live) => self.held.push(live),
                    Join::Queued { key, .. } => self.waiting.push(key),
                    Join::Closed | Join::Rejected(_) => {}
                }
            }
            3 => self.held.extend(self.pool.lend()),
            4..=5 => {
                if let Some(live) = Self::pick(rng, &mut self.held) {
                    let live = match self.pool.put_back(live) {
                        Ok(()) => return,
                        Err(live) => live,
                    };
                    let ill = if self.wild { 12 } else { 4 };
                    let verdict = match rng.u8(0..ill) {
                        0 => Verdict::Dirty,
                        1 => Verdict::Condemned(CloseReason::Broken),
                        _ => Verdict::Clean,
                    };
                    let pool = &mut self.pool;
                    match self.taken.returned(pool, live, verdict, now, &mut fx) {
                        Returned::Kept => {}
                        Returned::Recycle(live) => self.recycling.push(live),
                        Returned::Close(live, reason) => self.closing.push((live, reason)),
                    }
                }
            }
            6 => {
                if let Some(detached) = Self::pick(rng, &mut self.held) {
                    self.gone += 1;
                    self.pool.detached(detached.epoch, now, &mut fx);
                }
            }
            7 => {
                if let Some(attempt) = Self::pick(rng, &mut self.connecting) {
                    self.made += 1;
                    let from = Stage::Connecting(attempt);
                    let rejected = connected(&mut self.pool, self.made, from, now, &mut fx);
                    self.reject(rejected);
                }
            }
            8 => {
                if let Some(attempt) = Self::pick(rng, &mut self.connecting) {
                    let permanent = rng.u8(0..4) == 0;
                    let error = ConnectError::Failed(Arc::new("refused"));
                    let from = Stage::Connecting(attempt);
                    self.pool
                        .connect_failed(from, error, permanent, now, &mut fx);
                }
            }
            9 => {
                let (stage, epoch, reason) = match self.lose() {
                    Some(lost) => lost,
                    None => return,
                };
                self.gone += u32::from(!matches!(stage, Stage::Connecting(_)));
                let lost = stage != Stage::Closing;
                self.pool
                    .given_back(stage, epoch, reason, lost, now, &mut fx);
            }
            10 => {
                let taken = match rng.bool() {
                    true => Self::pick(rng, &mut self.checking)
                        .map(|(live, id)| (live, Stage::Checking(Some(id)))),
                    false => {
                        Self::pick(rng, &mut self.recycling).map(|live| (live, Stage::Recycling))
                    }
                };
                if let Some((live, stage)) = taken {
                    if rng.bool() {
                        let rejected = self.pool.passed(live, stage, true, now, &mut fx);
                        self.reject(rejected);
                    } else {
                        self.pool.condemned(stage, live.epoch, now, &mut fx);
                        self.closing.push((live, CloseReason::CheckFailed));
                    }
                }
            }
            11 => {
                if let Some(key) = Self::pick(rng, &mut self.waiting) {
                    self.taken.cancel(&mut self.pool, key, now, &mut fx);
                }
            }
            12..=13 => {
                if let Some(key) = Self::pick(rng, &mut self.waiting) {
                    self.poll(key);
                }
            }
            14 => {
                let _ = self.pool.keep(now, &mut fx);
            }
            15 => {
                let size = rng.usize(0..4);
                self.pool.resize(size, now, &mut fx);
            }
            16 => match rng.bool() {
                true => _ = self.pool.pause(at(self.now), &mut fx),
                false => _ = self.pool.resume(now, &mut fx),
            },
            18 => self.pool.keeper_gone(&mut fx),
            19 if self.pool.fillers > 0 => self.pool.end_fill(),
            19 if rng.u8(0..4) == 0 => _ = self.pool.begin_fill(now, &mut fx),
            20 => _ = self.pool.advance(now, &mut fx),
            19 => {}
            _ => {
                let over = Duration::from_millis(rng.u64(0..3) * 100);
                self.pool.reset(over, now, &mut fx);
            }
        }
        self.take(fx);
    }

    /// Drops a task with all that it holds, or ends a close.
    fn lose(&mut self) -> Option<(Stage, u32, CloseReason)> {
        let rng = &mut self.rng;
        match rng.u8(0..4) {
            0 => Self::pick(rng, &mut self.connecting)
                .map(|id| (Stage::Connecting(id), 0, CloseReason::Shutdown)),
            1 => Self::pick(rng, &mut self.checking).map(|(live, id)| {
                let stage = Stage::Checking(Some(id));
                (stage, live.epoch, CloseReason::CheckFailed)
            }),
            2 => Self::pick(rng, &mut self.recycling)
                .map(|live| (Stage::Recycling, live.epoch, CloseReason::RecycleFailed)),
            _ => Self::pick(rng, &mut self.closing)
                .map(|(live, reason)| (Stage::Closing, live.epoch, reason)),
        }
    }

    fn assert_ledger(&self) {
        self.pool.check();
        let status = self.pool.status(at(self.now));
        assert_eq!(status.connecting, self.connecting.len());
        assert_eq!(status.checking, self.checking.len());
        assert_eq!(status.recycling, self.recycling.len());
        assert_eq!(status.closing, self.closing.len());
        let live = status.size - status.connecting;
        assert_eq!(
            self.made - self.gone,
            u32::try_from(live).unwrap_or(u32::MAX)
        );
        assert!(
            status.in_use >= self.held.len(),
            "granted ones count as lent"
        );
    }

    /// Closes the pool, gives everything back, and finds nothing left.
    fn finish(mut self) {
        let mut fx = Fx::new();
        self.pool.close(&mut fx);
        self.take(fx);
        let now = at(self.now);
        while let Some(key) = self.waiting.pop() {
            match self.pool.poll_waiter(key, None) {
                Turn::Over(Outcome::Connection(live)) => self.held.push(live),
                Turn::Over(_) => {}
                _ => panic!("a waiter of a closed pool was not told"),
            }
        }
        let mut fx = Fx::new();
        for id in self.connecting.drain(..) {
            let (from, refused) = (Stage::Connecting(id), ConnectError::TimedOut);
            self.pool.connect_failed(from, refused, false, now, &mut fx);
        }
        for live in self.held.drain(..) {
            match self.pool.returned(live, Verdict::Clean, now, &mut fx) {
                Returned::Close(live, reason) => self.closing.push((live, reason)),
                other => panic!("a closed pool keeps nothing: {other:?}"),
            }
        }
        let checking = self.checking.drain(..).map(|(live, _)| live);
        let checking = checking.map(|live| (Stage::Checking(None), live));
        let recycling = self.recycling.drain(..);
        let recycling = recycling.map(|live| (Stage::Recycling, live));
        let closing = self.closing.drain(..).map(|(live, _)| live);
        let closing = closing.map(|live| (Stage::Closing, live));
        for (stage, live) in checking.chain(recycling).chain(closing) {
            let (epoch, reason) = (live.epoch, CloseReason::Shutdown);
            self.pool
                .given_back(stage, epoch, reason, true, now, &mut fx);
        }
        assert_eq!(self.pool.size(), 0);
        assert!(self.pool.is_renewed(), "old ones are left");
    }
}
