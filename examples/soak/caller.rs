//! The load: one task that asks for connections, uses them, and misbehaves now and then.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use fastrand::Rng;
use futures_lite::future::poll_once;
use tokio::time::{sleep, sleep_until, timeout};
use watertight::{AcquireError, Pool, PooledConnection};

use crate::server::{AfterCare, Failure, OnPurpose, Servers, panic_on_purpose};
use crate::tally::Tally;
use crate::weather::{Weather, millis};

pub(crate) type Guard = PooledConnection<Servers>;

/// How long a caller waits for a connection, unless it is impatient. Longer than any outage.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a request may take that was not injected any fault.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What to do in one round.
#[derive(Clone, Copy, Debug)]
enum Round {
    /// Ask, use, give back.
    Plain,
    /// Go away while waiting for a connection.
    Cancel(Duration),
    /// Ask, look elsewhere, and go away.
    Ignore(Duration),
    /// Have a deadline that is likely to pass.
    Impatient(Duration),
    /// Give back what needs recycling.
    Soil(AfterCare),
    /// Give back and wait until that is done.
    Release,
    /// Drop the guard on a thread that no runtime knows.
    DropOnThread,
    /// Abort the holder, so long after its request was sent.
    Abort(Duration),
    /// Panic, with or without a request under way.
    Panic {
        mid_request: bool,
    },
    Discard,
    Detach,
}

impl Round {
    fn draw(rng: &mut Rng) -> Round {
        match rng.u16(..1000) {
            0..20 => Round::Cancel(millis(rng, 0..60)),
            20..30 => Round::Ignore(millis(rng, 0..150)),
            30..50 => Round::Impatient(millis(rng, 0..60)),
            50..80 => Round::Soil(AfterCare::Slow(millis(rng, 1..40))),
            80..82 => Round::Soil(AfterCare::Fail),
            82..84 => Round::Soil(AfterCare::Panic),
            84..94 => Round::Release,
            94..110 => Round::DropOnThread,
            110..115 => Round::Abort(millis(rng, 0..5)),
            115..117 => Round::Panic {
                mid_request: rng.bool(),
            },
            117..119 => Round::Discard,
            119..121 => Round::Detach,
            _ => Round::Plain,
        }
    }
}

/// What all callers share.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) pool: Pool<Servers>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) weather: Arc<Weather>,
    /// To the thread that drops guards.
    pub(crate) thread: mpsc::Sender<Guard>,
}

/// One of the many. Its seed alone decides what it does in which round.
#[derive(Debug)]
pub(crate) struct Caller {
    number: usize,
    rng: Rng,
    around: Surroundings,
    requests: u64,
}

impl Caller {
    pub(crate) fn new(number: usize, seed: u64, around: Surroundings) -> Self {
        Caller {
            number,
            rng: Rng::with_seed(seed),
            around,
            requests: 0,
        }
    }

    /// Calls until the load is over. Each round is bounded by its time-outs.
    pub(crate) async fn call(mut self) {
        while !self.tally().is_over() {
            let round = Round::draw(&mut self.rng);
            self.play(round).await;
            sleep(millis(&mut self.rng, 0..10)).await;
            if let Some(end) = self.around.weather.calm_until() {
                sleep_until(end).await;
            }
        }
    }

    async fn play(&mut self, round: Round) {
        match round {
            Round::Cancel(after) => self.cancel(after).await,
            Round::Ignore(after) => self.ignore(after).await,
            Round::Impatient(within) => self.be_impatient(within).await,
            _ => {
                if let Some(guard) = self.acquire().await {
                    self.hold(guard, round).await;
                }
            }
        }
    }

    async fn hold(&mut self, mut guard: Guard, round: Round) {
        let tally = Arc::clone(&self.around.tally);
        match round {
            Round::Abort(after) => return self.abort(guard, after).await,
            Round::Panic { mid_request } => return self.panic(guard, mid_request).await,
            Round::Detach => return self.detach(guard).await,
            _ => self.request(&mut guard).await,
        }
        match round {
            Round::Soil(care) => {
                match care {
                    AfterCare::Slow(_) => tally.slow_returns.add(),
                    AfterCare::Fail | AfterCare::Panic => tally.failed_returns.add(),
                }
                guard.soil(care);
            }
            Round::Release => {
                tally.awaited_returns.add();
                Guard::release(guard).await;
            }
            Round::Discard => {
                tally.discarded.add();
                Guard::discard(guard);
            }
            Round::DropOnThread => {
                tally.thread_returns.add();
                // Should the thread be gone, the guard comes back in the error and drops here.
                let _ = self.around.thread.send(guard);
            }
            _ => {}
        }
    }

