//! The end of a run: once all goes well again, the pool must be as good as new.

use std::time::Duration;

use futures_lite::future::poll_once;
use watertight::{AcquireError, CloseReason, Pool};

use crate::coverage::saw;
use crate::fickle::Fickle;
use crate::plan::{Plan, ms};
use crate::support::{Acquired, LawPool, Scripted};
use crate::user::Stage;
use crate::watcher::Watcher;

/// No reset is spread over more.
const LONGEST_RESET: Duration = ms(300);

/// The users are gone, and nothing goes wrong any more.
pub(crate) struct Ending<'a, 's> {
    pub(crate) stage: &'a Stage<'s>,
    pub(crate) plan: &'a Plan,
    /// The pool's own runtime.
    pub(crate) own: &'a Fickle,
    pub(crate) watcher: Option<&'a Watcher>,
}

impl Ending<'_, '_> {
    pub(crate) fn play(&self, pool: Option<Pool<Scripted>>) {
        let stage = self.stage;
        stage.note(|| "all is well again".into());
        let starts_anew = self.plan.mischief.loses && stage.chance.borrow_mut().bool();
        self.all_goes_well(starts_anew);
        let pool = pool.map(|pool| LawPool::of(pool, stage.world));
        if let Some(pool) = &pool {
            stage.resume(pool);
        }
        self.give_time();
        match pool {
            Some(pool) => self.is_as_good_as_new(&pool, starts_anew),
            None => saw("ending: the pool has gone with its users"),
        }
        stage.forgotten.borrow_mut().clear();
        stage.leaked.borrow_mut().clear();
    }

    fn all_goes_well(&self, starts_anew: bool) {
        let world = self.stage.world;
        for script in [
            world.connects(),
            world.checks(),
            world.inspects(),
            world.recycles(),
            world.closes(),
        ] {
            script.forget();
        }
        if self.stage.runtime.lost_tasks() {
            saw("mischief: tasks lost");
        }
        if self.plan.mischief.late > 0 {
            saw("mischief: tasks late");
        }
        self.own.come_to_its_senses();
        if starts_anew {
            // Another runtime, so to speak: of the tasks with faults none is left.
            self.stage.runtime.kill();
        }
        self.stage.runtime.drop_spawned(false);
    }

    /// Longer than any limit, any delay, the idle time-out, and the patience of those who were
    /// forgotten.
    fn give_time(&self) {
        let settings = &self.stage.model.settings();
        let idle = settings.idle_timeout.unwrap_or(0) * 5 / 4;
        let late = ms(3 * self.plan.mischief.late + idle);
        // Those who came first were told another time.
        let times = [settings, &self.plan.settings].map(|settings| {
            settings.patience() + settings.longest_call() + settings.longest_delay()
        });
        let time = times[0].max(times[1]).max(LONGEST_RESET);
        self.stage.runtime.advance(time + late);
        self.stage.model.look();
    }

    fn is_as_good_as_new(&self, pool: &LawPool, starts_anew: bool) {
        let stage = self.stage;
        if pool.is_closed() {
            saw("ending: the pool was closed");
        } else {
            if !self.plan.mischief.loses {
                self.assert_recovered(pool);
            }
            self.assert_full_capacity(pool);
            self.assert_renewed(pool);
            if starts_anew {
                self.comes_back_to_life(pool);
            }
        }
        stage.forgotten.borrow_mut().clear();
        stage.model.compare(pool);
        if let Some(watcher) = self.watcher {
            let out = stage.leaked.borrow().len() as u64;
            watcher.compare(&pool.statistics(), out);
        }
        self.look_at_reasons(pool);
        let leaked = stage.leaked.borrow().len();
        let closing = pool.close_within(4 * self.plan.settings.longest_call());
        let left = stage.runtime.block_on(closing);
        assert_eq!(
            left, leaked,
            "places are taken, but not by those who leaked"
        );
    }

    /// Nothing was closed for a reason that there cannot have been.
    fn look_at_reasons(&self, pool: &LawPool) {
        let stage = self.stage;
        let closes = pool.statistics().closes;
        let settings = stage.model.settings();
        let was_reset = stage.world.ledger().generation().resets > 0;
        for (reason, exists) in [
            (
                CloseReason::Lifetime,
                stage.model.shortest_lifetime().is_some(),
            ),
            (CloseReason::Uses, settings.max_uses.is_some()),
            (
                CloseReason::Reset,
                was_reset || settings.reset_on_failed_check,
            ),
        ] {
            assert!(exists || closes.get(reason) == 0, "closed: {reason}");
        }
        for reason in CloseReason::ALL {
            if closes.get(*reason) > 0 {
                saw(format!("closed: {reason}"));
            }
        }
    }

    /// Without anybody asking.
    fn assert_recovered(&self, pool: &LawPool) {
        saw("ending: the pool has recovered");
        let settings = &self.stage.model.settings();
        let status = pool.status();
        let free = status.max_size.saturating_sub(status.in_use);
        assert!(
            status.idle >= settings.min_idle.min(free),
            "not refilled: {status:?}"
        );
        assert!(
            settings.idle_timeout.is_none() || status.idle <= settings.min_idle,
            "idle for too long: {status:?}"
        );
    }

    fn assert_full_capacity(&self, pool: &LawPool) {
        let stage = self.stage;
        let status = pool.status();
        let lost = stage.leaked.borrow().len() + stage.forgotten.borrow().len();
        assert!(status.in_use <= lost, "lent, but nobody has it: {status:?}");
        let most = status.max_size.saturating_sub(status.in_use);
        let held: Vec<_> = (0..most).map(|_| self.acquire(pool)).collect();
        for (place, conn) in held.iter().enumerate() {
            assert!(conn.is_ok(), "only {place} of {most}: {conn:?}");
        }
    }

    fn acquire(&self, pool: &LawPool) -> Acquired {
        let runtime = self.stage.runtime;
        let patience = Duration::from_secs(30);
        let acquire = || {
            self.stage
                .model
                .watch(patience, pool.acquire_timeout(patience))
        };
        let acquired = runtime.block_on(acquire());
        match acquired {
            // Where nobody may wait, nobody may for the place of one that is being closed.
            Err(AcquireError::QueueFull) => {
                runtime.advance(Duration::ZERO);
                runtime.block_on(acquire())
            }
            acquired => acquired,
        }
    }

    /// Nothing of before a reset is left, but with those who keep it for ever.
    fn assert_renewed(&self, pool: &LawPool) {
        let stage = self.stage;
        let kept = stage.leaked.borrow().len() + stage.forgotten.borrow().len();
        if kept == 0 && !self.plan.mischief.loses {
            let renewed = stage.runtime.block_on(poll_once(pool.wait_reset()));
            assert!(renewed.is_some(), "old ones are left");
        }
    }

    /// There may have been nobody to keep the pool warm, but whoever wants something of it brings
    /// that about, and then it stays so without being asked.
    fn comes_back_to_life(&self, pool: &LawPool) {
        let stage = self.stage;
        let status = pool.status();
        if status.in_use < status.max_size && stage.chance.borrow_mut().bool() {
            saw("ending: brought back to life by an acquire");
            pool.retain(|_, _| false);
            let acquired = self.acquire(pool);
            assert!(acquired.is_ok(), "all is well, but: {acquired:?}");
        } else {
            saw("ending: brought back to life by a fill");
            let filled = stage.runtime.block_on(pool.fill());
            assert!(filled.is_ok(), "all is well, but: {filled:?}");
            pool.retain(|_, _| false);
        }
        self.give_time();
        self.assert_recovered(pool);
    }
}
