//! The settings of a pool, one method each.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::config::{CheckPolicy, Config, ConnectPolicy, IdleOrder, PausePolicy, QueueOrder};
use crate::error::BuildError;
use crate::manager::Manager;
use crate::observer::{Audience, Observer};
use crate::overload::ControlledDelay;
use crate::pool::Pool;
use crate::primitives::{Arc, contain};
use crate::runtime::{self, Runtime};
use crate::shared::{Handle, Shared};
use crate::sync_pool::SyncPool;

/// Configures a pool; made by [`Pool::builder`] and [`SyncPool::builder`].
///
/// Setters never panic and never correct anything: whatever makes no sense is reported by
/// `build()`. Where `None` makes sense it turns the option off, and any duration is legal, however
/// long.
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<M: Manager, P = Pool<M>> {
    manager: M,
    config: Config,
    runtime: Option<Arc<dyn Runtime>>,
    audience: Audience,
    product: PhantomData<fn() -> P>,
}

impl<M: Manager, P> Builder<M, P> {
    pub(crate) fn new(manager: M) -> Self {
        Builder {
            manager,
            config: Config::default(),
            runtime: None,
            audience: Audience::default(),
            product: PhantomData,
        }
    }

    fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The most connections there may be at any instant, whatever state they are in. 10 unless
    /// set; 0 is an error.
    pub fn max_size(self, connections: usize) -> Self {
        self.set(|config| config.max_size = connections)
    }

    /// How many connections to keep idle, made in advance and without anybody asking. 0 unless
    /// set. It is kept up as far as `max_size` allows; when connections reach the end of their
    /// lifetime there may be fewer until new ones are made. Where connecting takes longer than the pool
    /// [expects](Builder::connect_timeout) there may be more for a while, up to `max_size`.
    pub fn min_idle(self, connections: usize) -> Self {
        self.set(|config| config.min_idle = connections)
    }

    /// The most connections to keep idle: what comes back beyond that is closed, unless somebody
    /// waits for it. 0 keeps none. No limit unless set.
    pub fn max_idle(self, connections: impl Into<Option<usize>>) -> Self {
        let connections = connections.into();
        self.set(|config| config.max_idle = connections)
    }

    /// How many callers may wait for a connection to be given back: one more fails at once with
    /// [`QueueFull`](crate::AcquireError::QueueFull). No limit unless set.
    ///
    /// Those for whom a connection is being made or checked, or could be, do not count, so with 0
    /// the pool still connects, and nobody waits while all connections are lent. Set it where a
    /// late answer is worth less than an early refusal: a caller in a queue of a thousand holds
    /// memory, a socket and somebody else's patience.
    pub fn max_waiters(self, callers: impl Into<Option<usize>>) -> Self {
        let callers = callers.into();
        self.set(|config| config.max_waiters = callers)
    }

    /// Turns away those who would wait in vain when more work comes than can be done: *controlled
    /// delay*. Off unless set; 50 milliseconds and 2 seconds are good values to begin with; zero is an
    /// error, and an interval of less than a millisecond counts as one.
    ///
    /// The pool is *slow* from the moment that a whole `interval` went by in which even the shortest
    /// wait was longer than `target`. Then whoever has waited for more than twice `target` when a
    /// connection comes free is answered with [`Shed`](crate::AcquireError::Shed), and the first who
    /// has not is served, so that those who are served waited for about twice `target` at most, and no
    /// connection is idle as long as there is one who has not. One wait of no more than `target` ends it
    /// with the interval. A burst that is over within an interval costs nobody anything (within two, if
    /// the first who wait for it are served within `target`); if nothing comes free at all, those who
    /// wait are turned away after two to three intervals.
    ///
    /// Without this, everybody waits for as long as his deadline allows when the pool is overloaded,
    /// and the work that is done is for those who are about to give up. Measured with twice as many
    /// clients as can be served, each patient for a second: 11 % of the possible answers came in time
    /// without it; with 50 milliseconds and 2 seconds all did, after waits of 107 milliseconds at most,
    /// and with [`AdaptiveLifo`](crate::QueueOrder::AdaptiveLifo) half of them after less than one. (The
    /// start is not counted: it takes the pool two intervals to know.) `cargo run --release --example
    /// overload --features test-util` measures it again.
    ///
    /// What somebody has waited before a [pause](Pool::pause) was over does not count.
    ///
    /// The rule is that of Elixir's `db_connection`, which goes back to the CoDel of Nichols and
    /// Jacobson ("Controlling Queue Delay", ACM Queue, 2012).
    pub fn controlled_delay(self, target: Duration, interval: Duration) -> Self {
        let rule = ControlledDelay { target, interval };
        self.set(|config| config.controlled_delay = Some(rule))
    }

