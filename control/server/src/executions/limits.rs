//! The bounds of executions.

use std::time::Duration;

/// How many executions there may be, how long they may take, and how long they are kept.
#[derive(Debug, Clone)]
pub struct ExecutionLimits {
    /// Accepted executions carried out at once by this process.
    pub running_max: usize,
    /// Of one app, about: so that one app's queue leaves room for others.
    pub running_per_app_max: usize,
    /// Accepted executions of one app that wait. Beyond it none is accepted.
    pub pending_per_app_max: u32,
    /// How long an execution stays with a control plane that says nothing. After a crash it waits for so long at most.
    pub lease: Duration,
    /// Instances that may be lost while they carry one execution out. It is ended then: it may be what ends them.
    pub lost_max: u32,
    /// How often one execution may be handed out, whatever became of it.
    pub attempts_max: u32,
    /// How long an execution that no instance has taken is tried again, from its acceptance on.
    pub undelivered_max: Duration,
    /// Pause before the second attempt; it doubles with each.
    pub backoff: Duration,
    /// Longest pause between two attempts.
    pub backoff_max: Duration,
    /// What a call may take beyond the app's own timeout: waiting for an instance, and the way there and back.
    pub call_slack: Duration,
    /// Longest answer that is kept, in bytes.
    pub result_bytes_max: usize,
    /// How long an execution is kept after its end.
    pub kept_max: Duration,
    /// Ended executions of one app that are kept, about: the oldest go first.
    pub kept_per_app_max: u32,
    /// How long executions that run may take to finish when this process ends. What has not is put back into the queue.
    pub drain_max: Duration,
}

impl Default for ExecutionLimits {
    fn default() -> Self {
        Self {
            running_max: 64,
            running_per_app_max: 16,
            pending_per_app_max: 10_000,
            lease: Duration::from_secs(15),
            lost_max: 3,
            attempts_max: 500,
            undelivered_max: Duration::from_secs(6 * 3600),
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            call_slack: Duration::from_secs(60),
            result_bytes_max: 1 << 20,
            kept_max: Duration::from_secs(7 * 24 * 3600),
            kept_per_app_max: 10_000,
            drain_max: Duration::from_secs(10),
        }
    }
}

/// Milliseconds, as the records count.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
