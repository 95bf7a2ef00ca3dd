//! Spans of requests, sent to a collector over OTLP (HTTP with JSON), where one is configured.
//!
//! The gateway and hosts are parts of one trace: each makes a span of its own and passes on that it was sent in it. Without
//! a collector nothing is made, and what callers say of their trace is passed on as it is.
//!
//! Nobody ever waits for a collector: spans wait in a bounded queue, and those for which there is no room are dropped and
//! counted. Begin with [`Tracer`].

mod export;
mod options;
mod span;

pub use export::Tracer;
pub use options::{TRACER_VARIABLES, TracerFault, TracerOptions};
pub use span::{Entered, Kind, Span};
