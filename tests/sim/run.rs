//! Plays a plan on the virtual clock, and asks the model at every step.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use watertight::{Timer, VirtualRuntime};

use crate::conditions::Conditions;
use crate::coverage::saw;
use crate::ending::Ending;
use crate::fickle::Fickle;
use crate::model::Model;
use crate::plan::{Mischief, Moods, Plan, ms};
use crate::support::World;
use crate::user::Stage;
use crate::watcher::Watcher;

/// No plan takes that long.
const LONGEST: Duration = Duration::from_secs(1_000);

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) steps: usize,
    pub(crate) trace: Vec<String>,
}

/// Runs a plan to its end.
///
/// # Panics
///
/// Panics when something is not as it must be. What happened until then is in `report`.
pub(crate) fn run(plan: &Plan, report: &RefCell<Report>, traced: bool) {
    let runtime = VirtualRuntime::seeded(plan.chance);
    let own = Fickle::new(&runtime, plan.mischief.faults);
    World::by_hand_on(runtime.clone(), |world, _| {
        let mut chance = fastrand::Rng::with_seed(plan.chance);
        set_moods(world, plan, &mut chance);
        let watcher = plan.settings.observer.map(Watcher::new);
        let configure = |builder| {
            let builder = plan.settings.apply(builder).runtime(own.clone());
            match &watcher {
                Some(watcher) => builder.observer(watcher.clone()),
                None => builder,
            }
        };
        let pool = match plan.lone {
            true => world.lone_pool(configure),
            false => world.pool(configure),
        };
        let weak = pool.downgrade();
        let model = Model::new(runtime.clone(), weak.clone(), world, plan);
        let stage = Stage {
            world,
            runtime: &runtime,
            model: &model,
            chance: RefCell::new(chance.fork()),
            leaked: RefCell::default(),
            forgotten: RefCell::default(),
            stalls: plan.mischief.stalls > 0,
            trace: traced.then_some(report),
        };
        let users = plan.users.iter().enumerate().map(|(name, ops)| User {
            life: Some(Box::pin(stage.live(name, pool.clone(), ops))),
            alarm: Arc::new(Alarm(AtomicBool::new(true))),
        });
        let mut play = Play {
            stage: &stage,
            users: users.collect(),
            chance,
            mischief: &plan.mischief,
            conditions: Conditions::new(plan, runtime.now()),
            report,
        };
        drop(pool);
        play.play_out();
        drop(play);
        let ending = Ending {
            stage: &stage,
            plan,
            own: &own,
            watcher: watcher.as_ref(),
        };
        ending.play(weak.upgrade());
        // Tasks that end now may be late.
        runtime.advance(ms(3 * plan.mischief.late));
    });
}

fn set_moods(world: &World, plan: &Plan, chance: &mut fastrand::Rng) {
    let Moods {
        connect,
        check,
        inspect,
        recycle,
        close,
    } = plan.moods;
    for (script, mood) in [
        (world.connects(), connect),
        (world.checks(), check),
        (world.inspects(), inspect),
        (world.recycles(), recycle),
        (world.closes(), close),
    ] {
        script.next((0..40).map(|_| mood.step(&plan.settings, chance)));
    }
}

struct Play<'p, 'a> {
    stage: &'p Stage<'a>,
    users: Vec<User<'p>>,
    chance: fastrand::Rng,
    mischief: &'p Mischief,
    conditions: Conditions,
    report: &'p RefCell<Report>,
}

struct User<'a> {
    /// `None` once it is over.
    life: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    /// That of the last poll: nobody may wake an older one and think that he has done his duty.
    alarm: Arc<Alarm>,
}

struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Play<'_, '_> {
    fn play_out(&mut self) {
        let runtime = self.stage.runtime;
        loop {
            while self.step() {
                self.inspect();
            }
            self.stage.model.assert_nobody_is_late();
            self.conditions.assert_when_quiet(self.stage);
            if self.users.iter().all(|user| user.life.is_none()) {
                return;
            }
            assert!(runtime.skip(), "somebody waits for what will never come");
            assert!(runtime.elapsed() < LONGEST, "this goes on for ever");
            self.inspect();
        }
    }

    fn inspect(&self) {
        self.report.borrow_mut().steps += 1;
        self.stage.model.look();
        self.conditions.assert_always(self.stage);
    }

    /// Lets a user or one of the pool's tasks go on. False if there is none that could.
    fn step(&mut self) -> bool {
        if self.happens(self.mischief.stalls) {
            let time = ms(self.chance.u64(1..30));
            self.stage.note(|| format!("nobody runs for {time:?}"));
            saw("mischief: a stall");
            self.stage.runtime.stall(time);
        }
        let ready: Vec<usize> = (0..self.users.len())
            .filter(|&user| self.users[user].is_ready())
            .collect();
        let pools_turn = ready.is_empty() || self.chance.u8(..3) == 0;
        if pools_turn && self.stage.runtime.step() {
            return true;
        }
        match self.chance.choice(ready) {
            Some(user) => self.poll(user),
            None => return false,
        }
        true
    }

    fn poll(&mut self, user: usize) {
        if self.happens(self.mischief.aborts) {
            self.stage.note(|| format!("user {user}: is aborted"));
            saw("mischief: a user aborted");
            self.users[user].life = None;
            return;
        }
        let in_vain = self.happens(self.mischief.vain_polls);
        if in_vain {
            saw("mischief: a poll in vain");
        }
        let user = &mut self.users[user];
        user.alarm = Arc::new(Alarm(AtomicBool::new(in_vain)));
        let waker = Waker::from(Arc::clone(&user.alarm));
        if let Some(life) = &mut user.life {
            let polled = life.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                user.life = None;
            }
        }
    }

    fn happens(&mut self, per_mille: usize) -> bool {
        per_mille > 0 && self.chance.usize(..1000) < per_mille
    }
}

impl User<'_> {
    fn is_ready(&self) -> bool {
        self.life.is_some() && self.alarm.0.load(Ordering::SeqCst)
    }
}
