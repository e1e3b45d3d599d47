//! A call to `fill`: waits until the pool is warm, and connects where nobody else would.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::clock::Moment;
use crate::error::AcquireError;
use crate::manager::Manager;
use crate::primitives::Arc;
use crate::race::race;
use crate::runtime::BoxFuture;
use crate::shared::{Shared, reach};
use crate::state::Warmth;

/// The attempts to connect that a call runs, because there is no keeper that would have them run.
/// Those that are not over when it is are dropped with it, and their places come back.
type Driving = Vec<BoxFuture<()>>;

/// Resolves when the pool is warm, when an attempt has failed since the call, or when it closes.
pub(crate) async fn fill<M: Manager>(
    shared: &Arc<Shared<M>>,
) -> Result<(), AcquireError<M::Error>> {
    let failed_before = shared.transition(|state, now, fx| state.begin_fill(now, fx));
    let _filler = Filler(shared);
    let mut driving = Driving::new();
    let mut begun = None;
    loop {
        let now = shared.now();
        let again_at = shared.state.lock().fills_again_at(now);
        let look = || {
            let now = shared.now();
            let mut state = shared.state.lock();
            let warmth = match state.warmth(failed_before, now) {
                Warmth::Cold if state.fills_again_at(now) >= again_at => return None,
                warmth => warmth,
            };
            drop(state);
            Some(match warmth {
                Warmth::Warm => Seen::Over(Ok(())),
                Warmth::Closed => Seen::Over(Err(AcquireError::Closed)),
                Warmth::Failed(error) => Seen::Over(Err(AcquireError::Connect(error))),
                Warmth::Cold => Seen::Again,
                Warmth::Drive(attempt) => {
                    // At once, for its place comes back with the task.
                    begun = Some(shared.connect_task(attempt));
                    Seen::Again
                }
            })
        };
        let seen = {
            let told = shared.signals.progress.until(look);
            let driven = drive(shared, &mut driving, again_at);
            race(pin!(told), pin!(driven)).await
        };
        driving.extend(begun.take());
        if let Seen::Over(result) = seen {
            return result;
        }
    }
}

/// What a call has come to.
enum Seen<E> {
    Over(Result<(), AcquireError<E>>),
    /// It is to look again.
    Again,
}

/// Resolves when one of the attempts has come to its end, or then.
async fn drive<M: Manager>(
    shared: &Shared<M>,
    driving: &mut Driving,
    again_at: Moment,
) -> Seen<M::Error> {
    let over = poll_fn(|cx| {
        let before = driving.len();
        driving.retain_mut(|task| task.as_mut().poll(cx).is_pending());
        match driving.len() < before {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    let due = reach(&*shared.runtime, again_at.to_instant(shared.origin));
    race(pin!(over), pin!(due)).await;
    Seen::Again
}

/// A call under way.
struct Filler<'a, M: Manager>(&'a Arc<Shared<M>>);

impl<M: Manager> Drop for Filler<'_, M> {
    fn drop(&mut self) {
        self.0.state.lock().end_fill();
    }
}
