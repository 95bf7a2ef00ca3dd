//! Runs one execution of a component of our own world.

use std::time::Duration;

use ignite_core_model::ExecutionId;
use ignite_runtimes_executor::{Invocation, InvokeError, Reply, ReplyBody};
use wasmtime::Store;

use crate::contract::{Function, FunctionPre, answer_head, types};
use crate::execution::Ended;
use crate::failure::{Bounds, Stage, explain};
use crate::state::State;

/// Calls `handle` with `invocation` and `body`. The store is gone when this returns.
pub(crate) async fn run(
    function: &FunctionPre<State>,
    mut store: Store<State>,
    invocation: &Invocation,
    body: &[u8],
    bounds: Bounds,
) -> Ended {
    let instance = match function.instantiate_async(&mut store).await {
        Ok(instance) => instance,
        Err(error) => return Ended::Failed(explain(error, Stage::Begin, store.data(), bounds)),
    };
    match call(&instance, &mut store, invocation, body).await {
        Ok(Ok(types::Outcome::Complete(response))) if store.data().head.is_some() => complete(response, bounds),
        Ok(Ok(types::Outcome::Complete(_))) => {
            Ended::Failed(InvokeError::BadReply("it began to stream an answer and then returned another".into()))
        }
        Ok(Ok(types::Outcome::Streamed)) if store.data().head.is_some() => {
            Ended::Failed(InvokeError::BadReply("it said that it streamed its answer, but it never began to".into()))
        }
        Ok(Ok(types::Outcome::Streamed)) => Ended::Streamed,
        Ok(Err(types::Failure { kind, message, trace })) => {
            Ended::Failed(InvokeError::Handler { kind, message, trace })
        }
        Err(error) => Ended::Failed(explain(error, Stage::Answer, store.data(), bounds)),
    }
}

async fn call(
    instance: &Function,
    store: &mut Store<State>,
    invocation: &Invocation,
    body: &[u8],
) -> wasmtime::Result<Result<types::Outcome, types::Failure>> {
    let mut id = [0; ExecutionId::TEXT_BYTES];
    let headers: Vec<_> = invocation.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = types::Request {
        execution_id: invocation.execution_id.to_text(&mut id),
        function_id: invocation.function_id.as_str(),
        organization_id: invocation.organization_id.as_str(),
        method: invocation.method.as_str(),
        path: &invocation.path,
        query: &invocation.query,
        headers: &headers,
        body,
        timeout_us: micros_left(invocation.deadline),
    };
    instance.call_handle(store, request).await
}

/// Time to `deadline`, at least one microsecond: zero would mean that there is no limit.
fn micros_left(deadline: tokio::time::Instant) -> u64 {
    let left: Duration = deadline.saturating_duration_since(tokio::time::Instant::now());
    u64::try_from(left.as_micros()).unwrap_or(u64::MAX).max(1)
}

fn complete(response: types::Response, bounds: Bounds) -> Ended {
    if response.body.len() > bounds.response_bytes_max {
        return Ended::Failed(InvokeError::ResponseTooLarge { response_bytes_max: bounds.response_bytes_max });
    }
    match answer_head(response.status, response.headers) {
        Ok((status, headers)) => {
            Ended::Complete(Reply { status, headers, body: ReplyBody::Full(response.body.into()) })
        }
        Err(error) => Ended::Failed(error),
    }
}
