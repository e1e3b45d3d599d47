//! A connection of a blocking manager, which is away while a call has it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::channel::Receiver;

/// A connection of a [`Blocking`](crate::Blocking) manager: dereferences to the
/// [`BlockingManager`](crate::BlockingManager)'s own.
pub struct BlockingConnection<C> {
    pub(super) place: Place<C>,
}

pub(super) enum Place<C> {
    Here(C),
    /// In a blocking call, which sends it back.
    Away(Receiver<C>),
}

/// Wraps a connection that was made elsewhere, for [`adopt`](crate::Pool::adopt).
impl<C> From<C> for BlockingConnection<C> {
    fn from(connection: C) -> Self {
        BlockingConnection {
            place: Place::Here(connection),
        }
    }
}

impl<C> BlockingConnection<C> {
    /// The connection itself, for one that was [detached](crate::PooledConnection::detach).
    ///
    /// # Panics
    ///
    /// If a call of the manager's on it was broken off, which does not happen to one that is lent:
    /// dereferencing it panics then as well.
    pub fn into_inner(self) -> C {
        match self.place {
            Place::Here(connection) => connection,
            Place::Away(_) => unreachable!("{AWAY}"),
        }
    }

    pub(super) fn send_away(&mut self, way_home: Receiver<C>) -> C {
        match std::mem::replace(&mut self.place, Place::Away(way_home)) {
            Place::Here(connection) => connection,
            Place::Away(_) => unreachable!("{AWAY}"),
        }
    }

    pub(super) async fn come_home(&mut self) {
        if let Place::Away(way_home) = &self.place {
            if let Some(connection) = way_home.next().await {
                self.place = Place::Here(connection);
            }
        }
    }
}

/// A call that is given up on leaves its connection condemned: it is closed, never lent.
const AWAY: &str = "a connection that is lent is not in a blocking call";

impl<C> Deref for BlockingConnection<C> {
    type Target = C;

    fn deref(&self) -> &C {
        match &self.place {
            Place::Here(connection) => connection,
            Place::Away(_) => unreachable!("{AWAY}"),
        }
    }
}

impl<C> DerefMut for BlockingConnection<C> {
    fn deref_mut(&mut self) -> &mut C {
        match &mut self.place {
            Place::Here(connection) => connection,
            Place::Away(_) => unreachable!("{AWAY}"),
        }
    }
}

impl<C> fmt::Debug for BlockingConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingConnection").finish_non_exhaustive()
    }
}
