//! What every handle, guard and task of a pool has in common.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use std::time::Instant;

use crate::attempts::AttemptId;
use crate::bell::Bell;
use crate::channel::{Sender, channel};
use crate::clock::Moment;
use crate::config::Config;
use crate::contained::Ends;
use crate::event::Configured;
use crate::lease::{Held, Lease};
use crate::loan::Loan;
use crate::maintenance;
use crate::manager::Manager;
use crate::observer::{Audience, Observer, Watch};
use crate::primitives::{Arc, Mutex, Weak, contain};
use crate::returns::Return;
use crate::runtime::{BoxFuture, Runtime};
use crate::state::{Effects, Live, Stage, State, Tag};
use crate::status::{CloseReason, Status};
use crate::work;

/// The state, and everything that is called without its lock: manager, runtime, observer.
///
/// Guards and tasks hold this. It outlives the handles (see [`Handle`]), whose end is the
/// pool's shutdown. Whoever drops the last of it is spared the [panics](Ends) of what it has.
pub(crate) struct Shared<M: Manager> {
    pub(crate) state: Mutex<State<M::Connection, M::Error>>,
    pub(crate) manager: Arc<M>,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// When the pool was built: the origin of its [`Moment`]s.
    pub(crate) origin: Instant,
    pub(crate) audience: Audience,
    pub(crate) watch: Watch,
    pub(crate) signals: Arc<Signals>,
    /// A guess that somebody waits, see [`is_crowded`](Shared::is_crowded).
    crowded: AtomicBool,
    /// The way back for connections that need work; its other end belongs to the keeper.
    pub(crate) returns: Sender<Return<M>>,
    /// The handle, for guards that are asked for their pool. Not that of a tenant: what its places
    /// are is for its landlord to say.
    pub(crate) handle: Weak<Handle<M>>,
    pub(crate) landlord: Option<Arc<dyn Landlord<M>>>,
    /// The last of the fields, so the last to be dropped.
    pub(crate) _ends: Ends<M>,
}

/// Whose a tenant's places are, see [`tenancy`](crate::state).
pub(crate) trait Landlord<M: Manager>: Send + Sync {
    /// The number of the tenant.
    fn tenant(&self) -> u64;

    /// Looks how the tenant stands. Called after its transitions, without its lock.
    fn look(&self, tenant: &Arc<Shared<M>>);

    /// A connection of the tenant's is about to come back, or an attempt of its has failed: takes a place
    /// from the tenant, if somebody else has been waiting for one for longer than those who wait here.
    /// Whichever connection comes back first is closed for that. Called without its lock.
    fn claim(&self);
}

/// What can be waited for. Apart from the state, so that to wait is not to keep it alive.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// To the keeper: something is due earlier than you think.
    pub(crate) nudge: Bell,
    /// The pool has begun to close.
    pub(crate) closing: Bell,
    /// The pool is closed and its last place has been given back.
    pub(crate) drained: Bell,
    /// Something has happened that may have made the pool as warm as `fill` wants it, or not.
    pub(crate) progress: Bell,
}

/// What the users' handles share. When the last of them goes, the pool shuts down.
///
/// The count of handles is that of this object, never of [`Shared`]: guards and tasks do not
/// keep a pool open, and no count is compared with a number, which would race.
pub(crate) struct Handle<M: Manager> {
    pub(crate) shared: Arc<Shared<M>>,
}

impl<M: Manager> Drop for Handle<M> {
    fn drop(&mut self) {
        #[cfg(not(mutant = "last-handle-idles"))]
        self.shared.begin_close();
    }
}

/// The present moment on a runtime's clock.
pub(crate) fn now(runtime: &dyn Runtime) -> Instant {
    // A clock may belong to a thread that is being torn down; time goes on all the same.
    contain(|| runtime.now()).unwrap_or_else(Instant::now)
}

