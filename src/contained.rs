//! Foreign values that end with the pool.

use std::ops::Deref;

use crate::manager::Manager;
use crate::observer::Audience;
use crate::primitives::{Arc, contain};
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::state::State;

/// A value with a foreign destructor. It runs wherever the last of a pool happens to be dropped, which
/// may be inside of anything: so its panic ends here.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Contained(Some(value))
    }
}

impl<T> Deref for Contained<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        contain(|| drop(value));
    }
}

/// What is foreign in a pool, held a second time. What the pool looks at is looked at too often to be
/// wrapped; but it does not come to its end as long as these are there, which go last.
pub(crate) struct Ends<M: Manager> {
    _manager: Contained<Arc<M>>,
    _runtime: Contained<Arc<dyn Runtime>>,
    _audience: Contained<Audience>,
}

impl<M: Manager> Ends<M> {
    pub(crate) fn of(manager: &Arc<M>, runtime: &Arc<dyn Runtime>, audience: &Audience) -> Self {
        Ends {
            _manager: Contained::new(Arc::clone(manager)),
            _runtime: Contained::new(Arc::clone(runtime)),
            _audience: Contained::new(audience.clone()),
        }
    }
}

impl<M: Manager> Drop for Shared<M> {
    /// The state may have kept an error.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let blank = State::new(*state.config(), 0);
        let state = std::mem::replace(state, blank);
        contain(|| drop(state));
    }
}
