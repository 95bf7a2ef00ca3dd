//! Requests and contexts made by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::reply::Recorder;
use crate::Context;
use crate::execution::{Call, Execution};

/// A request to be made up: `POST /` without query, headers and body until told otherwise.
#[must_use = "it is given to `invoke`"]
#[derive(Debug, Clone)]
pub struct TestRequest {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// A request to be made up.
pub fn request() -> TestRequest {
    let (method, path) = ("POST".to_owned(), "/".to_owned());
    TestRequest { method, path, query: String::new(), headers: Vec::new(), body: Vec::new() }
}

impl TestRequest {
    /// The same request with this method.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// The same request with this path, percent-encoded; a `?` begins the query.
    pub fn path(mut self, path: &str) -> Self {
        match path.split_once('?') {
            Some((path, query)) => (self.path, self.query) = (path.to_owned(), query.to_owned()),
            None => self.path = path.to_owned(),
        }
        self
    }

    /// The same request with one more header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// The same request with this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same request with `value` as JSON for a body, and the header that says so.
    ///
    /// # Panics
    /// When JSON cannot hold the value.
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("a test's value can be written as JSON");
        self.header("content-type", "application/json").body(body)
    }
}

/// A context to be made up, with made-up ids and no deadline until told otherwise.
#[must_use = "it is given to `invoke`"]
#[derive(Debug, Clone)]
pub struct TestContext {
    execution_id: String,
    function_id: String,
    timeout: Option<Duration>,
    cancelled: bool,
}

/// A context to be made up.
pub fn context() -> TestContext {
    TestContext {
        execution_id: "01J0000000000000000000TEST".to_owned(),
        function_id: "local/test".to_owned(),
        timeout: None,
        cancelled: false,
    }
}

impl TestContext {
    /// The same context with this execution id.
    pub fn execution_id(mut self, id: impl Into<String>) -> Self {
        self.execution_id = id.into();
        self
    }

    /// The same context with this function id, `org/name`; the organisation is what stands before the `/`.
    pub fn function_id(mut self, id: impl Into<String>) -> Self {
        self.function_id = id.into();
        self
    }

    /// The same context with a deadline this far from the beginning of the call. Nothing is cancelled when it passes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same context, cancelled from the beginning.
    pub fn cancelled(mut self) -> Self {
        self.cancelled = true;
        self
    }

    /// The context by itself, for a function that a handler calls; what it logs and streams goes nowhere.
    #[must_use]
    pub fn build(self) -> Context {
        Context::new(execution(request(), self).0)
    }
}

/// Cancels the execution of `context`, as the host does when the time is up or the caller goes away.
pub fn cancel(context: &Context) {
    context.execution().signals.cancel();
}

pub(super) fn execution(request: TestRequest, context: TestContext) -> (Arc<Execution>, Arc<Recorder>) {
    let organization_id = context.function_id.split('/').next().unwrap_or_default();
    let texts =
        [&*context.execution_id, &context.function_id, organization_id, &request.method, &request.path, &request.query];
    let call = Call::from_parts(texts, request.headers, request.body);
    let deadline = context.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let recorder = Arc::new(Recorder::default());
    let execution = Execution::new(0, call, deadline, u64::MAX, recorder.clone());
    if context.cancelled {
        execution.signals.cancel();
    }
    (execution, recorder)
}
