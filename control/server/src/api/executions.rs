//! Calls of apps, and what became of those nobody waited for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connectrpc::{ConnectError, ServiceStream};
use futures_util::StreamExt as _;
use futures_util::stream::{once, unfold};
use http::Response;
use http_body_util::BodyExt as _;
use ignite_core_model::{ExecutionId, VERSION_HEADER};
use ignite_core_proto::v1::__buffa::oneof::invoke_response::Frame;
use ignite_core_proto::v1::invoke_response::{Head, Trailer};
use ignite_core_proto::{Checker, v1};
use ignite_store_meta::{Execution, ExecutionStatus, Topic, WholeExecution};
use tokio::time::{Instant, timeout_at};

use super::{Caller, Platform, apps, call, errors, show};
use crate::executions::{AnswerBody, StoredAnswer, Trouble};

type Answer<T> = Result<T, ConnectError>;

/// Longest payload of a call whose caller waits, in bytes: what hosts take, too.
pub(crate) const INVOKE_BYTES_MAX: usize = 6 << 20;

/// Longest payload of a call that is kept until it is carried out, in bytes.
const ASYNC_BYTES_MAX: usize = 1 << 20;

/// Longest time between two looks at an execution that is watched, when no signal comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The app's answer as it comes. `deadline` is the caller's own; when the stream is dropped the execution is cancelled.
pub(crate) async fn invoke(
    platform: Arc<Platform>,
    caller: &Caller,
    request: v1::InvokeRequest,
    deadline: Option<std::time::Instant>,
) -> Answer<ServiceStream<v1::InvokeResponse>> {
    let app = apps::load(&platform, caller, &request.app_id).await?;
    let call = call::check(request.http.as_option(), request.body.len(), INVOKE_BYTES_MAX)?;
    let (begun, id) = (Instant::now(), platform.apps.clock().execution_id());
    let until = begun + platform.executions.call_max(&app).await.map_err(errors::execution)?;
    let until = deadline.map_or(until, |deadline| until.min(deadline.into()));
    let answer = timeout_at(until, platform.executions.call(&app, id, &call, Bytes::from(request.body))).await;
    let late = |_| ConnectError::deadline_exceeded(format!("execution {id} was not answered in time and is cancelled"));
    let answer = answer.map_err(late)?.map_err(errors::execution)?;
    Ok(frames(answer, id, begun, until))
}

fn frames(
    answer: Response<AnswerBody>,
    id: ExecutionId,
    begun: Instant,
    until: Instant,
) -> ServiceStream<v1::InvokeResponse> {
    let (head, body) = answer.into_parts();
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| v1::Header {
        name: name.as_str().to_owned(),
        value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        ..Default::default()
    };
    let version = head.headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    let first = Head {
        status: u32::from(head.status.as_u16()),
        headers: head.headers.iter().map(header).collect(),
        execution_id: id.to_string(),
        version: version.unwrap_or_default(),
        ..Default::default()
    };
    let rest = unfold(Some(body), move |body| async move {
        let mut body = body?;
        loop {
            let error = match timeout_at(until, body.frame()).await {
                Err(_) => "the answer did not end in time",
                Ok(Some(Err(_))) => "the answer broke off",
                Ok(None) => "",
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => {
                        return Some((Ok(frame_of(Frame::Chunk(data.to_vec()))), Some(body)));
                    }
                    _ => continue,
                },
            };
            let trailer = Trailer {
                error: error.to_owned(),
                duration_us: i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX),
                ..Default::default()
            };
            return Some((Ok(frame_of(trailer.into())), None));
        }
    });
    Box::pin(once(async { Ok(frame_of(first.into())) }).chain(rest))
}

fn frame_of(frame: Frame) -> v1::InvokeResponse {
    v1::InvokeResponse { frame: Some(frame), ..Default::default() }
}

