//! Callers that want a connection, ask something, and want the next.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use watertight::{Manager, Pool};

use crate::flavour::{Flavour, Session};
use crate::millis;
use crate::mode::Mode;

/// How it went since it was last asked.
#[derive(Debug, Default)]
pub struct Tally {
    /// Right answers.
    pub answers: u64,
    /// Calls to `acquire` that ended at their deadline.
    pub timed_out: u64,
    /// Those that failed otherwise.
    pub refused: Vec<String>,
    /// Requests that failed.
    pub failed: Vec<String>,
    /// Requests that the caller had no more patience for.
    pub given_up: u64,
    /// The longest that any call to `acquire` took.
    pub longest_acquire: Duration,
}

impl Tally {
    /// How often something went wrong.
    pub fn missed(&self) -> u64 {
        let errors = self.refused.len() + self.failed.len();
        self.timed_out + self.given_up + errors as u64
    }

    /// Nothing went wrong, whether or not anything was done.
    pub fn assert_no_error(&self) {
        assert_eq!(self.missed(), 0, "{self:?}");
    }

    /// Nothing went wrong, and something was done.
    pub fn assert_flawless(&self) {
        self.assert_no_error();
        assert!(self.answers > 0, "{self:?}");
    }
}

type Join = Pin<Box<dyn Future<Output = ()>>>;

pub struct Crowd {
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    callers: Vec<Join>,
}

impl Crowd {
    /// Sends `callers`, each with so much patience for an answer.
    pub fn start<F: Flavour>(pool: &Pool<F::Manager>, callers: usize, patience: Duration) -> Self {
        let (tally, over) = <(Arc<Mutex<Tally>>, Arc<AtomicBool>)>::default();
        let callers = (0..callers).map(|_| {
            let (pool, tally, over) = (pool.clone(), Arc::clone(&tally), Arc::clone(&over));
            Box::pin(F::Mode::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    call::<F>(&pool, &tally, patience).await;
                    F::Mode::sleep(millis(2)).await;
                }
            })) as Join
        });
        let callers = callers.collect();
        Crowd {
            tally,
            over,
            callers,
        }
    }

    /// How it went since this was last asked.
    pub fn so_far(&self) -> Tally {
        mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the last of them is through.
    pub async fn stop(self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await;
        }
        mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn call<F: Flavour>(pool: &Pool<F::Manager>, tally: &Mutex<Tally>, patience: Duration) {
    let begin = Instant::now();
    let acquired = F::Mode::acquire(pool).await;
    let took = begin.elapsed();
    let note = |change: &mut dyn FnMut(&mut Tally)| {
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.longest_acquire = tally.longest_acquire.max(took);
        change(&mut tally);
    };
    let mut session = match acquired {
        Ok(session) => session,
        Err(error) if error.is_timed_out() => return note(&mut |tally| tally.timed_out += 1),
        Err(error) => return note(&mut |tally| tally.refused.push(error.to_string())),
    };
    let answer = F::Mode::within(patience, ask(&mut *session, F::REQUEST)).await;
    drop(session);
    note(&mut |tally| match &answer {
        Some(Ok(answer)) if answer == F::ANSWER => tally.answers += 1,
        Some(Ok(answer)) => tally.failed.push(format!("a wrong answer: {answer:?}")),
        Some(Err(error)) => tally.failed.push(error.clone()),
        None => tally.given_up += 1,
    });
}

async fn ask<S: Session>(session: &mut S, request: &str) -> Result<String, String> {
    session.ask(request).await
}

/// Lends all there are at once, and asks each something: no place is lost.
pub async fn assert_every_place_serves<F: Flavour>(pool: &Pool<F::Manager>) {
    let mut sessions = Vec::new();
    for _ in 0..pool.status().max_size {
        sessions.push(
            F::Mode::acquire(pool)
                .await
                .expect("there is one for everybody"),
        );
    }
    assert!(pool.try_acquire().is_none());
    for session in &mut sessions {
        assert_eq!(
            ask(&mut **session, F::REQUEST).await.as_deref(),
            Ok(F::ANSWER)
        );
    }
}

/// Sessions that the pool would call its own.
pub fn settled<M: Manager>(pool: &Pool<M>) -> (usize, usize) {
    let status = pool.status();
    (status.idle, status.size)
}
