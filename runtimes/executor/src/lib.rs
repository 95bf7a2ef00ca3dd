//! The seam between the HTTP host and whatever runs a function.
//!
//! The host admits a request, makes an [`Invocation`] of it and hands it to an [`Executor`]; it gets a [`Reply`] or an
//! [`InvokeError`]. The host owns the clock and the queue; the executor owns the work and tells when it has really ended
//! by dropping the invocation's [`Slot`]. This crate knows neither HTTP sockets nor processes nor WebAssembly.
//!
//! Begin with [`Executor`].

mod body;
mod error;
pub mod fake;
mod invocation;
mod logs;
mod together;

pub use body::{BodySender, BodyStream, Broken, Disconnected, body_channel};
pub use error::InvokeError;
pub use invocation::{Invocation, Reply, ReplyBody, RequestBody, Slot};
pub use logs::{DiscardLogs, LogLine, LogSink, LogSource};
pub use together::leave_together;

use std::future::Future;
use std::pin::Pin;

/// A future that may be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether an execution could be served now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Yes.
    Ready,
    /// The handler is being loaded, or a worker replaced.
    Starting,
    /// No: it has no code yet, and is ready to get some.
    Warm,
    /// No, and a person should read why: a crash loop, a handler that cannot be loaded.
    Failed(String),
    /// No more: [`Executor::drain`] was called.
    Draining,
}

/// Runs one function.
///
/// Contract, held by every implementation and checked by the cases all of them pass:
/// - `invoke` never panics and never waits longer than the invocation's deadline plus the cancel grace.
/// - Dropping the future of `invoke`, or the body stream of its reply, cancels the execution.
/// - The invocation's [`Slot`] is dropped when the work has really stopped, and not before.
/// - A failure of one execution costs no other execution, unless both run in a process that had to be killed.
pub trait Executor: Send + Sync + 'static {
    /// Runs the handler once. What the handler itself raised is logged here, with its traceback; everything else is the
    /// caller's to log.
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, InvokeError>>;

    /// Whether an execution could be served now. Cheap: probes call it.
    fn health(&self) -> Health;

    /// Resolves when [`Executor::health`] is no longer [`Health::Starting`].
    fn started(&self) -> BoxFuture<'_, Health>;

    /// Takes no further invocations, lets those in flight finish until `deadline`, then ends all workers. Idempotent.
    fn drain(&self, deadline: tokio::time::Instant) -> BoxFuture<'_, ()>;

    /// Whether functions read a request's body while it arrives. Where they do, the host passes bodies on as
    /// [`RequestBody::Stream`]; elsewhere it reads them whole before it asks for a slot.
    fn reads_streams(&self) -> bool {
        false
    }

    /// Further figures for the metrics page, as (name, help, value); names follow Prometheus' rules and end in a unit.
    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        Vec::new()
    }
}
