//! What is counted. The names are stable and documented in `docs/reference/builder.md`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
    /// The lease was lost.
    Lost,
    /// Given back, for a fault of the platform or because the builder ends.
    GivenBack,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The figures of a builder.
pub struct Metrics {
    compiles: Family<OutcomeLabel, Counter<u64, AtomicU64>>,
    pub(crate) running: Gauge,
    pub(crate) lines: Counter,
    pub(crate) queue_errors: Counter,
    duration: Histogram,
    waited: Histogram,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ignite_builder");
        let compiles = Family::default();
        let (running, lines, queue_errors) = (Gauge::default(), Counter::default(), Counter::default());
        let duration = Histogram::new(exponential_buckets(0.05, 2.0, 15));
        let waited = Histogram::new(exponential_buckets(0.05, 2.0, 15));
        registry.register("compiles", "Attempts that ended, by how", compiles.clone());
        registry.register("running", "Compiles under way", running.clone());
        registry.register("log_lines", "Log lines written", lines.clone());
        registry.register("queue_errors", "Calls of the queue that failed or took too long", queue_errors.clone());
        registry.register("duration_seconds", "From the lease of a job to the end of its attempt", duration.clone());
        registry.register("waited_seconds", "From the queueing of a job to its first lease", waited.clone());
        Self { compiles, running, lines, queue_errors, duration, waited, registry }
    }
}

impl Metrics {
    pub(crate) fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    pub(crate) fn ended(&self, outcome: Outcome, time: Duration) {
        let outcome = match outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Lost => "lost",
            Outcome::GivenBack => "given_back",
        };
        self.compiles.get_or_create(&OutcomeLabel { outcome }).inc();
        self.duration.observe(time.as_secs_f64());
    }

    /// All of them, in the text format of Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
