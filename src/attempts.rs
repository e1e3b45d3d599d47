//! The connects and checks under way, and how far they can be counted on.
//!
//! An attempt that takes much longer than its like may be hung. It goes on until its time-out, but
//! nobody should wait for it alone: once it is *overdue*, whoever waits gets an attempt of his own
//! if there is a place.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// No attempt is overdue before this.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(250);
/// The first attempts, of which nothing is known, are given this, or the tenth part of what their
/// time-out allows, if that is longer: whoever sets a long one knows of a slow server. But not for ever.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PART: u32 = 10;
const LONGEST_FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// How much longer than usual an attempt may take.
const PATIENCE: u32 = 4;

/// The number of an attempt: they rise, and no other of the same pool ever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttemptId(u64);

impl AttemptId {
    pub(crate) const FIRST: AttemptId = AttemptId(0);
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Attempts {
    /// In the order in which they began.
    under_way: VecDeque<Attempt>,
    next: AttemptId,
    /// How long connects and checks that succeed usually take, not to be optimistic; zero if
    /// nothing is known yet.
    usual: [Duration; 2],
}

/// What is attempted. A check takes a fraction of what a connect takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    /// For somebody who waits.
    Check,
    /// A check that nobody asked for.
    Probe,
}

impl Kind {
    /// Its place among those that take different times.
    fn index(self) -> usize {
        match self {
            Kind::Connect => 0,
            Kind::Check | Kind::Probe => 1,
        }
    }
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Attempt {
    id: AttemptId,
    kind: Kind,
    begun: Moment,
    /// Nobody counts on it any more.
    overdue_at: Moment,
    /// It has had all the time that its like are given, whatever was doubted before.
    hung_at: Moment,
}

/// How long attempts usually take that succeed, now that one took so long: not to be optimistic, and
/// never zero, which is for nothing known.
pub(crate) fn usual_after(usual: Duration, took: Duration) -> Duration {
    took.max(usual / 2).max(Duration::from_nanos(1))
}

impl Attempts {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    pub(crate) fn new() -> Self {
        Attempts {
            under_way: VecDeque::new(),
            next: AttemptId::FIRST,
            usual: [Duration::ZERO; 2],
        }
    }

    /// Begins one, to which such a limit is set.
    pub(crate) fn begin(&mut self, kind: Kind, now: Moment, limit: Option<Duration>) -> AttemptId {
        let id = self.next;
        self.next = AttemptId(id.0 + 1);
        let patience = match self.usual[kind.index()] {
            Duration::ZERO => {
                let part = limit.unwrap_or_default() / FIRST_PART;
                part.clamp(FIRST_PATIENCE, LONGEST_FIRST_PATIENCE)
            }
            usual => usual.saturating_mul(PATIENCE).max(SHORTEST_PATIENCE),
        };
        self.under_way.push_back(Attempt {
            id,
            kind,
            begun: now,
            overdue_at: now.after(patience),
            hung_at: now.after(patience),
        });
        id
    }

    /// The number of the next to begin.
    pub(crate) fn next(&self) -> AttemptId {
        self.next
    }

    /// An attempt is over. `succeeded_at` says how long its like take.
    pub(crate) fn end(&mut self, id: AttemptId, succeeded_at: Option<Moment>) {
        let Some(index) = self.under_way.iter().position(|other| other.id == id) else {
            return;
        };
        let attempt = self.under_way.remove(index);
        if let (Some(attempt), Some(now)) = (attempt, succeeded_at) {
            let usual = &mut self.usual[attempt.kind.index()];
            *usual = usual_after(*usual, now.elapsed_since(attempt.begun));
        }
    }

    /// How many can be counted on.
    pub(crate) fn promising(&self, now: Moment) -> usize {
        self.on_time(now).count()
    }

    /// How many checks can be counted on that somebody waits for.
    pub(crate) fn checks(&self, now: Moment) -> usize {
        let checks = self.on_time(now).filter(|other| other.kind == Kind::Check);
        checks.count()
    }

    /// How many checks are under way, whether or not somebody waits for them.
    pub(crate) fn examinations(&self) -> usize {
        let checks = self.under_way.iter();
        checks.filter(|one| one.kind != Kind::Connect).count()
    }

    /// How many connects can be counted on.
    pub(crate) fn connects(&self, now: Moment) -> usize {
        let connects = self
            .on_time(now)
            .filter(|other| other.kind == Kind::Connect);
        connects.count()
    }

    /// How many connects have time left of what their like are given, whether or not anybody should count
    /// on them.
    pub(crate) fn connects_in_patience(&self, now: Moment) -> usize {
        let attempts = self.under_way.iter();
        let connects = attempts.filter(|other| other.kind == Kind::Connect);
        connects.filter(|other| other.hung_at > now).count()
    }

    /// Somebody's deadline passed while he counted on the oldest: nobody else should, once it has
    /// had its usual time.
    pub(crate) fn doubt_oldest(&mut self, now: Moment) {
        let mut promising = self.under_way.iter_mut();
        if let Some(oldest) = promising.find(|other| other.overdue_at > now) {
            let usual = self.usual[oldest.kind.index()];
            let had_its_time = oldest.begun.after(usual).max(now);
            oldest.overdue_at = oldest.overdue_at.min(had_its_time);
        }
    }