    /// Waits for a connection like a patient caller.
    async fn acquire(&self) -> Option<Guard> {
        let expected = self.tally().expect(self.number, PATIENCE);
        let result = self.around.pool.acquire_timeout(PATIENCE).await;
        drop(expected);
        match result {
            Ok(guard) => {
                self.tally().lent.add();
                Some(guard)
            }
            Err(error) => {
                self.tally().timed_out.add();
                if !error.is_timed_out() {
                    self.tally()
                        .surprise(|| format!("a patient caller got: {error}"));
                }
                None
            }
        }
    }

    async fn cancel(&mut self, after: Duration) {
        let result = timeout(after, self.around.pool.acquire_timeout(PATIENCE)).await;
        self.had(result.ok()).await;
    }

    /// Asks, and does not look at the answer: a connection that is its own by then comes back
    /// unseen when it goes away.
    async fn ignore(&mut self, after: Duration) {
        let pool = self.around.pool.clone();
        let mut acquire = Box::pin(pool.acquire_timeout(PATIENCE));
        let at_once = poll_once(acquire.as_mut()).await;
        if at_once.is_none() {
            sleep(after).await;
        }
        drop(acquire);
        self.had(at_once).await;
    }

    /// What a caller had when it went away.
    async fn had(&mut self, result: Option<Result<Guard, AcquireError<Failure>>>) {
        match result {
            None => self.tally().cancelled.add(),
            Some(Ok(mut guard)) => {
                self.tally().lent.add();
                self.request(&mut guard).await;
            }
            Some(Err(error)) => self
                .tally()
                .surprise(|| format!("a caller about to leave got: {error}")),
        }
    }

    async fn be_impatient(&mut self, within: Duration) {
        let expected = self.around.tally.expect(self.number, within);
        let result = self.around.pool.acquire_timeout(within).await;
        drop(expected);
        match result {
            Ok(mut guard) => {
                self.tally().lent.add();
                self.request(&mut guard).await;
            }
            Err(error) if error.is_timed_out() => self.tally().impatient.add(),
            Err(error) => self
                .tally()
                .surprise(|| format!("an impatient caller got: {error}")),
        }
    }

    /// One request whose answer must be its own.
    async fn request(&mut self, guard: &mut Guard) {
        let text = self.next_text();
        let work = self.draw_work();
        let result = timeout(ANSWER_WITHIN, guard.request(&text, work)).await;
        let tally = self.tally();
        match result {
            Ok(Ok(())) => tally.answered.add(),
            Ok(Err(Failure::Crossed)) => tally.crossed.add(),
            _ if guard.was_killed() => tally.lost_to_kills.add(),
            Ok(Err(error)) => tally.surprise(|| format!("a request failed: {error} ({error:?})")),
            Err(_) => tally.unanswered.add(),
        }
    }

    /// The holder is a task that is aborted while its request is under way.
    async fn abort(&mut self, mut guard: Guard, after: Duration) {
        let text = self.next_text();
        let work = Duration::from_millis(4);
        let holder = tokio::spawn(async move { guard.request(&text, work).await });
        sleep(after).await;
        holder.abort();
        match holder.await {
            Err(error) if error.is_cancelled() => self.tally().aborted.add(),
            Ok(Ok(())) => self.tally().answered.add(),
            Ok(Err(Failure::Crossed)) => self.tally().crossed.add(),
            // Killed: the guard that could confirm it is gone.
            Ok(Err(_)) => self.tally().lost_to_kills.add(),
            Err(error) => self.tally().surprise(|| format!("a holder died: {error}")),
        }
    }

    /// The holder is a task that panics.
    async fn panic(&mut self, mut guard: Guard, mid_request: bool) {
        let text = self.next_text();
        let holder = tokio::spawn(async move {
            if mid_request {
                let request = guard.request(&text, Duration::from_millis(2));
                let _ = timeout(Duration::from_micros(100), request).await;
            }
            panic_on_purpose();
        });
        let died_on_purpose = match holder.await {
            Ok(()) => false,
            Err(error) => error
                .try_into_panic()
                .is_ok_and(|payload| payload.is::<OnPurpose>()),
        };
        match died_on_purpose {
            true => self.tally().panicked.add(),
            false => self
                .tally()
                .surprise(|| "a holder did not panic as it should".into()),
        }
    }

    /// Takes the connection out of the pool, and ends it after a last request.
    async fn detach(&mut self, mut guard: Guard) {
        self.tally().detached.add();
        // Before its place is free, or there would seem to be one too many.
        guard.leave_pool();
        let mut server = Guard::detach(guard);
        let text = self.next_text();
        let _ = timeout(ANSWER_WITHIN, server.request(&text, Duration::ZERO)).await;
        server.end().await;
    }

    fn next_text(&mut self) -> String {
        self.requests += 1;
        format!("caller {} request {}", self.number, self.requests)
    }

    fn draw_work(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(0..4_000))
    }

    fn tally(&self) -> &Tally {
        &self.around.tally
    }
}
