//! How many instances a load needs.

use ignite_core_model::Scaling;

/// What the gateways saw of the active version since the last decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Most executions that were in flight or waiting at one time.
    pub executions_peak: u32,
    /// Milliseconds since the last execution ended; 0 while one is in flight.
    pub idle_ms: u64,
}

/// Share of an instance's concurrency that is used before another instance is wanted, in percent: the rest takes a burst
/// while the next one starts.
const USED_PERCENT: u64 = 70;

/// Longest part of the instances that one decision takes away, so that a short pause does not end all of them.
const SHRINK_PART: u32 = 2;

/// The instances wanted, from those there are.
///
/// More are wanted at once. Fewer are wanted by halves, and none only after the app's idle time. `max_concurrency` is that of
/// one instance.
#[must_use]
pub fn wanted(scaling: &Scaling, max_concurrency: u32, load: Load, current: u32) -> u32 {
    let room = u64::from(max_concurrency.max(1)) * USED_PERCENT;
    let needed = (u64::from(load.executions_peak) * 100).div_ceil(room.max(1));
    let needed = u32::try_from(needed).unwrap_or(u32::MAX);
    let idle = load.executions_peak == 0 && load.idle_ms >= u64::from(scaling.idle_secs) * 1000;
    let wanted = if needed >= current {
        needed
    } else if idle {
        0
    } else {
        needed.max(current.div_ceil(SHRINK_PART))
    };
    wanted.max(scaling.reserved).min(scaling.max_replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALING: Scaling = Scaling { max_replicas: 10, reserved: 0, idle_secs: 60 };

    fn check(executions_peak: u32, idle_ms: u64, current: u32) -> u32 {
        wanted(&SCALING, 10, Load { executions_peak, idle_ms }, current)
    }

    #[test]
    fn a_burst_is_met_at_once_and_bounded() {
        assert_eq!(check(1, 0, 0), 1);
        assert_eq!(check(7, 0, 1), 1);
        assert_eq!(check(8, 0, 1), 2);
        assert_eq!(check(1_000_000, 0, 1), 10);
        assert_eq!(check(u32::MAX, 0, 1), 10);
    }

    #[test]
    fn what_is_not_needed_goes_by_halves() {
        assert_eq!(check(1, 0, 8), 4);
        assert_eq!(check(0, 59_999, 8), 4);
        assert_eq!(check(0, 59_999, 1), 1);
    }

    #[test]
    fn nothing_runs_after_the_idle_time() {
        assert_eq!(check(0, 60_000, 8), 0);
        assert_eq!(wanted(&Scaling { reserved: 2, ..SCALING }, 10, Load { executions_peak: 0, idle_ms: 60_000 }, 8), 2);
    }
}
