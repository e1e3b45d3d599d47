//! The sessions that clients think they have.
//!
//! The servers behind the gateway are interchangeable, so nothing of a client's is in any of them: a
//! session is a token that says which revision was agreed on, and lets a client notice that the
//! gateway it talks to is another one than before.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::revision::Revision;

/// The most sessions that are remembered; the least recently used is forgotten first. A client that
/// is told so begins another one, by the protocol.
const MOST: usize = 10_000;

/// Which tokens are good.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    generations: Mutex<Generations>,
}

/// Those that are used move to the young; when there are too many young ones, they become the old,
/// and the old are gone.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Option<Revision>>,
    old: HashMap<String, Option<Revision>>,
}

impl Generations {
    fn enter(&mut self, token: String, revision: Option<Revision>) {
        if self.young.len() >= MOST / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(token, revision);
    }
}

impl Sessions {
    /// Begins a session in which this revision is spoken, as far as that is known, and returns its
    /// token.
    pub(crate) fn open(&self, revision: Option<Revision>) -> io::Result<String> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(io::Error::other)?;
        let token = format!("{:032x}", u128::from_be_bytes(bits));
        self.lock().enter(token.clone(), revision);
        Ok(token)
    }

    /// The revision that is spoken in a session; `None` if there is no such session.
    pub(crate) fn find(&self, token: &str) -> Option<Option<Revision>> {
        let mut sessions = self.lock();
        if let Some(revision) = sessions.young.get(token) {
            return Some(*revision);
        }
        let (token, revision) = sessions.old.remove_entry(token)?;
        sessions.enter(token, revision);
        Some(revision)
    }

    /// Ends a session. False if there was none.
    pub(crate) fn end(&self, token: &str) -> bool {
        let mut sessions = self.lock();
        let young = sessions.young.remove(token);
        young.or_else(|| sessions.old.remove(token)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Both maps are whole whenever a panic may strike.
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_session_lasts_until_it_is_ended() {
        let sessions = Sessions::default();
        let (one, other) = (sessions.open(None).unwrap(), sessions.open(None).unwrap());
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(sessions.find(&one), Some(None));
        assert!(sessions.end(&one));
        assert!(!sessions.end(&one));
        assert_eq!(sessions.find(&one), None);
        assert_eq!(sessions.find(&other), Some(None));
        assert_eq!(sessions.find("made up"), None);
    }

    #[test]
    fn the_sessions_that_are_used_outlast_any_number_of_others() {
        let sessions = Sessions::default();
        let revision = Some(Revision::SUPPORTED[0]);
        let (used, unused) = (
            sessions.open(revision).unwrap(),
            sessions.open(None).unwrap(),
        );
        for _ in 0..3 * MOST {
            sessions.open(None).unwrap();
            assert_eq!(sessions.find(&used), Some(revision));
        }
        assert_eq!(sessions.find(&unused), None);
        let left = sessions.lock();
        assert!(left.young.len() + left.old.len() <= MOST);
    }
}
