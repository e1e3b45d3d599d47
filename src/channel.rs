//! A queue on which one task waits for what others send, who never wait.
//!
//! As async-channel's, but for one thing: that wakes whoever waits while it
//! holds a lock. A waker is the executor's code, and one that polls its task then and there would
//! come back for that lock on the same thread. This one wakes by a [`Bell`].

use std::collections::VecDeque;

use crate::bell::Bell;
use crate::primitives::{Arc, Mutex};

/// Room for so many is kept when all have been received.
const KEPT: usize = 64;

/// A queue with room for so many messages.
pub(crate) fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        queue: Mutex::new(Queue {
            messages: VecDeque::new(),
            capacity,
            closed: false,
        }),
        changed: Bell::default(),
    });
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

/// The end that sends. When it is dropped, the other learns of it.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Channel<T>>);

/// The end that receives. When it is dropped, no more is sent.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

#[derive(Debug)]
struct Channel<T> {
    queue: Mutex<Queue<T>>,
    changed: Bell,
}

#[derive(Debug)]
struct Queue<T> {
    messages: VecDeque<T>,
    capacity: usize,
    closed: bool,
}

/// Why a message was not sent. It comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<T> {
    Full(T),
    Closed(T),
}

impl<T> Refused<T> {
    pub(crate) fn into_inner(self) -> T {
        match self {
            Refused::Full(message) | Refused::Closed(message) => message,
        }
    }
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), Refused<T>> {
        {
            let mut queue = self.0.queue.lock();
            if queue.closed {
                return Err(Refused::Closed(message));
            }
            if queue.messages.len() >= queue.capacity {
                return Err(Refused::Full(message));
            }
            queue.messages.push_back(message);
        }
        self.0.changed.ring();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` when all have been received and no more will come.
    ///
    /// Cancel safe: a message is taken at the last poll, or not at all.
    pub(crate) async fn next(&self) -> Option<T> {
        let look = || {
            let mut queue = self.0.queue.lock();
            let message = queue.messages.pop_front();
            if queue.messages.is_empty() && queue.messages.capacity() > KEPT {
                queue.messages = VecDeque::new();
            }
            (message.is_some() || queue.closed).then_some(message)
        };
        self.0.changed.until(look).await
    }

    /// Receives no more, and takes out what is still in the queue.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let mut queue = self.0.queue.lock();
        queue.closed = true;
        if cfg!(mutant = "queue-is-kept") {
            return VecDeque::new();
        }
        std::mem::take(&mut queue.messages)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.changed.ring();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // What is in it goes with the last of the two, without the lock.
        self.0.queue.lock().closed = true;
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn messages_come_in_the_order_in_which_they_were_sent() {
        let (sender, receiver) = channel(2);
        assert_eq!(block_on(poll_once(receiver.next())), None);
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(sender.send(2), Ok(()));
        assert_eq!(sender.send(3), Err(Refused::Full(3)));
        assert_eq!(block_on(receiver.next()), Some(1));
        assert_eq!(sender.send(4), Ok(()));
        drop(sender);
        assert_eq!(block_on(receiver.next()), Some(2));
        assert_eq!(block_on(receiver.next()), Some(4));
        assert_eq!(block_on(receiver.next()), None, "no more will come");
    }

    #[test]
    fn whoever_waits_hears_of_a_message_and_of_the_end() {
        let (sender, receiver) = channel(1);
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| block_on(receiver.next()));
            assert_eq!(sender.send('a'), Ok(()));
            assert_eq!(waiting.join().ok().flatten(), Some('a'));
            let waiting = threads.spawn(|| block_on(receiver.next()));
            drop(sender);
            assert_eq!(waiting.join().ok().flatten(), None);
        });
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let (sender, receiver) = channel(usize::MAX);
        let room = || receiver.0.queue.lock().messages.capacity();
        for most in [KEPT, 10 * KEPT] {
            for message in 0..most {
                assert_eq!(sender.send(message), Ok(()));
            }
            assert!(room() >= most);
            for message in 0..most {
                assert_eq!(block_on(receiver.next()), Some(message));
            }
            assert_eq!(room(), if most > KEPT { 0 } else { KEPT });
        }
    }

    #[test]
    fn what_nobody_will_receive_comes_back() {
        let (sender, receiver) = channel(3);
        assert_eq!(sender.send('a'), Ok(()));
        assert_eq!(receiver.close(), ['a']);
        assert_eq!(sender.send('b'), Err(Refused::Closed('b')));
        assert_eq!(receiver.close(), []);

        let (sender, receiver) = channel(1);
        drop(receiver);
        assert_eq!(sender.send('c').map_err(Refused::into_inner), Err('c'));
    }
}
