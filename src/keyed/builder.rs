//! The settings of a keyed pool.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::hash::Hash;

use super::core::{Core, Factory};
use super::{KeyedPool, SyncKeyedPool};
use crate::builder::Builder;
use crate::error::BuildError;
use crate::manager::Manager;
use crate::primitives::Arc;

/// Stands for the pool of each key in [`KeyedBuilder::each`]. It is never built.
#[derive(Debug)]
pub struct EachKey(());

impl Manager for EachKey {
    type Connection = Infallible;
    type Error = Infallible;

    fn connect(&self) -> impl Future<Output = Result<Infallible, Infallible>> + Send {
        pending()
    }
}

/// Configures a [`KeyedPool`]; made by [`KeyedPool::builder`].
#[must_use = "a builder builds nothing until `build` is called"]
pub struct KeyedBuilder<K, M: Manager> {
    factory: Factory<K, M>,
    max_total: usize,
    each: Builder<EachKey, EachKey>,
}

impl<K, M> KeyedBuilder<K, M>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    M: Manager,
{
    pub(super) fn new(factory: impl Fn(&K) -> M + Send + Sync + 'static) -> Self {
        KeyedBuilder {
            factory: Box::new(factory),
            max_total: 100,
            each: Builder::new(EachKey(())),
        }
    }

    /// The most connections there may be at any instant over all keys, whatever state they are in.
    /// 100 unless set; 0 is an error.
    pub fn max_total(mut self, connections: usize) -> Self {
        self.max_total = connections;
        self
    }

    /// The most connections that one key may have. 10 unless set; 0 is an error. (It is the
    /// [`max_size`](Builder::max_size) of [`each`](KeyedBuilder::each).)
    ///
    /// This is what a key cannot do to the others: of `max_total` connections, at least
    /// `max_total - max_per_key` are never that one key's, even if its server hangs and every
    /// attempt to connect to it takes up a place until its time-out. If it is as large as
    /// `max_total`, or larger, then one such key can hold up all others for that long.
    pub fn max_per_key(self, connections: usize) -> Self {
        self.each(|pool| pool.max_size(connections))
    }

    /// The settings of each key's pool, by the setters of [`Builder`], and also the runtime, the
    /// name and the observers, which all keys share.
    ///
    /// `min_idle` is an error, for a key that nobody uses keeps nothing.
    ///
    /// [`max_waiters`](Builder::max_waiters) limits those who wait for one key. A caller is not
    /// counted if, at the moment that he comes, a place can be had for him without anything being
    /// given back: up to `max_per_key`, a free one, or that of another key's idle connection, as far
    /// as those who wait for other keys do not want it. So with 0 the first caller of a key is
    /// served as long as a place is free or a connection idle. Callers who come at the same
    /// moment, on several threads, may be let in for the same place.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod threads { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/threads.rs")); }
    /// # use threads::Threads;
    /// use std::time::Duration;
    /// use watertight::{CheckPolicy, FromFn, KeyedPool};
    ///
    /// let pool = KeyedPool::builder(|_: &u32| FromFn::new(|| async { Ok::<_, std::io::Error>(7) }))
    ///     .each(|pool| {
    ///         pool.acquire_timeout(Duration::from_secs(5))
    ///             .check_policy(CheckPolicy::Always)
    /// #           .runtime(Threads)
    ///     })
    ///     .build()?;
    /// # Ok::<(), watertight::BuildError>(())
    /// ```
    pub fn each(
        mut self,
        set: impl FnOnce(Builder<EachKey, EachKey>) -> Builder<EachKey, EachKey>,
    ) -> Self {
        self.each = set(self.each);
        self
    }

    /// Builds the pool. No key has a pool before it is first asked for.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] for a setting that makes no sense, if no runtime was given or found, or if it has
    /// no timer.
    pub fn build(self) -> Result<KeyedPool<K, M>, BuildError> {
        self.start(false)
    }

    /// Builds the pool, for threads that block. The runtime is looked for as by
    /// [`SyncPool`](crate::SyncPool).
    ///
    /// # Errors
    ///
    /// Those of [`build`](KeyedBuilder::build).
    pub fn build_sync(self) -> Result<SyncKeyedPool<K, M>, BuildError> {
        Ok(self.start(true)?.sync())
    }

    fn start(mut self, blocking: bool) -> Result<KeyedPool<K, M>, BuildError> {
        let (config, runtime) = self.each.settle(blocking)?;
        if self.max_total == 0 {
            return Err(BuildError::Zero {
                option: "max_total",
            });
        }
        if config.min_idle > 0 {
            return Err(BuildError::MinIdleOfKeys);
        }
        let audience = self.each.take_audience();
        let core = Core::new(self.factory, config, self.max_total, runtime, audience);
        Ok(KeyedPool::over(Arc::new(core)))
    }
}

impl<K, M: Manager> fmt::Debug for KeyedBuilder<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBuilder")
            .field("max_total", &self.max_total)
            .field("each", &self.each)
            .finish_non_exhaustive()
    }
}
