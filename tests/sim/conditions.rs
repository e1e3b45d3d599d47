//! What must hold of a pool's numbers: always, and when nothing can run without time passing.

use std::cell::Cell;
use std::time::{Duration, Instant};

use watertight::CheckPolicy;

use crate::coverage::saw;
use crate::model::Sight;
use crate::plan::{Plan, ms};
use crate::settings::Settings;
use crate::user::Stage;

/// An attempt that takes longer than this is not counted on. Those that go well are far quicker.
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Conditions {
    /// As the pool was built; the model knows how they are now.
    settings: Settings,
    /// How much later than at once things may be seen to.
    pub(super) slack: Duration,
    pub(super) loses: bool,
    /// Everything happens as soon as it is due.
    punctual: bool,
    /// Since when it has been wanting, for each of the conditions that may be late.
    starving: Cell<Option<Instant>>,
    attempts: Cell<(usize, u64)>,
    /// When an attempt to connect last began or failed.
    last_attempt: Cell<Option<Instant>>,
    /// When a call to connect last began, and whether it was certain by then that they fail.
    last_connect: Cell<Option<Instant>>,
    was_failing: Cell<bool>,
    /// Attempts that had begun, but not called the manager, when it became certain.
    excused: Cell<usize>,
    /// When a check or an attempt to connect last began, and how many there have been.
    last_begun: Cell<(usize, Instant)>,
    /// The most that there may be, if nothing else is begun.
    bound: Cell<usize>,
    idle_bound: Cell<usize>,
}

impl Conditions {
    pub(crate) fn new(plan: &Plan, start: Instant) -> Self {
        Conditions {
            settings: plan.settings,
            slack: match plan.mischief.late {
                0 => Duration::ZERO,
                // A wake-up may come after a stall, and then be late.
                late => 3 * ms(late) + plan.mischief.lateness(),
            },
            loses: plan.mischief.loses,
            punctual: plan.mischief.late == 0 && plan.mischief.stalls == 0,
            starving: Cell::new(None),
            attempts: Cell::new((0, 0)),
            last_attempt: Cell::new(None),
            last_connect: Cell::new(None),
            was_failing: Cell::new(false),
            excused: Cell::new(0),
            last_begun: Cell::new((0, start)),
            bound: Cell::new(plan.settings.max_size),
            idle_bound: Cell::new(0),
        }
    }

    /// The books balance (laws L1, L4), and what is over the limit only falls.
    pub(crate) fn assert_always(&self, stage: &Stage<'_>) {
        let ledger = stage.world.ledger();
        ledger.assert_clean();
        let Some(sight) = stage.model.look() else {
            return;
        };
        let status = sight.status;
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
        if let Some(most) = stage.model.settings().max_idle {
            let most = most.max(self.idle_bound.get());
            let most = most.max(stage.model.take_most_idle());
            assert!(status.idle <= most, "too many idle: {status:?}");
        }
        self.idle_bound.set(status.idle);
        if status.closed {
            assert_eq!((status.idle, status.waiting), (0, 0), "{status:?}");
        }
        let most = self.settings.connect_concurrency;
        let most = most.unwrap_or(usize::MAX);
        assert!(status.connecting <= most, "too many connect: {status:?}");
        self.note_attempts(
            &sight,
            stage,
            status.connecting.saturating_sub(count.connecting),
        );
    }

    fn note_attempts(&self, sight: &Sight, stage: &Stage<'_>, unborn: usize) {
        let connects = stage.world.connects().calls();
        let (before, _) = self.attempts.get();
        if connects > before {
            match self.excused.get().checked_sub(connects - before) {
                Some(left) => self.excused.set(left),
                None => self.assert_spaced(connects - before, sight),
            }
            let long = sight.now - self.last_begun.get().1 >= ms(250);
            if long && sight.status.connecting > 1 && sight.status.waiting > 0 {
                saw("attempt: begun beside one that is overdue");
            }
            self.last_connect.set(Some(sight.now));
        }
        let failing = sight.outage.is_certain();
        if self.was_failing.replace(failing) != failing {
            self.excused.set(unborn);
        }
        let attempts = (connects, sight.outage.failed());
        if self.attempts.replace(attempts) != attempts {
            self.last_attempt.set(Some(sight.now));
        }
        let begun = connects + stage.world.checks().calls();
        if self.last_begun.get().0 != begun {
            self.last_begun.set((begun, sight.now));
        }
    }

