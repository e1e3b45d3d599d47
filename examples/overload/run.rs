//! One pool, one policy, one load.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use watertight::{AcquireError, BuildError, Manager, Pool, Spawner, VirtualRuntime};

use crate::load::{Client, Load, PATIENCE};
use crate::policy::Policy;

/// How it ended for a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// When the pool had answered, from the start.
    pub(crate) answered: Duration,
    /// For how long the client had waited for that.
    pub(crate) waited: Duration,
    /// For how long it had the connection.
    pub(crate) held: Duration,
    pub(crate) answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Served, and done before its patience was over.
    InTime,
    /// Served, but done too late.
    Late,
    /// Turned away by the policy.
    Refused,
    /// Not served within its patience.
    TimedOut,
}

/// Lets the clients come, and returns how it ended for each.
pub(crate) fn run(policy: Policy, load: &Load) -> Result<Vec<End>, BuildError> {
    let runtime = VirtualRuntime::new();
    let connect = || async { Ok::<_, std::convert::Infallible>(()) };
    let pool = policy.configure(Pool::from_fn(connect).runtime(runtime.clone()));
    let pool = pool.build()?;
    let ends = Arc::new(Mutex::new(Vec::with_capacity(load.clients.len())));
    runtime.block_on(async {
        for client in &load.clients {
            let wait = client.comes.saturating_sub(runtime.elapsed());
            runtime.sleep(wait).await;
            let served = served(pool.clone(), runtime.clone(), *client, Arc::clone(&ends));
            runtime.spawn(Box::pin(served));
        }
        // Nobody waits for longer than that, and those who are served are waited for.
        runtime.sleep(PATIENCE).await;
        pool.close().await;
    });
    runtime.settle();
    let ends = std::mem::take(&mut *ends.lock().unwrap_or_else(PoisonError::into_inner));
    assert_eq!(ends.len(), load.clients.len(), "everybody has an answer");
    Ok(ends)
}

async fn served<M: Manager>(
    pool: Pool<M>,
    runtime: VirtualRuntime,
    client: Client,
    ends: Arc<Mutex<Vec<End>>>,
) {
    let came = runtime.elapsed();
    let acquired = pool.acquire_timeout(PATIENCE).await;
    let answered = runtime.elapsed();
    let answer = match acquired {
        Ok(connection) => {
            runtime.sleep(client.holds).await;
            drop(connection);
            match runtime.elapsed() - came <= PATIENCE {
                true => Answer::InTime,
                false => Answer::Late,
            }
        }
        Err(AcquireError::TimedOut { .. }) => Answer::TimedOut,
        Err(_) => Answer::Refused,
    };
    let end = End {
        answered,
        waited: answered - came,
        held: runtime.elapsed() - answered,
        answer,
    };
    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    ends.push(end);
}
