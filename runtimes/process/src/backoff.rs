//! When a worker that ended is started again. Pure: the caller brings the clock and the dice.

use std::time::Duration;

/// Ends in a row, without a served request between, that make a crash loop.
pub(crate) const CRASH_LOOP_ENDS: u32 = 5;

/// The second end in a row waits this long, each further one twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// No wait is longer.
const DELAY_MAX: Duration = Duration::from_secs(10);

/// Counts ends in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    ends: u32,
}

impl Backoff {
    /// A request was served: what happened before is forgotten.
    pub(crate) fn served(&mut self) {
        self.ends = 0;
    }

    /// A worker ended. How long to wait before the next start: nothing the first time, then ever longer, each wait
    /// shortened by up to a quarter according to `dice` so that many hosts do not start in step.
    pub(crate) fn ended(&mut self, dice: u8) -> Duration {
        self.ends = self.ends.saturating_add(1);
        let Some(doublings) = self.ends.checked_sub(2) else { return Duration::ZERO };
        let delay = FIRST_DELAY.saturating_mul(1 << doublings.min(20)).min(DELAY_MAX);
        delay - delay.mul_f64(f64::from(dice) / 255.0 / 4.0)
    }

    /// Ends in a row so far.
    pub(crate) fn ends(&self) -> u32 {
        self.ends
    }

    /// Whether this is a crash loop.
    pub(crate) fn is_crash_loop(&self) -> bool {
        self.ends >= CRASH_LOOP_ENDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap_and_a_served_request_ends_them() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..10).map(|_| backoff.ended(0).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert!(backoff.is_crash_loop());
        backoff.served();
        assert!(!backoff.is_crash_loop());
        assert_eq!(backoff.ended(0), Duration::ZERO);
        assert_eq!(backoff.ended(255), Duration::from_millis(75));
    }
}
