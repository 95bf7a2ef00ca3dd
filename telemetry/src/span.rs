//! Spans, and their form in OTLP (opentelemetry-proto, the JSON encoding).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ignite_core_model::{SpanId, TraceContext};
use serde_json::{Value, json};

/// A part of a trace that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// The trace, and the span itself.
    pub context: TraceContext,
    /// The span it is a part of.
    pub parent: Option<SpanId>,
    /// What was done, of few different words.
    pub name: &'static str,
    /// Its place in the trace.
    pub kind: Kind,
    /// When it began.
    pub begun: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Whether it failed, by a fault of the platform's or the app's.
    pub failed: bool,
    /// What else is known of it.
    pub attributes: Vec<(&'static str, String)>,
}

/// The place of a span in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Within a part.
    Internal,
    /// It answers a request from elsewhere.
    Server,
}

/// A request that has come in: what is to be passed on of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// To be passed on, and for the span to come.
    pub context: TraceContext,
    /// The span it was sent in.
    pub parent: Option<SpanId>,
}

impl Span {
    pub(crate) fn to_json(&self) -> Value {
        let begun = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        let kind = match self.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
        };
        let mut span = json!({
            "traceId": self.context.trace.to_string(),
            "spanId": self.context.span.to_string(),
            "name": self.name,
            "kind": kind,
            // Numbers of 64 bits are text in this encoding.
            "startTimeUnixNano": begun.as_nanos().to_string(),
            "endTimeUnixNano": (begun + self.took).as_nanos().to_string(),
            "attributes": attributes(self.attributes.iter().map(|(name, value)| (*name, value.as_str()))),
            "status": if self.failed { json!({ "code": 2 }) } else { json!({}) },
        });
        if let Some(parent) = self.parent {
            span["parentSpanId"] = parent.to_string().into();
        }
        span
    }
}

pub(crate) fn attributes<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    pairs.map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } })).collect()
}
