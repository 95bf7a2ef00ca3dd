//! What is counted. The names are stable and documented in `docs/reference/metrics.md`.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Answers are counted by the class of their status, and by whose they are; never by app, whose number has no bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AnswerLabels {
    pub(crate) class: &'static str,
    pub(crate) source: &'static str,
}

/// Classes of a status, from 1 on.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    App,
    Gateway,
}

impl Source {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Gateway => "gateway",
        }
    }
}

pub(crate) struct Metrics {
    answers: Family<AnswerLabels, Counter<u64, AtomicU64>>,
    /// Those of `answers` that were counted before, by class and source: to look one up takes a lock.
    known: [[OnceLock<Counter<u64, AtomicU64>>; 2]; CLASSES.len()],
    pub(crate) connections: Gauge,
    pub(crate) in_flight: Gauge,
    pub(crate) retries: Counter,
    pub(crate) duration: Histogram,
    pub(crate) held: Histogram,
    registry: Registry,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("ignite_gateway");
        let answers = Family::default();
        let (connections, in_flight) = (Gauge::default(), Gauge::default());
        let retries = Counter::default();
        let duration = Histogram::new(exponential_buckets(0.0005, 2.0, 18));
        let held = Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        registry.register("requests", "Requests answered, by class of status and by who answered", answers.clone());
        registry.register("connections", "Open client connections", connections.clone());
        registry.register("in_flight", "Requests in flight", in_flight.clone());
        registry.register(
            "retries",
            "Requests tried at another instance because they were not delivered",
            retries.clone(),
        );
        registry.register("duration_seconds", "From the head of a request to the head of its answer", duration.clone());
        registry.register("held_seconds", "Time that requests waited for a place at an instance", held.clone());
        Self { answers, known: Default::default(), connections, in_flight, retries, duration, held, registry }
    }

    pub(crate) fn answered(&self, status: http::StatusCode, source: Source) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let counter =
            || self.answers.get_or_create(&AnswerLabels { class: CLASSES[class], source: source.word() }).clone();
        self.known[class][source as usize].get_or_init(counter).inc();
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