    /// In which order those who wait are served. As they came, unless set.
    pub fn queue_order(self, order: QueueOrder) -> Self {
        self.set(|config| config.queue_order = order)
    }

    /// How many connections may be in the making at a time. No limit but `max_size` unless set; 0
    /// is an error. An attempt that hangs counts until it is over: with a limit of 1 it holds up all
    /// others for its [`connect_timeout`](Builder::connect_timeout).
    pub fn connect_concurrency(self, connects: impl Into<Option<usize>>) -> Self {
        let connects = connects.into();
        self.set(|config| config.connect_concurrency = connects)
    }

    /// Room in the queue of returned connections that need recycling or closing; also how many of
    /// them are worked on at a time. No limit but the number of places unless set; 0 is
    /// an error.
    ///
    /// When it is full, a connection that needs recycling is closed instead, which does not wait
    /// for the queue.
    pub fn return_queue(self, connections: impl Into<Option<usize>>) -> Self {
        let connections = connections.into();
        self.set(|config| config.return_queue = connections)
    }

    /// How long [`acquire`](Pool::acquire) may take in all: waiting, checking and connecting. 30
    /// seconds unless set; `None` waits without limit; zero is an error (it could never lend what
    /// has yet to be made; see [`acquire_timeout`](Pool::acquire_timeout) for a single call).
    pub fn acquire_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.set(|config| config.acquire_timeout = limit)
    }

    /// How long one attempt to [connect](Manager::connect) may take. 10 seconds unless set; `None`
    /// sets no limit, so that a server which never answers keeps a place for ever; zero is an
    /// error.
    ///
    /// Nobody waits that long for an attempt that hangs: once it is *overdue*, it goes on, but is counted
    /// on no more, and another begins beside it if somebody waits or [`min_idle`](Builder::min_idle) is
    /// not reached. It is overdue when it takes four times as long as attempts do that succeed, and 250
    /// milliseconds at least; when none has succeeded yet, a tenth of this time-out, but a second at
    /// least and ten at most. So a server that is suddenly slow gets more connects at a time, though
    /// never more than `max_size`, nor than
    /// [`connect_concurrency`](Builder::connect_concurrency), which is the brake to use where that is
    /// too many. What they come to is kept, as far as `max_idle` allows.
    pub fn connect_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.set(|config| config.connect_timeout = limit)
    }

    /// How long one [check](Manager::check) may take. 5 seconds unless set; `None` sets no limit;
    /// zero is an error.
    pub fn check_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.set(|config| config.check_timeout = limit)
    }

    /// How long one [recycling](Manager::recycle) may take. 5 seconds unless set; `None` sets no
    /// limit; zero is an error.
    pub fn recycle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.set(|config| config.recycle_timeout = limit)
    }

    /// How long saying [goodbye](Manager::close) may take before the connection is just dropped.
    /// 5 seconds unless set; `None` sets no limit; zero is an error.
    pub fn close_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.set(|config| config.close_timeout = limit)
    }

    /// How long a connection may be idle before it is closed, as long as more than `min_idle` are.
    /// 10 minutes unless set; `None` keeps idle ones for ever; zero is an error.
    ///
    /// It counts from the last return; checks do not renew it. As the one that came back last is lent
    /// first, what is idle for so long is what even the highest demand of that time had no use for:
    /// a pool that breathes keeps what its peaks need, and shrinks when they do. While the pool is busy its clock is
    /// read once a *tick* (a second, or a tenth of the shortest of this, `max_lifetime`, `keepalive` and
    /// the age in `check_policy`, whichever is less), so a connection may be closed late by one tick.
    /// It is never closed early, as long as the runtime is not late by more than a tick to run the
    /// pool's maintenance, because something blocks it.
    pub fn idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.set(|config| config.idle_timeout = limit)
    }

    /// Checks idle connections in the background that have not been used, or checked, for this long.
    /// Off unless set; zero is an error.
    ///
    /// One that passes goes back to its place; one that fails is closed, and replaced as `min_idle`
    /// asks. It keeps connections from being cut by a firewall that forgets silent ones, and finds
    /// dead ones before a caller does. Being checked is not being used: it does not renew the idle
    /// time. It may be late by one tick (see [`idle_timeout`](Builder::idle_timeout)). Nothing is checked
    /// in the background while somebody waits, nor in a [pause](crate::Pool::pause).
    pub fn keepalive(self, period: impl Into<Option<Duration>>) -> Self {
        let period = period.into();
        self.set(|config| config.keepalive = period)
    }

    /// How many connections may be checked at a time for [`keepalive`](Builder::keepalive), and be out
    /// of reach meanwhile. 4 unless set; 0 is an error.
    pub fn keepalive_concurrency(self, checks: usize) -> Self {
        self.set(|config| config.keepalive_concurrency = checks)
    }

    /// How old a connection may get. 30 minutes unless set; `None` lets them live for ever; zero
    /// is an error.
    ///
    /// An idle one is closed at that age, a lent one when it comes back, and none is lent that is
    /// older. On a runtime that is late to run the pool's maintenance by more than a tick (see
    /// [`idle_timeout`](Builder::idle_timeout)), because something blocks it, one may be lent
    /// late by that much. The same holds for a runtime that
    /// nobody runs for a while, and for a paused clock: let the maintenance run (yield once) after
    /// advancing it.
    pub fn max_lifetime(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.set(|config| config.max_lifetime = limit)
    }

    /// Which part of `max_lifetime` is left to chance, as a fraction from 0 up to but not
    /// including 1, so that connections which were born together do not die together. 0.1 unless
    /// set: each lifetime is drawn, once, from the last tenth below `max_lifetime`.
    pub fn lifetime_jitter(self, fraction: f64) -> Self {
        self.set(|config| config.lifetime_jitter = fraction)
    }

    /// How often a connection may be lent before it is closed. No limit unless set; 1 makes every
    /// connection single-use; 0 is an error.
    pub fn max_uses(self, loans: impl Into<Option<u64>>) -> Self {
        let loans = loans.into();
        self.set(|config| config.max_uses = loans)
    }

    /// When an idle connection is checked before it is lent. If it has been idle for a second,
    /// unless set.
    ///
    /// A caller without patience, by [`try_acquire`](Pool::try_acquire) or an
    /// [`acquire_timeout`](Pool::acquire_timeout) of zero, gets one that was not checked, whatever this
    /// says. And for how long one has been idle the pool knows only as well as its maintenance runs: on a
    /// runtime that is run now and then (`block_on` once every few minutes), or in a process that was
    /// stopped, what was idle all the while may be lent unchecked until the maintenance has had its turn.
    /// There [`CheckPolicy::Always`] is for you, or a runtime that runs by itself.
    pub fn check_policy(self, policy: CheckPolicy) -> Self {
        self.set(|config| config.check_policy = policy)
    }

    /// Which idle connection is lent first. The last to come back, unless set.
    pub fn idle_order(self, order: IdleOrder) -> Self {
        self.set(|config| config.idle_order = order)
    }

    /// What a failed attempt to connect means to those who wait. They wait on while the pool tries
    /// again, unless set.
    pub fn connect_policy(self, policy: ConnectPolicy) -> Self {
        self.set(|config| config.connect_policy = policy)
    }

    /// What a [pause](Pool::pause) means to those who want a connection. They wait, unless set.
    pub fn pause_policy(self, policy: PausePolicy) -> Self {
        self.set(|config| config.pause_policy = policy)
    }

    /// Whether one failed [check](Manager::check) condemns all connections that were made before
    /// it: idle ones are closed without a check of their own, lent ones when they come back. Not
    /// unless set.
    ///
    /// Set it where connections die together, as when a database fails over: then a hundred dead
    /// ones cost one failed check, not a hundred time-outs one after the other. Leave it where they
    /// die one by one, since healthy ones are closed as well. Those in the making are spared, but for
    /// those of before a [spread reset](Pool::reset_over) that is not over.
    ///
    /// What is condemned so counts as closed by a [`Reset`](crate::CloseReason::Reset), and
    /// [`wait_reset`](Pool::wait_reset) waits for it. [`Manager::renew`] is not called, and observers are
    /// told of no reset.
    pub fn reset_on_failed_check(self, on: bool) -> Self {
        self.set(|config| config.reset_on_failed_check = on)
    }

    /// The runtime to use. Unless set it is looked for when the pool is built: the tokio runtime
    /// that `build` is called in; for a [`SyncPool`], tokio's background
    /// thread; smol's global executor; whichever feature is on.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    /// Looks for leaks: whoever holds a connection for longer than this is reported, once, with the
    /// line of code that acquired it and the task and thread that did (see [`Loan`](crate::Loan)).
    /// Off unless set; zero is an error.
    ///
    /// The report goes to [`Observer::leaked`], with the feature `tracing` also to the log, and is
    /// counted in [`Statistics::leaks`](crate::Statistics::leaks). A second one says so if the
    /// connection comes back after all. [`Pool::loans`] lists what is lent at the moment, also while
    /// a pool that is closing waits for it, which reports nothing any more. A function that acquires
    /// for others is reported itself, unless it is `#[track_caller]` as well. What was handed to a caller
    /// whose future has not been polled since is in use, and nobody's loan yet.
    ///
    /// The holder is not disturbed, and there is no limit after which the connection is taken from
    /// him: he has a plain `&mut` to it, and in safe Rust nobody else can get hold of it before he
    /// lets go. A guard that could be emptied from outside would have to lock and look at every use
    /// of every connection, for everybody. Use a time-out around what the holder does, which drops
    /// the guard; [`close_within`](Pool::close_within) does not wait for him.
    ///
    /// Set it to several times the longest that a connection should be held, where the pool runs
    /// dry and nobody knows why. Every loan is noted down then: it takes the lock four times instead
    /// of twice, reads the clock twice and allocates (from then on, even if it is switched off at run
    /// time). After a loan that was short the pool may wake
    /// up once for nothing, when it would have been too long.
    pub fn leak_threshold(self, threshold: impl Into<Option<Duration>>) -> Self {
        let threshold = threshold.into();
        self.set(|config| config.leak_threshold = threshold)
    }

    /// What the pool is called: in the log (feature `tracing`), and in the debug output of
    /// [`Pool`](crate::Pool) and [`SyncPool`](crate::SyncPool). Nothing unless set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.audience.tracer.pool = Some(name.into().into());
        self
    }

    /// Who is to be told what happens in the pool. Nobody unless set; called more than once, all of
    /// them.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.audience.observers.push(Arc::new(observer));
        self
    }

    /// The settings, found to make sense, and the runtime.
    pub(crate) fn settle(&self, blocking: bool) -> Result<(Config, Arc<dyn Runtime>), BuildError> {
        self.config.validate()?;
        let runtime = match &self.runtime {
            Some(runtime) => Arc::clone(runtime),
            None => runtime::discover(blocking).ok_or(BuildError::NoRuntime)?,
        };
        // Better to learn of a missing timer now than in the first wait of a busy night.
        contain(|| drop(runtime.sleep_until(runtime.now()))).ok_or(BuildError::NoTimer)?;
        Ok((self.config, runtime))
    }

    /// Who is to be told.
    pub(crate) fn take_audience(&mut self) -> Audience {
        std::mem::take(&mut self.audience)
    }

    fn start(self, blocking: bool) -> Result<Arc<Handle<M>>, BuildError> {
        let (config, runtime) = self.settle(blocking)?;
        Ok(Shared::start(
            self.manager,
            config,
            runtime,
            self.audience,
            None,
        ))
    }
}