    /// While they fail, attempts follow the schedule, which allows one at a time.
    fn assert_spaced(&self, begun: usize, sight: &Sight) {
        let failing = self.was_failing.get() && sight.outage.is_certain();
        // Nobody keeps to it for attempts whose tasks were lost.
        if !failing || self.settings.fail_fast || self.loses || !self.punctual {
            return;
        }
        assert_eq!(begun, 1, "a herd of attempts while they fail");
        if let Some(last) = self.last_connect.get() {
            let gap = sight.now - last;
            let least = self.settings.first_delay();
            assert!(gap >= least, "while they fail, the next after {gap:?}");
        }
    }

    /// Nobody waits while there is a connection, or a place that nobody works at.
    pub(crate) fn assert_when_quiet(&self, stage: &Stage<'_>) {
        let Some(sight) = stage.model.look() else {
            return;
        };
        self.assert_old_and_silent_ones_are_seen_to(&sight, stage);
        self.assert_nobody_is_stalled(&sight, stage);
        self.assert_told_when_quiet(&sight, stage);
        let Some((what, excuse)) = self.wanting(&sight, stage) else {
            self.starving.set(None);
            return self.assert_nobody_waits_for_the_hung(&sight, stage);
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

    /// Nobody waits for attempts alone that have been under way for much too long, while there is
    /// a place for another.
    fn assert_nobody_waits_for_the_hung(&self, sight: &Sight, stage: &Stage<'_>) {
        let status = &sight.status;
        let nobody_waits = status.waiting == 0 || status.paused;
        if status.closed || nobody_waits || !self.could_connect(sight) {
            return;
        }
        let (_, last) = self.last_begun.get();
        let mut due = last + LONGEST_PATIENCE;
        if !self.settings.fail_fast {
            due = due.max(self.next_attempt(sight, stage));
        }
        let slack = self.slack + 2 * ms(30);
        assert!(
            sight.now <= due + slack,
            "somebody waits for what hangs, beside a free place: {status:?}"
        );
    }

    fn could_connect(&self, sight: &Sight) -> bool {
        let status = &sight.status;
        let most = self.settings.connect_concurrency.unwrap_or(usize::MAX);
        status.size < status.max_size && status.connecting < most
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
            // Attempts whose tasks were lost begin unseen: the last may have done so just before.
            Some(joined) if self.loses => joined + first,
            Some(_) => {
                saw("schedule: brought forward");
                longest.min(last + first)
            }
            None => longest,
        }
    }

    /// What is not as it should be, and what may be the reason for a while.
    fn wanting(&self, sight: &Sight, stage: &Stage<'_>) -> Option<(&'static str, Excuse)> {
        let status = &sight.status;
        if status.closed {
            return None;
        }
        let settings = stage.model.settings();
        let under_way = status.connecting + status.checking;
        // Nobody is served in a pause.
        let waiting = match status.paused {
            true => 0,
            false => status.waiting,
        };
        let useful = under_way.saturating_sub(stage.model.vain_work());
        let could_connect = self.could_connect(sight);
        let enough_checks = status.checking >= waiting;
        let checks = settings.check_policy != CheckPolicy::Never;
        if waiting > 0 && status.idle > 0 && !(checks && enough_checks) {
            return Some(("somebody waits beside an idle connection", Excuse::None));
        }
        if waiting > 0 && self.has_fit_ones(sight, stage) {
            return Some(("somebody waits beside a fit connection", Excuse::None));
        }
        if waiting > useful && could_connect {
            let excuse = match settings.fail_fast {
                // Each attempt is for somebody, who learns how it ended.
                true => Excuse::None,
                false => Excuse::Schedule,
            };
            return Some(("somebody waits beside a free place", excuse));
        }
        let coming = status.idle + status.recycling + under_way.saturating_sub(waiting);
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
        let fit_since = before(age);
        let made_since = stage.model.shortest_lifetime().and_then(before);
        let is_of_today = stage.model.those_of_today();
        let (at_hand, fit) = stage.world.ledger().at_hand(|one| {
            let young = one.made_at >= made_since && is_of_today(&one);
            young && one.fit_at >= fit_since
        });
        fit + sight.status.idle > at_hand
    }
}

/// Why something may be wanting for a while.
enum Excuse {
    None,
    /// While attempts to connect fail, the next one is not due yet.
    Schedule,
}
