//! Waiting for whichever of two futures ends first.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// The outcome of the future that ends first, and of `first` if both have ended.
///
/// They are dropped by their owner, not with this future.
pub(crate) async fn race<T>(
    mut first: Pin<&mut impl Future<Output = T>>,
    mut second: Pin<&mut impl Future<Output = T>>,
) -> T {
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Pending => second.as_mut().poll(cx),
        ended => ended,
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use futures_lite::future::{block_on, yield_now};

    use super::race;

    #[test]
    fn the_one_that_ends_wins() {
        assert_eq!(block_on(race(pin!(ready(1)), pin!(pending()))), 1);
        assert_eq!(block_on(race(pin!(pending()), pin!(ready(2)))), 2);
    }

    #[test]
    fn first_one_wins_if_both_have_ended() {
        assert_eq!(block_on(race(pin!(ready(1)), pin!(ready(2)))), 1);
    }

    #[test]
    fn both_wake_the_one_who_waits() {
        let soon = async || {
            yield_now().await;
            3
        };
        assert_eq!(block_on(race(pin!(soon()), pin!(pending()))), 3);
        assert_eq!(block_on(race(pin!(pending()), pin!(soon()))), 3);
    }
}
