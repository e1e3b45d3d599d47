//! Whether those who are turned away, or may wait, are the right ones.

use std::time::Duration;

use watertight::{PausePolicy, Status};

use crate::coverage::saw;
use crate::load::Load;
use crate::model::{Model, Served, Sight, Waiter};

impl Model {
    /// True if whoever comes then is to be told of a pause.
    pub(super) fn tells_of_pause(&self, sight: &Sight) -> bool {
        let tells = self.settings().pause_policy == PausePolicy::FailFast;
        tells && sight.status.paused && !sight.status.closed
    }

    pub(super) fn turned_away_by_pause(&self, before: &Sight) {
        saw("rejected: paused");
        assert!(self.tells_of_pause(before), "there is no pause to tell of");
        self.books.borrow_mut().tally.rejections.paused += 1;
    }

    pub(super) fn turned_away_by_queue(&self, before: &Sight, after: &Sight) {
        saw("rejected: the queue is full");
        assert!(!self.tells_of_pause(before), "not told of the pause");
        let (status, may_go) = match self.loses_tasks {
            false => (&after.status, 0),
            // What had to be closed meanwhile may be gone already.
            true => (&before.status, before.status.idle),
        };
        let room = self.room_to_wait(status);
        let room = room.expect("any number may wait");
        assert!(
            status.waiting + may_go >= room,
            "room for {room}: {status:?}"
        );
        self.books.borrow_mut().tally.rejections.queue_full += 1;
    }

    /// Somebody joins the queue.
    pub(super) fn assert_may_wait(&self, before: &Sight) {
        assert!(!self.tells_of_pause(before), "not told of the pause");
        let status = &before.status;
        if let Some(room) = self.room_to_wait(status) {
            assert!(status.waiting < room, "one more than {room}: {status:?}");
        }
    }

    /// How many may wait, if that is limited: those for whom a connection could be made, or is there,
    /// do not count.
    fn room_to_wait(&self, status: &Status) -> Option<usize> {
        let most = self.settings().max_waiters?;
        let free = status.max_size.saturating_sub(status.size);
        let within_reach = status.idle + status.connecting + status.checking + free;
        Some(within_reach + most)
    }

    /// Somebody was turned away although he had time.
    pub(super) fn shed(&self, waiter: &Waiter, served: Served, waited: Duration) {
        saw("rejected: overloaded");
        // Without a keeper, those who wait look themselves.
        assert!(waiter.served.is_some() || self.loses_tasks, "told too late");
        assert_eq!(waited, served.at - waiter.since, "how long it waited");
        assert!(served.at < waiter.deadline, "it was too late for that");
        assert!(
            !served.last_first && !served.paused,
            "turned away: {served:?}"
        );
        self.assert_may_be_overloaded(served);
        let mut books = self.books.borrow_mut();
        let load = books.load.as_ref().expect("the delay is controlled");
        assert!(waited > 2 * load.target, "turned away after {waited:?}");
        books.tally.rejections.shed += 1;
    }

    pub(super) fn assert_may_be_overloaded(&self, served: Served) {
        if served.last_first {
            saw("acquire: lent to the last to come");
        }
        let books = self.books.borrow();
        let load = books.load.as_ref();
        let may_be = load.is_some_and(|load| load.may_be_too_much(served.at));
        assert!(may_be, "it is not overloaded: {served:?}");
    }

    /// Somebody was served in his turn.
    pub(super) fn note_wait(&self, waiter: &Waiter, served: Served) {
        let waited = served.at - waiter.since;
        let mut books = self.books.borrow_mut();
        let in_time = |load: &&mut Load| !served.last_first && waited <= load.target;
        if let Some(load) = books.load.as_mut().filter(in_time) {
            load.is_relieved(served.at);
        }
    }
}
