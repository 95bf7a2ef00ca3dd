//! Whether an app's executions are so quick that answers may wait for each other.
//!
//! A guest answers on the thread that read its request, and holds it up meanwhile. An answer that waits for others waits for their
//! guests.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest execution whose answer waits. While all that are ready are as quick as that, none waits longer to be sent than the
/// last of them has waited to begin.
const QUICK_MAX: Duration = Duration::from_micros(250);

/// Executions after a longer one whose answers do not wait: what is ready with them may be as long.
const WARY_AFTER_SLOW: u32 = 16;

/// How long executions of one app take.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Executions until one is taken for quick again.
    wary: AtomicU32,
}

impl Pace {
    /// Counts an execution that took `took`; whether its answer may wait.
    pub(crate) fn is_quick(&self, took: Duration) -> bool {
        if took > QUICK_MAX {
            self.wary.store(WARY_AFTER_SLOW, Ordering::Relaxed);
            return false;
        }
        // Read first: where all are quick, nothing is written that another thread reads. Two that meet count as one.
        let wary = self.wary.load(Ordering::Relaxed);
        if wary > 0 {
            self.wary.store(wary - 1, Ordering::Relaxed);
        }
        wary == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_long_execution_some_are_not_taken_for_quick() {
        let pace = Pace::default();
        assert!(pace.is_quick(QUICK_MAX));
        assert!(!pace.is_quick(QUICK_MAX * 2));
        for _ in 0..WARY_AFTER_SLOW {
            assert!(!pace.is_quick(Duration::ZERO));
        }
        assert!(pace.is_quick(Duration::ZERO));
    }
}
