//! Connections that are counted, from a manager that hangs wherever it is told to.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use watertight::{Builder, Condition, Manager, Metrics, Pool};

/// What the manager is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Connect,
    Check,
    Recycle,
    Close,
}

/// What became of the connections, whoever has them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    made: AtomicUsize,
    live: AtomicUsize,
    most: AtomicUsize,
    /// By [`Step`]: whether calls that begin now hang.
    hangs: [AtomicBool; 4],
    /// By [`Step`]: how many calls hang.
    hung: [AtomicUsize; 4],
}

impl Tally {
    pub(super) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// Connections that have been made and not been dropped.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// The most that were ever live at once.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// From now on, calls hang, or do not. Those that hang go on hanging.
    pub(super) fn hang(&self, yes: bool) {
        for hangs in &self.hangs {
            hangs.store(yes, Ordering::SeqCst);
        }
    }

    /// How many calls hang, by [`Step`].
    pub(super) fn hung(&self) -> [usize; 4] {
        std::array::from_fn(|step| self.hung[step].load(Ordering::SeqCst))
    }

    async fn play(&self, step: Step) {
        if !self.hangs[step as usize].load(Ordering::SeqCst) {
            return;
        }
        let hung = &self.hung[step as usize];
        hung.fetch_add(1, Ordering::SeqCst);
        let _over = Over(hung);
        pending().await
    }
}

struct Over<'a>(&'a AtomicUsize);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub(super) struct Counted {
    tally: Arc<Tally>,
    /// It is to be recycled when it comes back.
    pub(super) dirty: bool,
    disowned: bool,
}

impl Counted {
    /// It is about to be detached, and no longer counts as live.
    pub(super) fn disown(&mut self) {
        if !std::mem::replace(&mut self.disowned, true) {
            self.tally.live.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.disown();
    }
}

pub(super) struct Tallied(Arc<Tally>);

/// A pool of counted connections, to be configured.
pub(super) fn tallied() -> (Arc<Tally>, Builder<Tallied>) {
    let tally = Arc::new(Tally::default());
    let builder = Pool::builder(Tallied(Arc::clone(&tally)));
    (tally, builder)
}

impl Manager for Tallied {
    type Connection = Counted;
    type Error = Infallible;

    async fn connect(&self) -> Result<Counted, Infallible> {
        self.0.play(Step::Connect).await;
        let tally = Arc::clone(&self.0);
        tally.made.fetch_add(1, Ordering::SeqCst);
        let live = tally.live.fetch_add(1, Ordering::SeqCst) + 1;
        tally.most.fetch_max(live, Ordering::SeqCst);
        Ok(Counted {
            tally,
            dirty: false,
            disowned: false,
        })
    }

    async fn check(&self, _: &mut Counted, _: &Metrics) -> Result<(), Infallible> {
        self.0.play(Step::Check).await;
        Ok(())
    }

    fn inspect(&self, conn: &mut Counted) -> Condition {
        match conn.dirty {
            true => Condition::Dirty,
            false => Condition::Clean,
        }
    }

    async fn recycle(&self, conn: &mut Counted) -> Result<(), Infallible> {
        self.0.play(Step::Recycle).await;
        conn.dirty = false;
        Ok(())
    }

    async fn close(&self, conn: Counted) {
        self.0.play(Step::Close).await;
        drop(conn);
    }
}
