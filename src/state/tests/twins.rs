//! The short ways beside the long ones: from the same state, both come to the same.
//!
//! Each function does on a copy of the pool what the short way is to save, and asserts that nothing
//! tells the two apart: state, statistics, and what is to be done after unlocking.

use std::fmt::Debug;

use super::*;

/// How often each short way was taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) queued_up: usize,
    pub(super) handed_over: usize,
    pub(super) quit: usize,
}

fn assert_twins<T: Debug>(name: &str, before: &Pool, short: T, long: T) {
    let (short, long) = (format!("{short:#?}"), format!("{long:#?}"));
    assert!(
        short == long,
        "{name} from {before:#?}\ncame to {short}\nrather than {long}"
    );
}

/// The long way has seen to all that was due, which was nothing.
fn pumped_as(twin: &mut Pool, before: &Pool) {
    twin.pumped_at = before.pumped_at;
}

impl Taken {
    /// [`State::join`], and [`State::queue_up`] as the long way.
    pub(super) fn join(
        &mut self,
        pool: &mut Pool,
        now: Moment,
        deadline: Moment,
        fx: &mut Fx,
    ) -> Join<u32, &'static str> {
        let before = pool.clone();
        let mut waker = waker();
        let (mut left, mut effects) = (waker.clone(), Fx::new());
        let joined = pool.join(now, deadline, &mut waker, &mut effects);
        if let Join::Queued { key, busy: false } = joined {
            self.queued_up += 1;
            let (mut twin, mut asked) = (before.clone(), Fx::new());
            let long = twin.join_the_long_way(now, deadline, &mut left, &mut asked);
            let Join::Queued { key: other, .. } = long else {
                panic!("queued although it is {long:?} from {before:#?}");
            };
            pumped_as(&mut twin, &before);
            let same = (&twin, &asked, other, left.is_some());
            let ours = (&*pool, &effects, key, waker.is_some());
            assert_twins("queue_up", &before, ours, same);
            let turn = pool.clone().poll_waiter(key, None);
            assert!(
                matches!(turn, Turn::Wait(Moment::NEVER)),
                "there is something to look for: {turn:?}"
            );
        }
        add(fx, effects);
        joined
    }

    /// [`State::returned`], and [`State::hand_over`] as the long way.
    pub(super) fn returned(
        &mut self,
        pool: &mut Pool,
        live: Conn,
        verdict: Verdict,
        now: Moment,
        fx: &mut Fx,
    ) -> Returned<u32> {
        if verdict == Verdict::Clean {
            let before = pool.clone();
            let (mut short, mut effects) = (before.clone(), Fx::new());
            short.read_clock(now, &mut effects);
            if short.hand_over(live.clone(), now, &mut effects).is_ok() {
                self.handed_over += 1;
                let (mut twin, mut asked) = (before.clone(), Fx::new());
                twin.read_clock(now, &mut asked);
                let long = twin.returned_the_long_way(live.clone(), verdict, now, &mut asked);
                assert!(matches!(long, Returned::Kept), "{long:?}");
                // Nobody waits for it: not to fill, to pause or to renew the pool.
                asked.progress = false;
                pumped_as(&mut twin, &before);
                assert!(before.fillers == 0 && !before.paused && before.is_renewed());
                assert_twins("hand_over", &before, (&short, &effects), (&twin, &asked));
            }
        }
        pool.returned(live, verdict, now, fx)
    }

    /// A waiter is dropped: [`State::quit`], if that will do, and that as [`State::cancel`].
    pub(super) fn cancel(&mut self, pool: &mut Pool, key: usize, now: Moment, fx: &mut Fx) {
        let before = pool.clone();
        let Some(waker) = pool.quit(key) else {
            assert_twins("a quit that says no", &before, &*pool, &before);
            pool.cancel(key, now, fx);
            return;
        };
        self.quit += 1;
        assert!(!before.is_tenant, "its landlord is not told");
        let (mut twin, mut asked) = (before.clone(), Fx::new());
        let left = twin.cancel(key, now, &mut asked);
        pumped_as(&mut twin, &before);
        let ours = (&*pool, &Fx::new(), (waker, Unseen::Cancelled));
        assert_twins("quit", &before, ours, (&twin, &asked, left));
    }
}

/// What is to be done, after what was to be done already.
fn add(fx: &mut Fx, more: Fx) {
    fx.connect.extend(more.connect);
    fx.check.extend(more.check);
    fx.close.extend(more.close);
}