pub(crate) async fn invoke_async(
    platform: &Platform,
    caller: &Caller,
    request: v1::InvokeAsyncRequest,
) -> Answer<v1::InvokeAsyncResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let call = call::check(request.http.as_option(), request.body.len(), ASYNC_BYTES_MAX)?;
    let id = match request.idempotency_id.as_str() {
        "" => platform.apps.clock().execution_id(),
        text => text.parse().map_err(|error| errors::field("idempotency_id", &format!("is not valid: {error}")))?,
    };
    let body = Bytes::from(request.body);
    platform.executions.accept(&app, id, &call, body).await.map_err(errors::execution)?;
    Ok(v1::InvokeAsyncResponse { execution_id: id.to_string(), ..Default::default() })
}

/// An execution of the caller's organisation. Those of others do not exist for who asks.
async fn load(platform: &Platform, caller: &Caller, text: &str) -> Answer<WholeExecution> {
    let id: ExecutionId =
        text.parse().map_err(|error| errors::field("execution_id", &format!("is not valid: {error}")))?;
    let found = platform.meta().find_execution(id).await.map_err(errors::meta)?;
    found.filter(|whole| whole.execution.app.organization() == caller.organization).ok_or_else(|| {
        let days = platform.executions.limits().kept_max.as_secs() / (24 * 3600);
        ConnectError::not_found(format!(
            "there is no execution `{id}`: only those of InvokeAsync are kept, for {days} days"
        ))
    })
}

/// The whole of an execution: with its answer, once it has ended.
async fn shown_whole(platform: &Platform, whole: &WholeExecution) -> Answer<v1::Execution> {
    let body = platform.executions.read(&whole.output).await.map_err(errors::objects)?;
    Ok(v1::Execution { response_body: body.to_vec(), ..shown(&whole.execution) })
}

pub(crate) async fn get(
    platform: &Platform,
    caller: &Caller,
    request: v1::GetExecutionRequest,
) -> Answer<v1::GetExecutionResponse> {
    let whole = load(platform, caller, &request.execution_id).await?;
    let execution = shown_whole(platform, &whole).await?;
    Ok(v1::GetExecutionResponse { execution: buffa::MessageField::some(execution), ..Default::default() })
}

pub(crate) async fn cancel(
    platform: &Platform,
    caller: &Caller,
    request: v1::CancelExecutionRequest,
) -> Answer<v1::CancelExecutionResponse> {
    let Execution { app, id, .. } = load(platform, caller, &request.execution_id).await?.execution;
    platform.executions.cancel(&app, id).await.map_err(errors::meta)?;
    let whole = load(platform, caller, &request.execution_id).await?;
    Ok(v1::CancelExecutionResponse {
        execution: buffa::MessageField::some(shown(&whole.execution)),
        ..Default::default()
    })
}

pub(crate) async fn list(
    platform: &Platform,
    caller: &Caller,
    request: v1::ListExecutionsRequest,
) -> Answer<v1::ListExecutionsResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let mut checker = Checker::default();
    let limit = checker.limit("limit", request.limit);
    let before: Option<ExecutionId> = match request.cursor.as_str() {
        "" => None,
        cursor => cursor.parse().map_err(|_| checker.fault("cursor", "is none that a page ended with")).ok(),
    };
    let status = match request.status.as_known() {
        Some(v1::ExecutionStatus::EXECUTION_STATUS_UNSPECIFIED) => None,
        Some(status) => ExecutionStatus::ALL.into_iter().find(|one| to_status(*one) == status),
        None => {
            checker.fault("status", "is not a status there is");
            None
        }
    };
    checker.finish(Some(())).map_err(|faults| errors::fields(&faults))?;
    let page = platform.meta().list_executions(&app.id, status, before, limit).await.map_err(errors::meta)?;
    let full = page.len() == limit as usize;
    let next_cursor = page.last().filter(|_| full).map_or_else(String::new, |last| last.id.to_string());
    Ok(v1::ListExecutionsResponse { executions: page.iter().map(shown).collect(), next_cursor, ..Default::default() })
}

