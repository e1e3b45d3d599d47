use super::*;

fn at(ms: u64) -> Moment {
    Moment::START.after(Duration::from_millis(ms))
}

/// So many ids of attempts, in their order.
fn ids(number: usize) -> Vec<AttemptId> {
    let mut attempts = crate::attempts::Attempts::new();
    let begin = |_| attempts.begin(crate::attempts::Kind::Connect, at(0), None);
    (0..number).map(begin).collect()
}

struct Schedule {
    retry: Retry<&'static str>,
    rng: fastrand::Rng,
}

impl Schedule {
    fn new() -> Self {
        let ten = Duration::from_millis(10);
        Schedule {
            retry: Retry::new(Backoff::new(ten, Duration::from_secs(5))),
            rng: fastrand::Rng::with_seed(3),
        }
    }

    fn fail(&mut self, attempt: AttemptId, next: AttemptId, ms: u64) -> bool {
        let error = ConnectError::TimedOut;
        let replaced = self
            .retry
            .failed(attempt, next, error, at(ms), &mut self.rng);
        replaced.is_some()
    }
}

#[test]
fn while_attempts_succeed_all_may_begin() {
    let mut schedule = Schedule::new();
    let retry = &mut schedule.retry;
    assert!(!retry.is_failing() && retry.cause().is_none() && retry.last_error().is_none());
    assert_eq!((retry.allowance(7, at(0)), retry.due()), (7, Moment::NEVER));
    retry.begun(at(1));
    retry.bring_forward();
    assert_eq!((retry.allowance(7, at(1)), retry.due()), (7, Moment::NEVER));
}

#[test]
fn while_they_fail_one_may_begin_at_each_step() {
    let id = ids(2);
    let mut schedule = Schedule::new();
    assert!(!schedule.fail(id[0], id[1], 5));
    let retry = &mut schedule.retry;
    assert!(retry.is_failing() && retry.cause().is_some());
    assert_eq!(retry.due(), at(15));
    assert_eq!(retry.allowance(3, at(14)), 0);
    assert_eq!(retry.allowance(3, at(15)), 1);
    assert_eq!(retry.allowance(0, at(15)), 0);
    retry.begun(at(20));
    assert_eq!(retry.due(), at(30), "whether or not that one has ended");
}

#[test]
fn attempts_of_before_the_last_change_of_delay_say_nothing() {
    let id = ids(4);
    let mut schedule = Schedule::new();
    schedule.fail(id[0], id[2], 0);
    assert!(schedule.fail(id[1], id[2], 3), "the error is kept");
    assert_eq!(schedule.retry.due(), at(10), "all at once are one failure");
    schedule.fail(id[2], id[3], 10);
    assert!(schedule.retry.due() > at(20), "that is the next");
}

#[test]
fn success_ends_it_and_the_cause_but_not_what_the_last_error_was() {
    let id = ids(3);
    let mut schedule = Schedule::new();
    schedule.fail(id[0], id[1], 0);
    schedule.retry.succeeded(id[2]);
    let retry = &schedule.retry;
    assert!(!retry.is_failing() && retry.cause().is_none() && retry.last_error().is_some());
    assert_eq!((retry.allowance(7, at(1)), retry.due()), (7, Moment::NEVER));
    schedule.fail(id[1], id[2], 1);
    assert!(!schedule.retry.is_failing(), "it began before that");
    schedule.retry.succeeded(id[0]);
    assert_eq!(schedule.retry.since(), id[2], "nothing was to be ended");
}

#[test]
fn a_newcomer_brings_the_next_forward_to_the_first_step_and_never_back() {
    let id = ids(12);
    let mut schedule = Schedule::new();
    for two in id.windows(2) {
        schedule.fail(two[0], two[1], 100);
    }
    assert!(schedule.retry.due() > at(110));
    schedule.retry.bring_forward();
    assert_eq!(schedule.retry.due(), at(110));
    schedule.retry.bring_forward();
    assert_eq!(schedule.retry.due(), at(110));
}
