//! What a handler knows of its execution besides the request.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::execution::{Execution, Text};
use crate::{Cancelled, Env, Log, StreamBuilder, TempStore};

/// The execution a handler runs in. A clone is the same execution.
#[derive(Clone)]
pub struct Context(Arc<Execution>);

impl Context {
    pub(crate) fn new(execution: Arc<Execution>) -> Self {
        Self(execution)
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn execution(&self) -> &Arc<Execution> {
        &self.0
    }

    /// The id of this execution, a ULID; the caller finds it in `x-ignite-execution-id`.
    #[must_use]
    pub fn execution_id(&self) -> &str {
        self.0.call.text(Text::ExecutionId)
    }

    /// The id of the app, `org/name`.
    #[must_use]
    pub fn function_id(&self) -> &str {
        self.0.call.text(Text::FunctionId)
    }

    /// The id of the organisation that owns the app.
    #[must_use]
    pub fn organization_id(&self) -> &str {
        self.0.call.text(Text::OrganizationId)
    }

    /// The environment variables of the app.
    #[must_use]
    pub fn env(&self) -> Env {
        Env::new()
    }

    /// Memory for scratch values, gone with this execution.
    #[must_use]
    pub fn temp_store(&self) -> TempStore {
        TempStore::new(self.0.clone())
    }

    /// A streaming answer, to be begun with [`StreamBuilder::start`].
    pub fn stream(&self) -> StreamBuilder {
        StreamBuilder::new(self.0.clone())
    }

    /// A log record under this execution's id.
    pub fn log(&self) -> Log {
        Log::new(self.0.clone())
    }

    /// When the execution will be cancelled; `None` where it has no limit.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// The time until [`Context::deadline`], zero when it has passed; `None` where there is no limit.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits until the execution is cancelled: its time is up, the caller went away, or the host stops.
    ///
    /// An `async` handler that never asks for this is dropped where it waits as soon as that happens. One that has asked
    /// gets 250 ms to come to an end by itself. On wasm nothing but a streamed answer tells that the caller went away.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled::new(self.0.clone())
    }

    /// Whether the execution is cancelled. A handler that is not `async` cannot be stopped from outside: one that
    /// computes for long asks now and then.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.signals.is_cancelled()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("execution_id", &self.execution_id())
            .field("function_id", &self.function_id())
            .field("organization_id", &self.organization_id())
            .finish_non_exhaustive()
    }
}