impl<M: Manager> Builder<M> {
    /// Builds the pool. It connects to nothing before it returns; if `min_idle` is set it begins
    /// to, in the background (see [`fill`](Pool::fill)).
    ///
    /// # Errors
    ///
    /// A [`BuildError`] for a setting that makes no sense, if no runtime was given or found, or if it has
    /// no timer.
    ///
    /// # Panics
    ///
    /// If [`Manager::attach`] does.
    pub fn build(self) -> Result<Pool<M>, BuildError> {
        self.start(false).map(Pool::from_handle)
    }
}

impl<M: Manager> Builder<M, SyncPool<M>> {
    /// Builds the pool. It connects to nothing before it returns; if `min_idle` is set it begins
    /// to, in the background (see [`fill`](SyncPool::fill)).
    ///
    /// # Errors
    ///
    /// A [`BuildError`] for a setting that makes no sense, if no runtime was given or found, or if it has
    /// no timer.
    ///
    /// # Panics
    ///
    /// If [`Manager::attach`] does.
    pub fn build(self) -> Result<SyncPool<M>, BuildError> {
        let handle = self.start(true)?;
        Ok(SyncPool::over(Pool::from_handle(handle)))
    }
}

impl<M: Manager, P> fmt::Debug for Builder<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.audience.tracer.pool)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