/// Resolves when that time has come on a runtime's clock, however early its timers are; never for
/// `None`.
pub(crate) async fn reach(runtime: &dyn Runtime, at: Option<Instant>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    let mut timer: Option<BoxFuture<()>> = None;
    // Whatever the timer says: one of tokio's may never ring in a task that does too much in each turn.
    poll_fn(|cx| {
        if now(runtime) >= at {
            return Poll::Ready(());
        }
        let sleep = timer.get_or_insert_with(|| runtime.sleep_until(at));
        ready!(sleep.as_mut().poll(cx));
        // It may be too early. Come back, rather than insist: who knows what clock that is.
        contain(|| drop(timer.take()));
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<M: Manager> Shared<M> {
    /// Makes a pool and sets its keeper to work.
    pub(crate) fn start(
        manager: M,
        config: Config,
        runtime: Arc<dyn Runtime>,
        audience: Audience,
        landlord: Option<Arc<dyn Landlord<M>>>,
    ) -> Arc<Handle<M>> {
        manager.attach(&runtime);
        let manager = Arc::new(manager);
        let origin = runtime.now();
        let seed = runtime.entropy();
        let (returns, incoming) = channel(config.return_room());
        let mut state = State::new(config, seed);
        if let Some(landlord) = &landlord {
            state.become_tenant(landlord.tenant());
        }
        let handle = Arc::new_cyclic(|handle| Handle {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                _ends: Ends::of(&manager, &runtime, &audience),
                manager,
                runtime,
                origin,
                watch: Watch::new(&audience),
                audience,
                signals: Arc::default(),
                crowded: AtomicBool::new(false),
                returns,
                handle: match landlord {
                    None => handle.clone(),
                    Some(_) => Weak::new(),
                },
                landlord,
            }),
        });
        let shared = &handle.shared;
        shared.heed_settings();
        shared.spawn(Box::pin(maintenance::keep(shared, Some(incoming))));
        shared.transition(|state, now, fx| state.hurry(now, fx));
        handle
    }

    /// True if somebody waits, as far as was last seen. A guess: the short ways would most likely be
    /// tried in vain, and with the lock for nothing. The long ways are right in any case, and whoever
    /// takes one corrects the guess.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_crowded(&self, crowded: bool) {
        self.crowded.store(crowded, Ordering::Relaxed);
    }

    /// One of the settings, which may change while the pool runs.
    pub(crate) fn setting<T>(&self, which: impl FnOnce(&Config) -> T) -> T {
        which(self.state.lock().config())
    }

    /// The present moment on the pool's clock.
    pub(crate) fn now(&self) -> Moment {
        Moment::since(self.origin, now(&*self.runtime))
    }

    /// A timer for this moment; `None` if it never comes.
    pub(crate) fn timer(&self, at: Moment) -> Option<BoxFuture<()>> {
        Some(self.runtime.sleep_until(at.to_instant(self.origin)?))
    }

    /// Changes the state at this moment, then does what follows from it. (The moment is a later one, if a
    /// later one has been seen there already.)
    pub(crate) fn transition<T>(
        self: &Arc<Self>,
        change: impl FnOnce(
            &mut State<M::Connection, M::Error>,
            Moment,
            &mut Effects<M::Connection, M::Error>,
        ) -> T,
    ) -> T {
        let now = self.now();
        self.change(|state, fx| {
            let now = state.latest(now);
            change(state, now, fx)
        })
    }

    /// A [`transition`](Shared::transition) at a moment that has been read already.
    pub(crate) fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(
            &mut State<M::Connection, M::Error>,
            &mut Effects<M::Connection, M::Error>,
        ) -> T,
    ) -> T {
        let mut fx = Effects::new();
        let result = change(&mut self.state.lock(), &mut fx);
        self.carry_out(fx);
        result
    }

    /// Does what a transition asks for. No lock is held here, so everything may be called.
    #[inline]
    pub(crate) fn carry_out(self: &Arc<Self>, mut fx: Effects<M::Connection, M::Error>) {
        if let Some(waker) = fx.wake.take() {
            contain(|| waker.wake());
        }
        if !fx.is_no_more() || self.landlord.is_some() {
            self.carry_out_all(fx);
        }
    }

    fn carry_out_all(self: &Arc<Self>, fx: Effects<M::Connection, M::Error>) {
        let Effects {
            wake: _,
            wake_more,
            close,
            check,
            connect,
            leaked,
            nudge,
            revive,
            progress,
            drained,
            garbage,
        } = fx;
        for waker in wake_more {
            contain(|| waker.wake());
        }
        for (live, id) in check {
            self.spawn(self.check_task(live, id));
        }
        for id in connect {
            self.spawn(self.connect_task(id));
        }
        for (live, reason) in close {
            let held = Held::new(Arc::clone(self), live, Stage::Closing, reason);
            self.spawn(Box::pin(work::close(held)));
        }
        for loan in leaked {
            self.tell(|observer| observer.leaked(&loan));
        }
        if nudge && !cfg!(mutant = "keeper-not-nudged") {
            self.signals.nudge.ring();
        }
        if revive {
            self.revive_keeper();
        }
        if progress && !cfg!(mutant = "progress-not-rung") {
            self.signals.progress.ring();
        }
        if drained && !cfg!(mutant = "drained-not-rung") {
            self.signals.drained.ring();
        }
        if garbage.is_some() {
            contain(|| drop(garbage));
        }
        if let Some(landlord) = &self.landlord {
            landlord.look(self);
        }
    }

    /// The check of a connection that the state has set aside already.
    pub(crate) fn check_task(
        self: &Arc<Self>,
        live: Box<Live<M::Connection>>,
        id: AttemptId,
    ) -> BoxFuture<()> {
        let stage = Stage::Checking(Some(id));
        let held = Held::new(Arc::clone(self), live, stage, CloseReason::CheckFailed);
        Box::pin(work::check(held))
    }

    /// An attempt to connect, whose place the state has set aside already.
    pub(crate) fn connect_task(self: &Arc<Self>, id: AttemptId) -> BoxFuture<()> {
        // The lease is inside before the runtime sees the future: should it be dropped unpolled,
        // the place comes back.
        let stage = Stage::Connecting(id);
        let lease = Lease::new(
            Arc::clone(self),
            stage,
            Tag::default(),
            CloseReason::Shutdown,
        );
        self.audience
            .tracer
            .connecting(Box::pin(work::connect(lease)))
    }

    pub(crate) fn spawn(&self, task: BoxFuture<()>) {
        contain(|| self.runtime.spawn(task));
    }

    /// Tells everybody who wants to know.
    pub(crate) fn tell(&self, tell: impl Fn(&dyn Observer)) {
        self.audience.tell(tell);
    }

    /// Does what follows from new settings outside the state: notes loans down from now on, if they
    /// are to be, and tells how large the pool may be. Of a tenant nobody wants to know that.
    pub(crate) fn heed_settings(&self) {
        let config = self.setting(|config| *config);
        if config.leak_threshold.is_some() {
            self.watch.note_loans();
        }
        if self.landlord.is_some() {
            return;
        }
        let configured = Configured {
            max_size: config.max_size,
            min_idle: config.min_idle,
            max_idle: config.max_idle,
        };
        self.tell(|observer| observer.configured(&configured));
    }

    /// Begins to close, once.
    pub(crate) fn begin_close(self: &Arc<Self>) {
        #[cfg(mutant = "rings-before-it-closes")]
        self.signals.closing.ring();
        let mut fx = Effects::new();
        {
            let mut state = self.state.lock();
            if state.is_closed() {
                return;
            }
            state.close(&mut fx);
        }
        self.carry_out(fx);
        // What becomes of a tenant is its landlord's affair.
        if self.landlord.is_none() {
            self.tell(|observer| observer.closing());
        }
        #[cfg(not(mutant = "rings-before-it-closes"))]
        self.signals.closing.ring();
    }

    /// What is in the caller's hand is about to leave it: its place may be somebody else's turn.
    pub(crate) fn claim_place(&self) {
        if let Some(landlord) = &self.landlord {
            landlord.claim();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed()
    }

    pub(crate) fn status(&self) -> Status {
        let now = self.now();
        self.state.lock().status(now)
    }

    pub(crate) fn loans(&self) -> Vec<Loan> {
        let now = self.now();
        self.state.lock().loans(now)
    }

    /// Resolves when the last place has been given back, once the pool is closed.
    pub(crate) async fn drained(&self) {
        let empty = || (self.state.lock().size() == 0).then_some(());
        self.signals.drained.until(empty).await;
    }

    /// Tries once more to have a keeper, after the runtime dropped the last one. Its return queue
    /// went with it, so the new one has nothing to read.
    fn revive_keeper(self: &Arc<Self>) {
        self.spawn(Box::pin(maintenance::keep(self, None)));
    }
}