    /// Nobody should count on any of those under way.
    pub(crate) fn doubt_all(&mut self, now: Moment) {
        self.doubt(now, |_| true);
    }

    /// Nobody should count on any of the checks under way, nor on connects before this one.
    pub(crate) fn doubt_condemned(&mut self, first: AttemptId, now: Moment) {
        self.doubt(now, |one| one.kind != Kind::Connect || one.id < first);
    }

    fn doubt(&mut self, now: Moment, which: impl Fn(&Attempt) -> bool) {
        for attempt in self.under_way.iter_mut().filter(|one| which(one)) {
            attempt.overdue_at = attempt.overdue_at.min(now);
            attempt.hung_at = attempt.hung_at.min(now);
        }
    }

    /// When one under way began.
    pub(crate) fn begun_at(&self, id: AttemptId) -> Option<Moment> {
        let mut attempts = self.under_way.iter();
        let found = attempts.find(|other| other.id == id);
        found.map(|attempt| attempt.begun)
    }

    /// True if a connect that began before this one may still be in time.
    pub(crate) fn older_is_in_patience(&self, id: AttemptId, now: Moment) -> bool {
        let mut under_way = self.under_way.iter();
        under_way.any(|other| other.kind == Kind::Connect && other.id < id && other.hung_at > now)
    }

    /// How many connects under way began before this one.
    pub(crate) fn connects_before(&self, first: AttemptId) -> usize {
        let connects = self.under_way.iter();
        connects
            .filter(|other| other.kind == Kind::Connect && other.id < first)
            .count()
    }

    /// When the next will be overdue.
    pub(crate) fn next_overdue(&self, now: Moment) -> Moment {
        let overdue = self.on_time(now).map(|other| other.overdue_at);
        overdue.min().unwrap_or(Moment::NEVER)
    }

    /// When the next will have had all its time.
    pub(crate) fn next_hung(&self, now: Moment) -> Moment {
        let hung = self.under_way.iter().map(|other| other.hung_at);
        hung.filter(|&at| at > now).min().unwrap_or(Moment::NEVER)
    }

    /// Those under way, in the order in which they began: number, kind, when it began, when it will be
    /// overdue, and when it will have had all its time.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AttemptId, Kind, Moment, [Moment; 2])> {
        let under_way = self.under_way.iter();
        under_way.map(|one| (one.id, one.kind, one.begun, [one.overdue_at, one.hung_at]))
    }

    #[cfg(test)]
    pub(crate) fn usual(&self) -> [Duration; 2] {
        self.usual
    }

