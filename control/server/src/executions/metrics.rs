//! What is counted of executions. The names are stable and documented in `docs/reference/metrics.md`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ignite_store_meta::ExecutionStatus;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Why an execution is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No instance took it.
    NotDelivered,
    /// What carried it out is gone.
    InstanceLost,
    /// The control plane ended while it ran.
    ControlEnded,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The figures of this process; never by app, whose number has no bound.
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    running: Gauge,
    waiting: Gauge,
    retried: Family<CauseLabel, Counter<u64, AtomicU64>>,
    ended: Family<OutcomeLabel, Counter<u64, AtomicU64>>,
    waited: Histogram,
    duration: Histogram,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ignite_control");
        let (accepted, running, waiting) = (Counter::default(), Gauge::default(), Gauge::default());
        let (retried, ended) = (Family::default(), Family::default());
        let waited = Histogram::new(exponential_buckets(0.005, 2.0, 20));
        let duration = Histogram::new(exponential_buckets(0.005, 2.0, 20));
        registry.register("executions_accepted", "Executions accepted by this process", accepted.clone());
        registry.register("executions_running", "Executions this process carries out", running.clone());
        registry.register("executions_waiting", "Executions in the store that wait, of all apps", waiting.clone());
        registry.register("executions_retried", "Attempts after which an execution is tried again", retried.clone());
        registry.register("executions_ended", "Executions that ended, by how", ended.clone());
        registry.register("executions_waited_seconds", "From acceptance to the first attempt", waited.clone());
        registry.register(
            "executions_duration_seconds",
            "From the beginning of an attempt to its end",
            duration.clone(),
        );
        let metrics = Self { accepted, running, waiting, retried, ended, waited, duration, registry };
        // Listed from the start, so that a rate over them has a beginning.
        for status in ExecutionStatus::ALL {
            if !matches!(status, ExecutionStatus::Pending | ExecutionStatus::Running) {
                drop(metrics.ended.get_or_create(&OutcomeLabel { outcome: status.as_str() }));
            }
        }
        for cause in [Cause::NotDelivered, Cause::InstanceLost, Cause::ControlEnded] {
            drop(metrics.retried.get_or_create(&CauseLabel { cause: cause.word() }));
        }
        metrics
    }
}

impl Cause {
    fn word(self) -> &'static str {
        match self {
            Self::NotDelivered => "not_delivered",
            Self::InstanceLost => "instance_lost",
            Self::ControlEnded => "control_ended",
        }
    }
}

/// Counts one that runs for as long as it is held.
pub(crate) struct Runs(Gauge);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// An attempt begins.
    pub(crate) fn run(&self) -> Runs {
        self.running.inc();
        Runs(self.running.clone())
    }

    /// The first attempt began so long after the acceptance.
    pub(crate) fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    /// An attempt took so long, however it ended.
    pub(crate) fn took(&self, time: Duration) {
        self.duration.observe(time.as_secs_f64());
    }

    pub(crate) fn retried(&self, cause: Cause) {
        self.retried.get_or_create(&CauseLabel { cause: cause.word() }).inc();
    }

    /// An execution is over, once.
    pub(crate) fn ended(&self, status: ExecutionStatus) {
        self.ended.get_or_create(&OutcomeLabel { outcome: status.as_str() }).inc();
    }

    /// How many wait in the store, as it was found last.
    pub(crate) fn found_waiting(&self, count: u32) {
        self.waiting.set(i64::from(count));
    }

    /// All of them, in the OpenMetrics text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
