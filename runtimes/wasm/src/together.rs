//! Answers that leave together.
//!
//! A guest answers on the thread that read its request. Were each answer sent at once, the first would wake its caller, which takes
//! a processor from the guests that are ready too; then the next would, and so on. So an answer waits until the requests that were
//! ready with it have had their turn, and all are sent one after the other: callers are woken once, find several answers, and
//! send as many requests. Where nothing else is ready there is nothing to wait for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest execution whose answer waits. The wait is for executions that were ready at the same time: while all are as quick as
/// that, none of them waits longer to be sent than the last one has waited to begin.
const QUICK_MAX: Duration = Duration::from_micros(250);

/// Executions after a longer one whose answers do not wait: the next may be as long.
const AT_ONCE: u32 = 16;

/// Longest body that waits, in bytes: what waits is kept in memory.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// How the answers of one app leave.
#[derive(Debug, Default)]
pub(crate) struct Together {
    /// Answers that still go at once.
    at_once: AtomicU32,
}

impl Together {
    /// Waits with an answer of `body_bytes`, found in `took`, until what was ready with it has had its turn.
    pub(crate) async fn wait(&self, took: Duration, body_bytes: usize) {
        if took > QUICK_MAX {
            self.at_once.store(AT_ONCE, Ordering::Relaxed);
            return;
        }
        // Read first: where all are quick, nothing is written here that another thread reads.
        let at_once = self.at_once.load(Ordering::Relaxed);
        if at_once > 0 {
            // Two that meet here count as one.
            self.at_once.store(at_once - 1, Ordering::Relaxed);
            return;
        }
        if body_bytes <= BODY_BYTES_MAX {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What three executions do that are ready at once, each of which took `took` and answers with `body_bytes`.
    async fn order(together: &Arc<Together>, took: Duration, body_bytes: usize) -> String {
        let done = Arc::new(Mutex::new(String::new()));
        let all: Vec<_> = (0..3)
            .map(|_| {
                let (together, done) = (Arc::clone(together), Arc::clone(&done));
                tokio::spawn(async move {
                    done.lock().unwrap().push('r');
                    together.wait(took, body_bytes).await;
                    done.lock().unwrap().push('s');
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        done.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn quick_executions_run_first_and_are_sent_then() {
        assert_eq!(order(&Arc::default(), Duration::from_micros(10), 100).await, "rrrsss");
    }

    #[tokio::test]
    async fn nothing_waits_for_what_may_be_long_and_long_bodies_do_not_wait() {
        let together = Arc::default();
        assert_eq!(order(&together, QUICK_MAX * 2, 100).await, "rsrsrs");
        for _ in 0..AT_ONCE / 3 {
            assert_eq!(order(&together, Duration::ZERO, 100).await, "rsrsrs");
        }
        // One more than three times five.
        assert_eq!(order(&together, Duration::ZERO, 100).await, "rsrrss");
        assert_eq!(order(&together, Duration::ZERO, 100).await, "rrrsss");
        assert_eq!(order(&together, Duration::ZERO, BODY_BYTES_MAX + 1).await, "rsrsrs");
    }
}