    fn on_time(&self, now: Moment) -> impl Iterator<Item = &Attempt> {
        self.under_way
            .iter()
            .filter(move |other| other.overdue_at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::START.after(Duration::from_millis(ms))
    }

    #[test]
    fn attempt_that_takes_much_longer_than_usual_is_not_counted_on() {
        let mut attempts = Attempts::new();
        let quick = attempts.begin(Kind::Connect, at(0), None);
        attempts.end(quick, Some(at(10)));
        let usual = attempts.begin(Kind::Connect, at(10), None);
        attempts.end(usual, Some(at(20)));
        let hung = attempts.begin(Kind::Connect, at(1000), None);
        let overdue = attempts.next_overdue(at(1000));
        assert!(overdue >= at(1250) && overdue <= at(1300), "{overdue:?}");
        assert_eq!(attempts.promising(at(1200)), 1);
        assert_eq!(attempts.promising(overdue), 0);
        attempts.end(hung, None);
        assert_eq!(attempts.next_overdue(at(1000)), Moment::NEVER);
    }

    #[test]
    fn slow_server_is_given_time() {
        let mut attempts = Attempts::new();
        let slow = attempts.begin(Kind::Connect, at(0), None);
        attempts.end(slow, Some(at(3000)));
        attempts.begin(Kind::Connect, at(3000), None);
        assert_eq!(attempts.promising(at(14_000)), 1);
    }

    #[test]
    fn first_attempt_is_given_a_tenth_of_its_limit_but_a_second_at_least_and_ten_at_most() {
        let mut attempts = Attempts::new();
        for (limit, overdue) in [
            (None, 1000),
            (Some(9), 1000),
            (Some(11), 1100),
            (Some(99), 9900),
            (Some(u64::MAX), 10_000),
        ] {
            let id = attempts.begin(Kind::Connect, at(0), limit.map(Duration::from_secs));
            assert_eq!(attempts.next_overdue(at(0)), at(overdue));
            attempts.end(id, None);
        }
    }

    #[test]
    fn quick_checks_say_nothing_about_connects() {
        let mut attempts = Attempts::new();
        for _ in 0..20 {
            let check = attempts.begin(Kind::Check, at(0), None);
            attempts.end(check, Some(at(0)));
        }
        attempts.begin(Kind::Connect, at(0), None);
        assert_eq!(attempts.promising(at(500)), 1);
        attempts.begin(Kind::Check, at(0), None);
        assert_eq!(attempts.promising(at(500)), 1);
    }

    #[test]
    fn missed_deadline_casts_doubt_on_the_oldest() {
        let mut attempts = Attempts::new();
        attempts.begin(Kind::Connect, at(0), None);
        let quick = attempts.begin(Kind::Connect, at(1), None);
        attempts.doubt_oldest(at(2));
        assert_eq!(
            attempts.promising(at(2)),
            1,
            "it is not known how long one takes"
        );
        attempts.end(quick, Some(at(101)));
        attempts.begin(Kind::Connect, at(200), None);
        attempts.doubt_oldest(at(220));
        assert_eq!(
            attempts.promising(at(220)),
            1,
            "it has not had its usual time yet"
        );
        assert_eq!(attempts.promising(at(300)), 0);
    }

    #[test]
    fn nobody_counts_on_what_is_condemned_with_its_generation() {
        let mut attempts = Attempts::new();
        attempts.begin(Kind::Connect, at(0), None);
        let first = attempts.begin(Kind::Connect, at(0), None);
        attempts.begin(Kind::Check, at(0), None);
        attempts.begin(Kind::Probe, at(0), None);
        let last = attempts.begin(Kind::Connect, at(0), None);
        attempts.doubt_condemned(first, at(1));
        assert_eq!(attempts.promising(at(0)), 5);
        let left = attempts.on_time(at(1)).map(|one| one.id);
        assert!(left.eq([first, last]));
    }

    #[test]
    fn only_checks_that_can_be_counted_on_count_as_checks() {
        let mut attempts = Attempts::new();
        assert_eq!(attempts.checks(at(0)), 0);
        attempts.begin(Kind::Connect, at(0), None);
        attempts.begin(Kind::Check, at(0), None);
        attempts.begin(Kind::Check, at(500), None);
        assert_eq!(attempts.checks(at(999)), 2);
        assert_eq!(attempts.checks(at(1000)), 1, "the first is overdue");
        assert_eq!(attempts.checks(at(1500)), 0);
    }

    #[test]
    fn a_check_that_nobody_waits_for_takes_as_long_as_one_that_somebody_does() {
        let mut attempts = Attempts::new();
        let probe = attempts.begin(Kind::Probe, at(0), None);
        assert_eq!((attempts.checks(at(0)), attempts.promising(at(0))), (0, 1));
        attempts.end(probe, Some(at(100)));
        let usual = Duration::from_millis(100);
        assert_eq!(attempts.usual(), [Duration::ZERO, usual]);
        attempts.begin(Kind::Probe, at(100), None);
        assert_eq!(attempts.next_overdue(at(100)), at(500));
    }

    #[test]
    fn doubt_is_cast_on_the_oldest_that_is_not_overdue_already() {
        let mut attempts = Attempts::new();
        attempts.begin(Kind::Connect, at(0), None);
        attempts.begin(Kind::Connect, at(1), None);
        assert_eq!(attempts.promising(at(1000)), 1);
        attempts.doubt_oldest(at(1000));
        assert_eq!(attempts.promising(at(1000)), 0);
    }

    #[test]
    fn what_is_usual_follows_the_slow_at_once_and_the_quick_by_halves() {
        let mut attempts = Attempts::new();
        let mut usual_after = |took: u64| {
            let id = attempts.begin(Kind::Check, at(0), None);
            attempts.end(id, Some(at(took)));
            attempts.usual()
        };
        for (took, usual) in [(100, 100), (10, 50), (30, 30), (80, 80)] {
            let usual = Duration::from_millis(usual);
            assert_eq!(usual_after(took), [Duration::ZERO, usual]);
        }
        let known = usual_after(0);
        assert_eq!(known[1], Duration::from_millis(40));
    }

    #[test]
    fn an_attempt_that_failed_says_nothing_of_how_long_one_takes() {
        let mut attempts = Attempts::new();
        let failed = attempts.begin(Kind::Connect, at(0), None);
        attempts.end(failed, None);
        attempts.end(failed, Some(at(9)));
        assert_eq!(attempts.usual(), [Duration::ZERO; 2]);
    }

    #[test]
    fn earlier_connects_are_counted_without_checks() {
        let mut attempts = Attempts::new();
        attempts.begin(Kind::Connect, at(0), None);
        attempts.begin(Kind::Check, at(0), None);
        attempts.begin(Kind::Connect, at(0), None);
        let first = attempts.next();
        assert_eq!(first, AttemptId(3));
        attempts.begin(Kind::Connect, at(0), None);
        attempts.begin(Kind::Check, at(0), None);
        assert_eq!(attempts.connects_before(first), 2);
        assert_eq!(attempts.connects_before(AttemptId::FIRST), 0);
    }

    #[test]
    fn after_a_reset_none_is_counted_on() {
        let mut attempts = Attempts::new();
        attempts.begin(Kind::Connect, at(0), None);
        attempts.begin(Kind::Check, at(0), None);
        attempts.doubt_all(at(1));
        assert_eq!(attempts.promising(at(1)), 0);
        assert_eq!(attempts.next_overdue(at(1)), Moment::NEVER);
    }
}
