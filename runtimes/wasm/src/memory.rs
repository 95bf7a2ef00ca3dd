//! The memory of all instances of an app together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

use crate::engine::TABLE_ELEMENTS_MAX;

/// What all instances may have together, and what they have. The limit is that of the whole host, because it is the
/// host's container that is killed when the sum grows past it.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    bytes_max: u64,
    used: AtomicU64,
}

impl MemoryBudget {
    pub(crate) fn new(memory_mb: u32) -> Arc<Self> {
        Arc::new(Self { bytes_max: u64::from(memory_mb) * 1024 * 1024, used: AtomicU64::new(0) })
    }

    /// Bytes that instances have now.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One instance's share of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    budget: Arc<MemoryBudget>,
    taken: u64,
    last: u64,
    denied: bool,
}

impl MemoryShare {
    pub(crate) fn new(budget: Arc<MemoryBudget>) -> Self {
        Self { budget, taken: 0, last: 0, denied: false }
    }

    /// Whether the instance ever asked for more than there was.
    pub(crate) fn was_denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for MemoryShare {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        if self.budget.take(more) {
            self.taken += more;
            self.last = more;
            Ok(true)
        } else {
            self.denied = true;
            Ok(false)
        }
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.taken -= self.last;
        self.budget.give_back(std::mem::take(&mut self.last));
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    const PAGE: usize = 64 * 1024;

    #[test]
    fn shares_are_bounded_together_and_given_back() {
        let budget = MemoryBudget::new(1);
        let mut first = MemoryShare::new(Arc::clone(&budget));
        let mut second = MemoryShare::new(Arc::clone(&budget));
        assert!(first.memory_growing(0, 10 * PAGE, None).unwrap());
        assert!(second.memory_growing(0, 6 * PAGE, None).unwrap());
        assert!(!second.memory_growing(6 * PAGE, 7 * PAGE, None).unwrap());
        assert!(second.was_denied() && !first.was_denied());
        drop(first);
        assert!(second.memory_growing(6 * PAGE, 16 * PAGE, None).unwrap());
        second.memory_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert_eq!(budget.used(), 6 * PAGE as u64);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
