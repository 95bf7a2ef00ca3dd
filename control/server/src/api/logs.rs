//! Lines of compiles and instances, and events of apps.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use connectrpc::{ConnectError, ServiceStream};
use futures_util::stream::unfold;
use ignite_control_deploy::logs_stream;
use ignite_control_pipeline::JobState;
use ignite_core_model::{FunctionId, LogLine};
use ignite_core_proto::v1;
use ignite_store_meta::{StoredLine, Topic, events_stream};

pub use ignite_core_model::compile_stream;

use super::drafts::{compile_end, compile_of};
use super::{Caller, Platform, apps, errors, show};
use crate::AppEvent;

type Answer<T> = Result<T, ConnectError>;

/// Lines in one message of a stream.
pub(crate) const LINES_PER_MESSAGE: u32 = 500;

/// Lines answered when the caller names no number, and the most there are.
const LINES: (u32, u32) = (1_000, 10_000);

/// Longest time between two looks, when no signal comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn line(stored: &StoredLine) -> v1::LogLine {
    let line: LogLine = serde_json::from_str(&stored.body).unwrap_or_default();
    v1::LogLine {
        sequence: stored.sequence,
        timestamp_ms: show::ms(stored.at_ms),
        stream: line.stream,
        text: line.text,
        instance_id: line.instance_id,
        execution_id: line.execution_id,
        trace_id: line.trace_id,
        ..Default::default()
    }
}

fn event(stored: &StoredLine) -> v1::AppEvent {
    let event: AppEvent = serde_json::from_str(&stored.body).unwrap_or_default();
    v1::AppEvent {
        sequence: stored.sequence,
        timestamp_ms: show::ms(stored.at_ms),
        kind: event.kind,
        message: event.message,
        version: event.version,
        instance_id: event.instance_id,
        ..Default::default()
    }
}

/// Lines of a compile until it has ended and all of them were sent.
pub(crate) async fn compile_lines(
    platform: Arc<Platform>,
    caller: &Caller,
    request: v1::StreamCompileLogsRequest,
) -> Answer<ServiceStream<v1::StreamCompileLogsResponse>> {
    let app = apps::load(&platform, caller, &request.app_id).await?;
    let job = compile_of(&app, &request.compile_id)?;
    let stream = compile_stream(&app.id, job);
    if app.find_job(job).is_none() && platform.meta().find_log(&stream).await.map_err(errors::meta)?.is_none() {
        return Err(ConnectError::not_found(format!("app `{}` has no compile `{job}`", app.id)));
    }
    let signals = (
        platform.meta().subscribe(Topic::Log(stream.clone())),
        platform.meta().subscribe(Topic::Log(events_stream(&app.id))),
    );
    let state = (platform, app.id, job, stream, request.from_sequence.max(1), signals);
    Ok(Box::pin(unfold(Some(state), |state| async move {
        let (platform, id, job, stream, from, (mut lines_signal, mut ends_signal)) = state?;
        loop {
            // The end first: lines are written before it.
            let (end, is_known) = match platform.apps.load(&id).await {
                Ok(app) => (compile_end(&app, job), app.find_job(job).is_some()),
                Err(error) => return Some((Err(errors::app(error)), None)),
            };
            let lines = match platform.meta().read_log(&stream, from, LINES_PER_MESSAGE).await {
                Ok(lines) => lines,
                Err(error) => return Some((Err(errors::meta(error)), None)),
            };
            let next = lines.last().map_or(from, |last| last.sequence + 1);
            let all = lines.len() < LINES_PER_MESSAGE as usize;
            // How an old compile ended is forgotten before its lines are.
            let is_over = end.is_some() || !is_known;
            if lines.is_empty() && !is_over {
                tokio::select! {
                    () = lines_signal.wait(LOOK_EVERY) => {}
                    () = ends_signal.wait(LOOK_EVERY) => {}
                }
                continue;
            }
            let mut message =
                v1::StreamCompileLogsResponse { lines: lines.iter().map(line).collect(), ..Default::default() };
            if is_over && all {
                let unknown = v1::CompileStatus::COMPILE_STATUS_UNSPECIFIED;
                message.status = end.as_ref().map_or(unknown, show::job_status).into();
                if let Some(JobState::Failed(why) | JobState::Cancelled(why)) = &end {
                    message.failure = buffa::MessageField::some(show::failure(why));
                }
                return Some((Ok(message), None));
            }
            return Some((Ok(message), Some((platform, id, job, stream, next, (lines_signal, ends_signal)))));
        }
    })))
}

fn wanted(limit: u32) -> u32 {
    if limit == 0 { LINES.0 } else { limit.min(LINES.1) }
}

