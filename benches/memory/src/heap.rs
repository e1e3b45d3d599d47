//! What is on the heap.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The heap at one moment. It counts what was asked for; the allocator may round up.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    bytes: usize,
    allocations: usize,
}

impl Heap {
    /// As it is now.
    pub fn now() -> Self {
        let stats = HEAP.stats();
        Heap {
            bytes: stats.bytes_allocated - stats.bytes_deallocated,
            allocations: stats.allocations + stats.reallocations,
        }
    }

    /// How many bytes more there are now.
    pub fn growth(self) -> f64 {
        Heap::now().bytes as f64 - self.bytes as f64
    }

    /// How often something has been allocated, or made larger or smaller, meanwhile.
    pub fn allocations(self) -> usize {
        Heap::now().allocations - self.allocations
    }
}

#[cfg(test)]
mod tests {
    use super::Heap;

    #[test]
    fn growth_is_what_was_allocated_and_not_freed() {
        let before = Heap::now();
        let kept = Box::new([0_u8; 100_000]);
        drop(Box::new([0_u8; 1_000_000]));
        let growth = before.growth();
        // The test harness's threads allocate as well.
        assert!((100_000.0..200_000.0).contains(&growth), "{growth}");
        assert!(before.allocations() >= 2);
        drop(kept);
        assert!(before.growth() < 50_000.0);
    }
}
