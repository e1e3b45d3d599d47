//! What an operator does to a pool while it runs.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::time::Duration;

use crate::config::Config;
use crate::error::BuildError;
use crate::manager::Manager;
use crate::pool::Pool;
use crate::primitives::Arc;
use crate::race::race;
use crate::shared::{Shared, reach};
use crate::sync_pool::SyncPool;

macro_rules! changes {
    ($option:ident) => {
        concat!(
            "Changes [`",
            stringify!($option),
            "`](crate::Builder::",
            stringify!($option),
            "):"
        )
    };
}

macro_rules! setters {
    ($($(#[$doc:meta])* $set:ident $option:ident: $type:ty;)*) => {
        /// # Changing settings while the pool runs
        ///
        /// Each does what the [`Builder`](crate::Builder)'s method of that name does, and is a
        /// [`BuildError`] for the same reasons; the pool is left as it was then. Only a `min_idle`
        /// above `max_size` is none here, since that may be changed as well: it counts as `max_size`.
        impl<M: Manager> Pool<M> {
            $(
                #[doc = changes!($option)]
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// A [`BuildError`] if the setting makes no sense.
                pub fn $set(&self, value: $type) -> Result<(), BuildError> {
                    let value = value.into();
                    self.reconfigure(|config| config.$option = value)
                }
            )*
        }

        /// # Changing settings while the pool runs
        ///
        /// Each does what the [`Builder`](crate::Builder)'s method of that name does, and is a
        /// [`BuildError`] for the same reasons; the pool is left as it was then. Only a `min_idle`
        /// above `max_size` is none here, since that may be changed as well: it counts as `max_size`.
        impl<M: Manager> SyncPool<M> {
            $(
                #[doc = changes!($option)]
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// A [`BuildError`] if the setting makes no sense.
                pub fn $set(&self, value: $type) -> Result<(), BuildError> {
                    self.as_async().$set(value)
                }
            )*
        }
    };
}

setters! {
    /// for those who acquire from now on: who waits keeps the deadline that he has.
    set_acquire_timeout acquire_timeout: impl Into<Option<Duration>>;
    /// for attempts that begin from now on.
    set_connect_timeout connect_timeout: impl Into<Option<Duration>>;
    /// for checks that begin from now on.
    set_check_timeout check_timeout: impl Into<Option<Duration>>;
    /// for recyclings that begin from now on.
    set_recycle_timeout recycle_timeout: impl Into<Option<Duration>>;
    /// for closes that begin from now on.
    set_close_timeout close_timeout: impl Into<Option<Duration>>;
    /// for all that are idle, at once.
    set_idle_timeout idle_timeout: impl Into<Option<Duration>>;
    /// for all that are idle, at once.
    set_keepalive keepalive: impl Into<Option<Duration>>;
    /// for connections that are made from now on: those that are there have had theirs drawn.
    set_max_lifetime max_lifetime: impl Into<Option<Duration>>;
    /// more are made at once; fewer are kept as the others age: those that have been idle for longer than
    /// `idle_timeout` already go at once.
    set_min_idle min_idle: usize;
    /// for connections that come back from now on.
    set_max_idle max_idle: impl Into<Option<usize>>;
    /// for those who acquire from now on.
    set_max_waiters max_waiters: impl Into<Option<usize>>;
    /// for loans that begin from now on.
    set_leak_threshold leak_threshold: impl Into<Option<Duration>>;
}

impl<M: Manager> Pool<M> {
    fn reconfigure(&self, change: impl FnOnce(&mut Config)) -> Result<(), BuildError> {
        let shared = self.shared();
        shared.transition(|state, now, fx| state.reconfigure(change, now, fx))?;
        shared.heed_settings();
        Ok(())
    }
}

/// # Operating
impl<M: Manager> Pool<M> {
    /// Changes how many connections there may be. Zero holds everyone up until the next change.
    ///
    /// Growing serves those who wait at once. Shrinking closes idle connections, those that have
    /// been idle longest first, then lent ones as they come back; none is taken from its holder.
    pub fn resize(&self, max_size: usize) {
        self.shared()
            .transition(|state, now, fx| state.resize(max_size, now, fx));
        self.shared().heed_settings();
    }

    /// Closes every connection that is there or in the making, and has new ones made as they are
    /// needed: after credentials or addresses have changed, or to spread over servers anew.
    ///
    /// Idle ones are closed now, lent ones when they come back; none is taken from its holder. One
    /// in the making is closed when it is made; if it fails instead, nobody is told but observers and
    /// the [statistics](Pool::statistics), for that server may be the former one. Failures of before
    /// are forgotten as well: the next attempt waits for no schedule. See
    /// [`wait_reset`](Pool::wait_reset) to know when the last of them is gone.
    ///
    /// # Panics
    ///
    /// If [`Manager::renew`] does; the pool is reset all the same.
    pub fn reset(&self) {
        self.reset_over(Duration::ZERO);
    }

    /// [Resets](Pool::reset) the pool little by little: each connection that is there now or in the
    /// making goes at a moment of its own within `duration`, idle or when it comes back after that.
    /// The server is spared a wave of connects, and the pool a cold start.
    ///
    /// # Panics
    ///
    /// If [`Manager::renew`] does; the pool is reset all the same.
    pub fn reset_over(&self, duration: Duration) {
        let renewed = catch_unwind(AssertUnwindSafe(|| self.shared().manager.renew()));
        self.shared()
            .transition(|state, now, fx| state.reset(duration, now, fx));
        self.shared().tell(|observer| observer.reset());
        renewed.unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Resolves when no connection is left of before the last [reset](Pool::reset), or failed check that
    /// [condemns all](crate::Builder::reset_on_failed_check): at once, if there is none. Another reset in the meantime prolongs the wait.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe.
    pub fn wait_reset(&self) -> impl Future<Output = ()> + Send + use<M> {
        let shared = Arc::clone(self.shared());
        async move { shared.renewed().await }
    }

    /// Lends nothing more until [`resume`](Pool::resume), and resolves when all that is lent has
    /// come back and is recycled: for a fail-over, say, or to move the server. It resolves also when
    /// the pool is resumed or closed meanwhile.
    ///
    /// The pause begins with the call, whether or not the future is ever polled. Those who wait keep
    /// their places in the queue, and their deadlines run on; others join them, or fail at once, see
    /// [`PausePolicy`](crate::PausePolicy). Holders are not disturbed. Connections go on ageing, and
    /// `min_idle` is kept up. It is not an error to pause twice.
    ///
    /// # Cancel safety
    ///
    /// Cancelling it only means not to know: the pool stays paused.
    #[must_use = "the pool is paused all the same; await this to know that nothing is in use"]
    pub fn pause(&self) -> impl Future<Output = ()> + Send + use<M> {
        self.shared().pause()
    }

    /// Ends a [pause](Pool::pause): those who wait are served in their order. Does nothing if the
    /// pool is not paused.
    pub fn resume(&self) {
        let shared = self.shared();
        if shared.transition(|state, now, fx| state.resume(now, fx)) {
            shared.tell(|observer| observer.resumed());
        }
    }

    /// Closes the pool, and resolves when every connection has been closed.
    ///
    /// Closing begins with the call, whether or not the future is ever polled: those who wait get
    /// [`Closed`](crate::AcquireError::Closed), idle connections are closed, lent ones are closed when
    /// they come back, and those in the making when they are made. It is not an error to call it
    /// again.
    ///
    /// It waits for lent connections without limit; see [`close_within`](Pool::close_within).
    ///
    /// # Cancel safety
    ///
    /// Cancelling it only means not to know: the pool goes on closing.
    #[must_use = "the pool closes all the same; await this to know that it has"]
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<M> {
        let shared = Arc::clone(self.shared());
        shared.begin_close();
        async move { shared.drained().await }
    }

    /// Closes the pool, and resolves when every connection has been closed or `grace` has passed.
    /// Returns how many places were still taken then.
    ///
    /// What is still out after the grace period is *severed*: the pool has done with it and is
    /// not waited for any more. Its holder is not disturbed, and when it comes back it is closed.
    /// (A program that ends meanwhile does not wait for that, unless tokio does for a call of a
    /// [`Blocking`](crate::Blocking) manager. tokio drops its tasks, and what they hold, when it shuts
    /// down; smol's global executor does not.)
    ///
    /// # Cancel safety
    ///
    /// Cancelling it only means not to know: the pool goes on closing.
    #[must_use = "the pool closes all the same; await this to know that it has"]
    pub fn close_within(&self, grace: Duration) -> impl Future<Output = usize> + Send + use<M> {
        let shared = Arc::clone(self.shared());
        shared.begin_close();
        let end = shared.now().after(grace).to_instant(shared.origin);
        async move {
            let over = reach(&*shared.runtime, end);
            race(pin!(shared.drained()), pin!(over)).await;
            shared.status().size
        }
    }

    /// Resolves when the pool begins to close: for holders that keep a connection for long, and
    /// for tasks that should end with the pool. It does not keep the pool open.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<M> {
        let signals = Arc::clone(&self.shared().signals);
        let shared = Arc::downgrade(self.shared());
        async move {
            let look = || match shared.upgrade() {
                Some(shared) => shared.is_closed().then_some(()),
                None => Some(()),
            };
            signals.closing.until(look).await;
        }
    }
}

impl<M: Manager> Shared<M> {
    /// Pauses the pool, and resolves when nothing is in use any more, or the pause is over.
    pub(crate) fn pause(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<M> {
        if self.transition(|state, now, fx| state.pause(now, fx)) {
            self.tell(|observer| observer.paused());
        }
        let shared = Arc::clone(self);
        async move {
            let quiet = || (!shared.state.lock().is_quieting()).then_some(());
            shared.signals.progress.until(quiet).await;
        }
    }

    /// Resolves when nothing is left of before the last reset.
    pub(crate) async fn renewed(self: &Arc<Self>) {
        let renewed = || self.state.lock().is_renewed().then_some(());
        loop {
            let unattended = || {
                let state = self.state.lock();
                (!state.is_kept()).then(|| state.wakes_at())
            };
            let progress = &self.signals.progress;
            let seen = progress.until(|| match renewed() {
                Some(()) => Some(None),
                None => unattended().map(Some),
            });
            let Some(due) = seen.await else {
                return;
            };
            // There is no keeper to look after what is due, nor after what comes back before then and
            // is due earlier.
            let sooner = || {
                let state = self.state.lock();
                (state.is_renewed() || state.wakes_at() < due).then_some(())
            };
            let at = due.to_instant(self.origin);
            let at = reach(&*self.runtime, at);
            race(pin!(progress.until(sooner)), pin!(at)).await;
            self.transition(|state, now, fx| state.advance(now, fx));
        }
    }
}
