//! What is of before a reset, or of before a check failed that says something about all.

use std::time::Instant;

use super::{At, Entry, Ledger};

/// How many resets there had been when the making of a connection began.
pub(crate) type Birth = usize;

/// Which connections are of before something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Resets so far.
    pub(crate) resets: usize,
    /// What is of before so many of them is as good as gone: the last of these was not spread.
    pub(crate) gone: usize,
    /// Connections with lower numbers were there when a check failed of one that nothing was known
    /// against until then.
    pub(crate) floor: usize,
}

/// What is known of a connection that is in the pool's hands, and that nobody works at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtHand {
    pub(crate) id: usize,
    pub(crate) born: Birth,
    pub(crate) made_at: Option<Instant>,
    pub(crate) fit_at: Option<Instant>,
    pub(crate) back_at: Option<Instant>,
}

impl Ledger {
    /// How many connections are the pool's and not being worked at, idle ones among them, and how
    /// many of these may be lent, as far as anybody has said, and are like that.
    pub(crate) fn at_hand(&self, is_it: impl Fn(AtHand) -> bool) -> (usize, usize) {
        let books = self.lock();
        let entries = books.entries.iter().enumerate();
        let at_hand = entries.filter(|(_, entry)| entry.at == At::Pool);
        let like_that = at_hand.clone().filter(|&(id, entry)| {
            let &Entry {
                born,
                made_at,
                fit_at,
                back_at,
                ..
            } = entry;
            let facts = AtHand {
                id,
                born,
                made_at,
                fit_at,
                back_at,
            };
            !entry.condemned && is_it(facts)
        });
        (at_hand.count(), like_that.count())
    }

    /// The pool is about to be reset, at once or spread over a time.
    pub(crate) fn reset(&self, at_once: bool) {
        let generation = &mut self.lock().generation;
        generation.resets += 1;
        if at_once {
            generation.gone = generation.resets;
        }
    }

    /// A check has failed of this connection.
    pub(crate) fn check_failed(&self, id: usize) {
        let mut books = self.lock();
        let Generation { gone, floor, .. } = books.generation;
        if books.entries[id].born >= gone && id >= floor {
            books.generation.floor = books.entries.len();
        }
    }

    pub(crate) fn generation(&self) -> Generation {
        self.lock().generation
    }

    /// How many attempts to connect are under way, and checks, that began to make something, or of
    /// something that was made, before so many resets.
    pub(crate) fn at_work_before(&self, resets: usize) -> usize {
        let books = self.lock();
        let checks = books.entries.iter().filter(|entry| entry.at == At::Check);
        let born = checks.map(|entry| entry.born);
        let born = born.chain(books.connecting.iter().copied());
        born.filter(|&born| born < resets).count()
    }

    /// True if no connection is left of before the last reset, and none is being made.
    pub(crate) fn is_renewed(&self) -> bool {
        let books = self.lock();
        let live = books.entries.iter().filter(|entry| entry.is_live());
        let born = live.map(|entry| entry.born);
        let mut born = born.chain(books.connecting.iter().copied());
        born.all(|born| born == books.generation.resets)
    }
}
