//! What goes into an execution and what comes out.

use std::any::Any;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use ignite_core_model::{ExecutionId, FunctionId, OrganizationId};

use crate::body::BodyStream;

/// The right to run one execution. Whoever holds it may run; dropping it gives the right back, so an executor keeps it
/// until the work has really stopped, which may be after the caller was answered.
pub struct Slot(#[expect(dead_code, reason = "held for its Drop")] Option<Box<dyn Any + Send + Sync>>);

impl Slot {
    /// A slot that gives `permit` back when it is dropped.
    pub fn new(permit: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(permit)))
    }

    /// A slot nobody counts, for tests and single calls.
    #[must_use]
    pub fn unlimited() -> Self {
        Self(None)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// One admitted request.
#[derive(Debug)]
pub struct Invocation {
    /// The execution's public id.
    pub execution_id: ExecutionId,
    /// The app, `org/name`.
    pub function_id: FunctionId,
    /// The app's organisation.
    pub organization_id: OrganizationId,
    /// As sent.
    pub method: Method,
    /// Path as sent, percent-encoded, beginning with `/`.
    pub path: String,
    /// Query without the `?`, as sent.
    pub query: String,
    /// Request headers, hop-by-hop headers already removed.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: RequestBody,
    /// When the execution must have ended. The host answers 504 at this moment and drops the future; executors pass the
    /// time on to the handler.
    pub deadline: tokio::time::Instant,
    /// When the head of the answer must be there; never after `deadline`. The host drops the future at this moment too, and
    /// to an executor that is as late as the deadline.
    pub head_by: tokio::time::Instant,
    /// The right to run.
    pub slot: Slot,
}

/// A request body, within the payload limit.
#[derive(Debug)]
pub enum RequestBody {
    /// All of it.
    Full(Bytes),
    /// As it arrives, for executors whose functions read while the caller writes.
    Stream(BodyStream),
}

/// What an execution answers.
#[derive(Debug)]
pub struct Reply {
    /// 200 to 599.
    pub status: StatusCode,
    /// As the function set them; the host removes what is its own to say.
    pub headers: HeaderMap,
    /// The body.
    pub body: ReplyBody,
}

/// A response body.
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it, within the response limit.
    Full(Bytes),
    /// As the function writes it.
    Stream(BodyStream),
}
