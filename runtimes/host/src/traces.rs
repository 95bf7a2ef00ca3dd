//! Which trace an execution belongs to, for the lines it writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use ignite_core_model::{ExecutionId, TRACEPARENT_HEADER, TraceContext, TraceId};
use ignite_telemetry::{Entered, Kind, Tracer};

use crate::respond::Ids;

/// Parts that are locked apart, so that executions seldom wait for each other.
const PARTS: usize = 16;

/// Traces of the executions in hand. As many as there are requests, which are bounded.
#[derive(Debug, Default)]
pub(crate) struct Traces([Mutex<HashMap<ExecutionId, TraceId>>; PARTS]);

impl Traces {
    /// Notes the trace that a request names, until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>, execution: ExecutionId, headers: &HeaderMap) -> Option<Noted> {
        let trace = context(headers)?.trace;
        self.part(execution).insert(execution, trace);
        Some(Noted { traces: Arc::clone(self), execution })
    }

    /// The trace of an execution in hand.
    pub(crate) fn find(&self, execution: ExecutionId) -> Option<TraceId> {
        self.part(execution).get(&execution).copied()
    }

    fn part(&self, execution: ExecutionId) -> MutexGuard<'_, HashMap<ExecutionId, TraceId>> {
        let mut text = [0; ExecutionId::TEXT_BYTES];
        execution.to_text(&mut text);
        // The end of an id is random.
        let part = usize::from(text[ExecutionId::TEXT_BYTES - 1]) % PARTS;
        self.0[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An execution whose trace is known.
#[derive(Debug)]
pub(crate) struct Noted {
    traces: Arc<Traces>,
    execution: ExecutionId,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.traces.part(self.execution).remove(&self.execution);
    }
}

/// What a request says of its trace; one that is not valid, or said twice, is none.
pub(crate) fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut said = headers.get_all(TRACEPARENT_HEADER).iter();
    let (first, None) = (said.next()?, said.next()) else { return None };
    first.to_str().ok()?.parse().ok()
}

/// An execution that is a span of its trace.
pub(crate) struct Span {
    entered: Entered,
    begun: SystemTime,
    since: Instant,
}

impl Span {
    /// Begins it, and lets the handler see that it is called in it.
    pub(crate) fn enter(tracer: &Tracer, headers: &mut HeaderMap) -> Self {
        let entered = tracer.enter(context(headers));
        if let Ok(value) = HeaderValue::try_from(entered.context.to_string()) {
            headers.insert(TRACEPARENT_HEADER, value);
        }
        Self { entered, begun: SystemTime::now(), since: Instant::now() }
    }

    /// The head of the answer is there.
    pub(crate) fn answered(self, tracer: &Tracer, ids: &Ids, status: StatusCode) {
        let span = || ignite_telemetry::Span {
            context: self.entered.context,
            parent: self.entered.parent,
            name: "execution",
            kind: Kind::Server,
            begun: self.begun,
            took: self.since.elapsed(),
            failed: status.is_server_error(),
            attributes: vec![
                ("ignite.function_id", ids.function.to_string()),
                ("ignite.execution_id", ids.execution.to_string()),
                ("http.response.status_code", status.as_u16().to_string()),
            ],
        };
        tracer.export(span, &self.entered);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_trace_is_known_while_its_execution_is_in_hand() {
        let traces = Arc::new(Traces::default());
        let execution = ExecutionId::from_parts(1, 2);
        let mut headers = HeaderMap::new();
        assert!(traces.enter(execution, &headers).is_none());
        let value = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        headers.insert(TRACEPARENT_HEADER, value.clone());
        let traced = traces.enter(execution, &headers).unwrap();
        assert_eq!(traces.find(execution).unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(traces.find(ExecutionId::from_parts(1, 3)), None);
        drop(traced);
        assert_eq!(traces.find(execution), None);
        headers.append(TRACEPARENT_HEADER, value);
        assert!(traces.enter(execution, &headers).is_none(), "two are none");
    }
}
