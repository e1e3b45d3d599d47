//! In the place of `async-channel`: as much of it as the crate uses, over the model's mutex.
//!
//! async-channel itself would pass every model: a checker sees nothing of its atomics, and so never
//! switches there. And it wakes while it holds a lock of event-listener's, which is not the
//! model's, so a waker that the checker switches in would hang the whole execution.
//!
//! Each operation is one critical section, as it is one atomic step for those who use it. Everybody
//! who waits is woken at every change, which is more than async-channel promises, but whoever is
//! woken in vain only looks again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use checker::sync::Mutex;

struct Channel<T> {
    queue: Mutex<Queue<T>>,
}

struct Queue<T> {
    messages: VecDeque<T>,
    capacity: usize,
    closed: bool,
    senders: usize,
    receivers: usize,
    waiting: Vec<(usize, Waker)>,
    next: usize,
}

pub struct Sender<T>(Arc<Channel<T>>);

pub struct Receiver<T>(Arc<Channel<T>>);

#[derive(Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    Full(T),
    Closed(T),
}

#[derive(Debug, PartialEq, Eq)]
pub struct SendError<T>(pub T);

#[derive(Debug, PartialEq, Eq)]
pub struct RecvError;

#[derive(Debug, PartialEq, Eq)]
pub enum TryRecvError {
    Empty,
    Closed,
}

pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        queue: Mutex::new(Queue {
            messages: VecDeque::new(),
            capacity,
            closed: false,
            senders: 1,
            receivers: 1,
            waiting: Vec::new(),
            next: 0,
        }),
    });
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

impl<T> Channel<T> {
    /// Changes the queue, and wakes everybody after it has been unlocked.
    fn change<R>(&self, change: impl FnOnce(&mut Queue<T>) -> R) -> R {
        let (result, waiting) = {
            let mut queue = self.queue.lock().expect("no panic in here");
            let result = change(&mut queue);
            (result, std::mem::take(&mut queue.waiting))
        };
        for (_, waker) in waiting {
            waker.wake();
        }
        result
    }

    fn close(&self) {
        self.change(|queue| queue.closed = true);
    }
}

/// One who waits: leaves its waker, and takes it away when it is dropped.
struct Wait<'a, T> {
    channel: &'a Channel<T>,
    key: Option<usize>,
}

impl<'a, T> Wait<'a, T> {
    fn new(channel: &'a Channel<T>) -> Self {
        Wait { channel, key: None }
    }

    /// Looks, and leaves a waker in the same critical section if there is nothing to see.
    fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        look: impl FnOnce(&mut Queue<T>) -> Option<R>,
    ) -> Poll<R> {
        let fresh = cx.waker().clone();
        let mut queue = self.channel.queue.lock().expect("no panic in here");
        let old = self.take_waker(&mut queue);
        let result = look(&mut queue);
        let woken = match &result {
            Some(_) => std::mem::take(&mut queue.waiting),
            None => {
                let key = queue.next;
                queue.next += 1;
                queue.waiting.push((key, fresh));
                self.key = Some(key);
                Vec::new()
            }
        };
        drop(queue);
        drop(old);
        for (_, waker) in woken {
            waker.wake();
        }
        result.map_or(Poll::Pending, Poll::Ready)
    }

    fn take_waker(&mut self, queue: &mut Queue<T>) -> Option<Waker> {
        let key = self.key.take()?;
        let index = queue.waiting.iter().position(|(other, _)| *other == key)?;
        Some(queue.waiting.remove(index).1)
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        if self.key.is_some() {
            let mut queue = self.channel.queue.lock().expect("no panic in here");
            let waker = self.take_waker(&mut queue);
            drop(queue);
            drop(waker);
        }
    }
}

impl<T> Queue<T> {
    fn push(&mut self, message: T) -> Result<(), TrySendError<T>> {
        if self.closed {
            Err(TrySendError::Closed(message))
        } else if self.messages.len() >= self.capacity {
            Err(TrySendError::Full(message))
        } else {
            self.messages.push_back(message);
            Ok(())
        }
    }

    fn pop(&mut self) -> Result<T, TryRecvError> {
        match self.messages.pop_front() {
            Some(message) => Ok(message),
            None if self.closed => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Sender<T> {
    pub fn close(&self) -> bool {
        self.0.close();
        true
    }

    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.0.change(|queue| queue.push(message))
    }

    pub async fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut message = Some(message);
        let mut wait = Wait::new(&self.0);
        poll_fn(|cx| {
            wait.poll(cx, |queue| match queue.push(message.take()?) {
                Ok(()) => Some(Ok(())),
                Err(TrySendError::Closed(refused)) => Some(Err(SendError(refused))),
                Err(TrySendError::Full(refused)) => {
                    message = Some(refused);
                    None
                }
            })
        })
        .await
    }
}

impl<T> Receiver<T> {
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.change(|queue| queue.pop())
    }

    pub async fn recv(&self) -> Result<T, RecvError> {
        let mut wait = Wait::new(&self.0);
        poll_fn(|cx| {
            wait.poll(cx, |queue| match queue.pop() {
                Ok(message) => Some(Ok(message)),
                Err(TryRecvError::Closed) => Some(Err(RecvError)),
                Err(TryRecvError::Empty) => None,
            })
        })
        .await
    }

    pub fn recv_blocking(&self) -> Result<T, RecvError> {
        let (parker, unparker) = checker::parking::pair();
        let waker = Waker::from(unparker);
        let mut receiving = std::pin::pin!(self.recv());
        loop {
            match receiving.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => parker.park(),
            }
        }
    }

    pub fn close(&self) {
        self.0.close();
    }
}

impl<T> TrySendError<T> {
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(message) | TrySendError::Closed(message) => message,
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.queue.lock().expect("no panic in here").senders += 1;
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.queue.lock().expect("no panic in here").receivers += 1;
        Receiver(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.change(|queue| {
            queue.senders -= 1;
            queue.closed |= queue.senders == 0;
        });
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.change(|queue| {
            queue.receivers -= 1;
            queue.closed |= queue.receivers == 0;
        });
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver")
    }
}