pub(crate) async fn stats(
    platform: &Platform,
    caller: &Caller,
    request: v1::GetExecutionStatsRequest,
) -> Answer<v1::GetExecutionStatsResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let since_ms =
        u64::try_from(request.since_ms).map_err(|_| errors::field("since_ms", "is negative: it counts from 1970"))?;
    let counts = platform.meta().count_executions(&app.id, since_ms).await.map_err(errors::meta)?;
    let count = |(status, count): (ExecutionStatus, u64)| v1::get_execution_stats_response::Count {
        status: to_status(status).into(),
        count,
        ..Default::default()
    };
    Ok(v1::GetExecutionStatsResponse { counts: counts.into_iter().map(count).collect(), ..Default::default() })
}

/// The execution now and at each change; with its answer in the last message.
pub(crate) async fn watch(
    platform: Arc<Platform>,
    caller: &Caller,
    request: v1::WatchExecutionRequest,
) -> Answer<ServiceStream<v1::WatchExecutionResponse>> {
    let first = load(&platform, caller, &request.execution_id).await?;
    let signal = platform.meta().subscribe(Topic::Execution(first.execution.id));
    let state = (platform, caller.clone(), request.execution_id, signal, None::<v1::Execution>);
    Ok(Box::pin(unfold(Some(state), |state| async move {
        let (platform, caller, id, mut signal, last) = state?;
        loop {
            let now = match look(&platform, &caller, &id).await {
                Ok(now) => now,
                Err(error) => return Some((Err(error), None)),
            };
            if last.as_ref() != Some(&now) {
                let ended = now.ended_at_ms > 0;
                let next = (!ended).then(|| (platform, caller, id, signal, Some(now.clone())));
                let execution = buffa::MessageField::some(now);
                return Some((Ok(v1::WatchExecutionResponse { execution, ..Default::default() }), next));
            }
            signal.wait(LOOK_EVERY).await;
        }
    })))
}

async fn look(platform: &Platform, caller: &Caller, id: &str) -> Answer<v1::Execution> {
    let whole = load(platform, caller, id).await?;
    shown_whole(platform, &whole).await
}

fn shown(execution: &Execution) -> v1::Execution {
    let answer: StoredAnswer =
        execution.response.as_deref().and_then(|stored| serde_json::from_str(stored).ok()).unwrap_or_default();
    v1::Execution {
        id: execution.id.to_string(),
        app_id: execution.app.to_string(),
        version: execution.version.map_or(0, |version| version.get()),
        status: to_status(execution.status).into(),
        response_status: u32::from(answer.status),
        response_content_type: answer.content_type,
        error: Trouble::read(execution.error.as_deref()).reason,
        attempts: execution.attempt,
        created_at_ms: show::ms(execution.created_ms),
        started_at_ms: execution.started_ms.map_or(0, show::ms),
        ended_at_ms: execution.ended_ms.map_or(0, show::ms),
        ..Default::default()
    }
}

fn to_status(status: ExecutionStatus) -> v1::ExecutionStatus {
    match status {
        ExecutionStatus::Pending => v1::ExecutionStatus::EXECUTION_STATUS_PENDING,
        ExecutionStatus::Running => v1::ExecutionStatus::EXECUTION_STATUS_RUNNING,
        ExecutionStatus::Succeeded => v1::ExecutionStatus::EXECUTION_STATUS_SUCCEEDED,
        ExecutionStatus::Failed => v1::ExecutionStatus::EXECUTION_STATUS_FAILED,
        ExecutionStatus::TimedOut => v1::ExecutionStatus::EXECUTION_STATUS_TIMED_OUT,
        ExecutionStatus::Cancelled => v1::ExecutionStatus::EXECUTION_STATUS_CANCELLED,
    }
}
