//! What the host counts. Every handle is made once; a request touches atomics and two short locks.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::clocks::Clock;

/// Upper bounds of the duration buckets, in seconds: 100 µs to 100 s.
const DURATION_BUCKETS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 100.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

/// Classes of status, from 200 on.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClockLabel {
    clock: &'static str,
}

/// The host's counters.
pub(crate) struct Metrics {
    registry: Registry,
    executions: [Counter; 4],
    refusals: Family<TypeLabel, Counter>,
    durations: Histogram,
    queue_waits: Histogram,
    expired: [Counter; Clock::ALL.len()],
    pub(crate) connections: Gauge,
    pub(crate) broken_answers: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ignite_host");
        let by_class: Family<ClassLabel, Counter> = Family::default();
        let refusals: Family<TypeLabel, Counter> = Family::default();
        let durations = Histogram::new(DURATION_BUCKETS);
        let queue_waits = Histogram::new(DURATION_BUCKETS);
        let (connections, broken_answers) = (Gauge::default(), Counter::default());
        registry.register("executions", "Executions answered, by class of status", by_class.clone());
        registry.register("errors", "Answers the host itself gave, by type", refusals.clone());
        registry.register_with_unit(
            "execution_duration",
            "From a request's headers to its answer's headers",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register_with_unit("queue_wait", "Waiting for a slot", Unit::Seconds, queue_waits.clone());
        let by_clock: Family<ClockLabel, Counter> = Family::default();
        let of_clocks = "Executions that a clock ended: queue, response_start, idle or total";
        registry.register("clock_expired", of_clocks, by_clock.clone());
        let expired = Clock::ALL.map(|clock| by_clock.get_or_create(&ClockLabel { clock: clock.word() }).clone());
        registry.register("connections", "Open client connections", connections.clone());
        registry.register("broken_answers", "Answers that broke off after they had begun", broken_answers.clone());
        let executions = CLASSES.map(|class| by_class.get_or_create(&ClassLabel { class }).clone());
        Self { registry, executions, refusals, durations, queue_waits, expired, connections, broken_answers }
    }
}

impl Metrics {
    /// An execution was answered.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        self.executions[class].inc();
        self.durations.observe(took.as_secs_f64());
    }

    /// How often an execution was answered.
    pub(crate) fn answered_so_far(&self) -> u64 {
        self.executions.iter().map(Counter::get).sum()
    }

    /// The host itself answered; `kind` is one of the fixed words of `errors.rs`.
    pub(crate) fn refused(&self, kind: &'static str) {
        self.refusals.get_or_create(&TypeLabel { r#type: kind }).inc();
    }

    /// A clock has ended an execution.
    pub(crate) fn expired(&self, clock: Clock) {
        self.expired[clock as usize].inc();
    }

    /// An execution has waited for a slot.
    pub(crate) fn queued(&self, waited: Duration) {
        self.queue_waits.observe(waited.as_secs_f64());
    }

    /// The page in the OpenMetrics text format, with figures that are read when asked for.
    pub(crate) fn page(&self, further: &[(&str, &str, f64)]) -> String {
        let mut page = String::new();
        for (name, help, value) in further {
            page.push_str(&format!(
                "# HELP ignite_host_{name} {help}\n# TYPE ignite_host_{name} gauge\nignite_host_{name} {value}\n"
            ));
        }
        // Writing into a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut page, &self.registry);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_what_was_counted() {
        let metrics = Metrics::default();
        metrics.answered(201, Duration::from_millis(3));
        metrics.answered(504, Duration::from_millis(3));
        metrics.refused("timeout");
        assert_eq!(metrics.answered_so_far(), 2);
        let page = metrics.page(&[("slots_busy", "Slots that are taken", 2.0)]);
        for line in [
            "ignite_host_executions_total{class=\"2xx\"} 1",
            "ignite_host_executions_total{class=\"5xx\"} 1",
            "ignite_host_errors_total{type=\"timeout\"} 1",
            "ignite_host_execution_duration_seconds_count 2",
            "ignite_host_slots_busy 2",
            "# EOF",
        ] {
            assert!(page.contains(line), "no {line} in:\n{page}");
        }
    }
}