/// The last lines of a stream, and the number the next one will have.
async fn tail(platform: &Platform, stream: &str, limit: u32) -> Answer<(Vec<StoredLine>, u64)> {
    let Some(log) = platform.meta().find_log(stream).await.map_err(errors::meta)? else { return Ok((Vec::new(), 1)) };
    let from = log.next.saturating_sub(u64::from(limit)).max(log.first);
    if limit == 0 {
        return Ok((Vec::new(), log.next));
    }
    let lines = platform.meta().read_log(stream, from, limit).await.map_err(errors::meta)?;
    Ok((lines, log.next))
}

pub(crate) async fn app_logs(
    platform: &Platform,
    caller: &Caller,
    request: v1::GetAppLogsRequest,
) -> Answer<v1::GetAppLogsResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let limit = wanted(request.limit);
    let filtered = !request.instance_id.is_empty() || !request.execution_id.is_empty();
    let (lines, _) = tail(platform, &logs_stream(&app.id), if filtered { LINES.1 } else { limit }).await?;
    let fits = |line: &v1::LogLine| {
        (request.instance_id.is_empty() || line.instance_id == request.instance_id)
            && (request.execution_id.is_empty() || line.execution_id == request.execution_id)
    };
    let lines: Vec<v1::LogLine> = lines.iter().map(line).filter(fits).collect();
    let cut = lines.len().saturating_sub(limit as usize);
    Ok(v1::GetAppLogsResponse { lines: lines.into_iter().skip(cut).collect(), ..Default::default() })
}

pub(crate) async fn app_events(
    platform: &Platform,
    caller: &Caller,
    request: v1::GetAppEventsRequest,
) -> Answer<v1::GetAppEventsResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let (lines, _) = tail(platform, &events_stream(&app.id), wanted(request.limit)).await?;
    Ok(v1::GetAppEventsResponse { events: lines.iter().map(event).collect(), ..Default::default() })
}

/// Follows a stream from a number on, for as long as the app is there.
fn follow(platform: Arc<Platform>, app: FunctionId, stream: String, from: u64) -> ServiceStream<Vec<StoredLine>> {
    let signal = platform.meta().subscribe(Topic::Log(stream.clone()));
    Box::pin(unfold(Some((platform, app, stream, from, signal)), |state| async move {
        let (platform, app, stream, from, mut signal) = state?;
        loop {
            let lines = match platform.meta().read_log(&stream, from, LINES_PER_MESSAGE).await {
                Ok(lines) => lines,
                Err(error) => return Some((Err(errors::meta(error)), None)),
            };
            if let Some(last) = lines.last() {
                let next = last.sequence + 1;
                return Some((Ok(lines), Some((platform, app, stream, next, signal))));
            }
            if platform.apps.load(&app).await.is_err() {
                return None;
            }
            signal.wait(LOOK_EVERY).await;
        }
    }))
}

pub(crate) async fn stream_logs(
    platform: Arc<Platform>,
    caller: &Caller,
    request: v1::StreamAppLogsRequest,
) -> Answer<ServiceStream<v1::StreamAppLogsResponse>> {
    use futures_util::StreamExt as _;
    let app = apps::load(&platform, caller, &request.app_id).await?;
    let stream = logs_stream(&app.id);
    let from = if request.from_sequence > 0 {
        request.from_sequence
    } else {
        let (lines, next) = tail(&platform, &stream, request.tail.min(LINES.1)).await?;
        lines.first().map_or(next, |first| first.sequence)
    };
    let instance = request.instance_id;
    let mut expected = from;
    let messages = follow(platform, app.id, stream, from).map(move |lines| {
        let lines = lines?;
        let first = lines.first().map_or(expected, |first| first.sequence);
        // Lines that were trimmed before they were read.
        let dropped = first.saturating_sub(expected);
        expected = lines.last().map_or(expected, |last| last.sequence + 1);
        let fits = |line: &v1::LogLine| instance.is_empty() || line.instance_id == instance;
        Ok(v1::StreamAppLogsResponse {
            lines: lines.iter().map(line).filter(fits).collect(),
            dropped,
            ..Default::default()
        })
    });
    // Whoever asks for one instance hears nothing of what the others say.
    let says = |message: &Answer<v1::StreamAppLogsResponse>| {
        ready(message.as_ref().map_or(true, |said| !said.lines.is_empty() || said.dropped > 0))
    };
    Ok(Box::pin(messages.filter(says)))
}

pub(crate) async fn stream_events(
    platform: Arc<Platform>,
    caller: &Caller,
    request: v1::StreamAppEventsRequest,
) -> Answer<ServiceStream<v1::StreamAppEventsResponse>> {
    use futures_util::StreamExt as _;
    let app = apps::load(&platform, caller, &request.app_id).await?;
    let stream = events_stream(&app.id);
    let from = if request.from_sequence > 0 { request.from_sequence } else { tail(&platform, &stream, 0).await?.1 };
    Ok(Box::pin(follow(platform, app.id, stream, from).map(|lines| {
        Ok(v1::StreamAppEventsResponse { events: lines?.iter().map(event).collect(), ..Default::default() })
    })))
}
