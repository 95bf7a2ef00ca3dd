//! File descriptors: as many as the system gives, and some of them kept from callers.
//!
//! A connection needs one; so does everything a host must be able to do however many callers there are: fork a worker, open
//! the page of metrics, unpack an artifact. Were all of them connections, a worker that ended could not be replaced.

use ignite_core_model::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for the host itself: listeners, the runtime, admin connections, files.
const OWN: u64 = 48;
/// Descriptors of one worker: its socket, both pipes, the process itself, and as much again while it is being made.
const PER_WORKER: u64 = 6;
/// Connections there may be however few descriptors there are.
const CONNECTIONS_MIN: u64 = 8;

/// Raises this process's own limit to the highest it may set, which costs nothing: it is low by default for the sake of
/// programs that use `select`.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // What cannot be raised is worked with.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// Connections that may be open at once: as the limits say, as long as enough descriptors are left.
/// `apps` is what a host of many apps needs for them; any other host needs some for each worker.
pub(crate) fn connections_max(limits: &Limits, apps: Option<u64>) -> u32 {
    within(getrlimit(Resource::Nofile).current, limits, apps)
}

fn within(descriptors: Option<u64>, limits: &Limits, apps: Option<u64>) -> u32 {
    let Some(descriptors) = descriptors else { return limits.connections_max };
    let kept = OWN + apps.unwrap_or(PER_WORKER * u64::from(limits.max_concurrency));
    // Where that leaves less than half, workers and callers share alike.
    let left = descriptors.saturating_sub(kept).max(descriptors / 2).max(CONNECTIONS_MIN);
    u32::try_from(left).unwrap_or(u32::MAX).min(limits.connections_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_enough_for_all_else() {
        let limits = Limits { connections_max: 4096, max_concurrency: 16, ..Limits::default() };
        let connections = |descriptors| within(descriptors, &limits, None);
        assert_eq!(connections(None), 4096);
        assert_eq!(connections(Some(1 << 20)), 4096);
        assert_eq!(connections(Some(1024)), 1024 - 48 - 96);
        assert_eq!(connections(Some(256)), 128);
        assert_eq!(connections(Some(4)), 8);
        assert_eq!(within(Some(1024), &limits, Some(300)), 1024 - 48 - 300);
    }
}
