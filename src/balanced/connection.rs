//! A connection that knows where it leads to.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::books::Load;

/// A connection of a [`Balanced`](super::Balanced) manager: dereferences to the endpoint's own.
pub struct BalancedConnection<C> {
    // Before the load: an endpoint has the connection until it is gone.
    pub(super) connection: C,
    pub(super) load: Load,
}

impl<C> BalancedConnection<C> {
    /// The number of the endpoint that it leads to, from 0.
    pub fn endpoint(&self) -> usize {
        self.load.endpoint()
    }

    /// The connection itself, for one that was [detached](crate::PooledConnection::detach). From
    /// then on it is no part of its endpoint's load.
    pub fn into_inner(self) -> C {
        self.connection
    }
}

impl<C> Deref for BalancedConnection<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C> DerefMut for BalancedConnection<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

impl<C> fmt::Debug for BalancedConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalancedConnection")
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}
