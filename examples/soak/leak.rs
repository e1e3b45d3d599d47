//! A leak on purpose, to see that the verdict notices.

use std::hint::black_box;
use std::mem;
use std::time::Duration;

use tokio::time::sleep;
use watertight::Pool;

use crate::server::Servers;
use crate::tally::Tally;

const PERIOD: Duration = Duration::from_millis(100);
const BYTES: usize = 256 * 1024;

/// Forgets some memory every now and then, and half of the pool's connections.
pub(crate) async fn leak(pool: Pool<Servers>, tally: &Tally) {
    let mut guards = pool.status().max_size.div_ceil(2);
    while !tally.is_over() {
        sleep(PERIOD).await;
        // Not zeros, which would cost no memory; and seen by somebody, or the compiler would
        // know better than to allocate it.
        let _ = black_box(vec![1_u8; BYTES].leak());
        if guards > 0 {
            if let Ok(guard) = pool.acquire().await {
                tally.lent.add();
                mem::forget(guard);
                guards -= 1;
            }
        }
    }
}
