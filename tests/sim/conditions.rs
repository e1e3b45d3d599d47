//! What must hold of a pool's numbers: always, and when nothing can run without time passing.

use std::cell::Cell;
use std::time::{Duration, Instant};

use watertight::{CheckPolicy, Status, Timer};

use crate::plan::{Plan, Settings, ms};
use crate::user::Stage;

pub(crate) struct Conditions {
    settings: Settings,
    /// How much later than at once things may be seen to.
    slack: Duration,
    loses: bool,
    /// Since when it has been wanting, for each of the conditions that may be late.
    starving: Cell<Option<Instant>>,
    attempts: Cell<(usize, u64)>,
    /// When an attempt to connect last began or failed.
    last_attempt: Cell<Option<Instant>>,
    /// The most that there may be, if nothing else is begun.
    bound: Cell<usize>,
}

impl Conditions {
    pub(crate) fn new(plan: &Plan) -> Self {
        Conditions {
            settings: plan.settings.clone(),
            slack: 4 * ms(plan.mischief.late),
            loses: plan.mischief.loses,
            starving: Cell::new(None),
            attempts: Cell::new((0, 0)),
            last_attempt: Cell::new(None),
            bound: Cell::new(plan.settings.max_size),
        }
    }

    /// The books balance (laws L1, L4), and what is over the limit only falls.
    pub(crate) fn assert_always(&self, stage: &Stage<'_>) {
        let ledger = stage.world.ledger();
        ledger.assert_clean();
        let Some(pool) = stage.model.pool() else {
            return;
        };
        let status = pool.status();
        let count = ledger.count();
        let in_pool = status.idle + status.in_use + status.checking;
        let placed = in_pool + status.recycling + status.closing;
        assert_eq!(status.size, placed + status.connecting, "{status:?}");
        assert_eq!(count.live, placed, "{count:?}, {status:?}");
        assert_eq!(
            count.made,
            count.live + count.closed + count.detached,
            "{count:?}"
        );
        assert!(
            count.connecting <= status.connecting || self.loses,
            "{count:?}, {status:?}"
        );
        assert!(count.held <= status.in_use, "{count:?}, {status:?}");
        let most = self.bound.get().max(stage.model.take_most_places());
        self.bound.set(status.size.max(status.max_size));
        assert!(status.size <= most, "grew beyond its limit: {status:?}");
        if let Some(most) = self.settings.max_idle {
            assert!(status.idle <= most, "too many idle: {status:?}");
        }
        if status.closed {
            assert_eq!((status.idle, status.waiting), (0, 0), "{status:?}");
        }
        let failed = pool.statistics().failed_connects;
        let attempts = (stage.world.connects().calls(), failed);
        if self.attempts.replace(attempts) != attempts {
            self.last_attempt.set(Some(stage.runtime.now()));
        }
    }

    /// Nobody waits while there is a connection, or a place that nobody works at.
    pub(crate) fn assert_when_quiet(&self, stage: &Stage<'_>) {
        let Some(pool) = stage.model.pool() else {
            return;
        };
        let status = pool.status();
        let now = stage.runtime.now();
        let Some((what, patience)) = self.wanting(&status) else {
            self.starving.set(None);
            return;
        };
        let since = self.starving.get().unwrap_or(now);
        self.starving.set(Some(since));
        let failed = pool.statistics().failed_connects > 0;
        let last_attempt = self.last_attempt.get().filter(|_| failed);
        let due = last_attempt.map_or(since, |at| (at + patience).max(since));
        let waited = now - since;
        assert!(
            now <= due + self.slack,
            "{what}: {status:?}, for {waited:?}"
        );
    }

    /// What is not as it should be, and for how long the connect schedule may be the reason.
    fn wanting(&self, status: &Status) -> Option<(&'static str, Duration)> {
        if status.closed {
            return None;
        }
        let settings = &self.settings;
        let under_way = status.connecting + status.checking;
        let most = settings.connect_concurrency.unwrap_or(usize::MAX);
        let could_connect = status.size < status.max_size && status.connecting < most;
        let enough_checks = status.checking >= status.waiting;
        let checks = settings.check_policy != CheckPolicy::Never;
        if status.waiting > 0 && status.idle > 0 && !(checks && enough_checks) {
            return Some(("somebody waits beside an idle connection", Duration::ZERO));
        }
        if status.waiting > under_way && could_connect {
            let patience = match settings.fail_fast {
                // Each attempt is for somebody, who learns how it ended.
                true => Duration::ZERO,
                false => settings.longest_delay(),
            };
            return Some(("somebody waits beside a free place", patience));
        }
        let coming = status.idle + status.recycling + under_way.saturating_sub(status.waiting);
        let wanted = settings.min_idle.min(status.max_size);
        if coming < wanted && could_connect && !self.loses {
            let what = "too few are idle, and nobody sees to it";
            return Some((what, settings.longest_delay()));
        }
        None
    }
}
