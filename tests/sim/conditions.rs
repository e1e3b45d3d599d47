//! What must hold of a pool's numbers: always, and when nothing can run without time passing.

use std::cell::Cell;
use std::time::{Duration, Instant};

use watertight::{CheckPolicy, Timer};

use crate::model::Sight;
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
        let Some(sight) = stage.model.look() else {
            return;
        };
        let Some((what, excuse)) = self.wanting(&sight, stage) else {
            self.starving.set(None);
            return;
        };
        let since = self.starving.get().unwrap_or(sight.now);
        self.starving.set(Some(since));
        let due = match excuse {
            Excuse::None => since,
            Excuse::Schedule => self.next_attempt(&sight, stage).max(since),
        };
        assert!(
            sight.now <= due + self.slack,
            "{what}: {:?}, for {:?}",
            sight.status,
            sight.now - since
        );
    }

    /// When the schedule demands the next attempt to connect, at the latest: its longest delay after
    /// the last attempt, or its first, if somebody new has come to wait since.
    fn next_attempt(&self, sight: &Sight, stage: &Stage<'_>) -> Instant {
        let Some(last) = self.last_attempt.get() else {
            return sight.now;
        };
        if !sight.outage.is_possible() {
            return last;
        }
        let joined = stage.model.books.borrow().last_joined;
        let first = self.settings.first_delay();
        let longest = last + self.settings.longest_delay();
        match joined.filter(|&at| at > last) {
            // Attempts whose tasks were lost begin unseen.
            Some(joined) if self.loses => longest.min(joined + first),
            Some(_) => longest.min(last + first),
            None => longest,
        }
    }

    /// What is not as it should be, and what may be the reason for a while.
    fn wanting(&self, sight: &Sight, stage: &Stage<'_>) -> Option<(&'static str, Excuse)> {
        let status = &sight.status;
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
            return Some(("somebody waits beside an idle connection", Excuse::None));
        }
        if status.waiting > 0 && self.has_fit_ones(sight, stage) {
            return Some(("somebody waits beside a fit connection", Excuse::None));
        }
        if status.waiting > under_way && could_connect {
            let excuse = match settings.fail_fast {
                // Each attempt is for somebody, who learns how it ended.
                true => Excuse::None,
                false => Excuse::Schedule,
            };
            return Some(("somebody waits beside a free place", excuse));
        }
        let coming = status.idle + status.recycling + under_way.saturating_sub(status.waiting);
        let wanted = settings.min_idle.min(status.max_size);
        if coming < wanted && could_connect && !self.loses {
            let what = "too few are idle, and nobody sees to it";
            return Some((what, Excuse::Schedule));
        }
        None
    }

    /// Some of the idle ones need no check, whichever of those that nobody works at are idle.
    fn has_fit_ones(&self, sight: &Sight, stage: &Stage<'_>) -> bool {
        let CheckPolicy::IdleFor(age) = self.settings.check_policy else {
            return false;
        };
        // What happened before the clock began did not happen.
        let before = |time| sight.now.checked_sub(time);
        let made_since = self.settings.shortest_lifetime().and_then(before);
        let (at_hand, fit) = stage.world.ledger().at_hand(before(age), made_since);
        fit + sight.status.idle > at_hand
    }
}

/// Why something may be wanting for a while.
enum Excuse {
    None,
    /// While attempts to connect fail, the next one is not due yet.
    Schedule,
}
