//! Code that is run once, to be tried: a draft, or a version whether it is live or not.
//!
//! It gets a row of desired state of its own ([`VersionNumber::TRIAL`]) and so an instance like any other, with its
//! limits, variables and sandbox; but no number and no route, so that nobody can reach it from outside and nothing that is live
//! notices. It is called where it runs, and ended when it has answered. If this process dies meanwhile, the app's time for it ends
//! it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use ignite_control_deploy::{LogLine, logs_stream};
use ignite_control_pipeline::Event;
use ignite_core_model::{
    AppSettings, Compiled, EXECUTION_ID_HEADER, ExecutionId, FUNCTION_ID_HEADER, FunctionId, InstanceDetail,
    InstanceId, InstanceSpec, InstanceState, ORGANIZATION_ID_HEADER, VersionNumber,
};
use ignite_store_meta::{MetaError, StoredLine, Topic};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::send::{SendError, send};
use super::{Call, ExecutionError, Executions, TIMEOUT_SECS_DEFAULT};
use crate::{AppError, Attached};

/// Longest time between two looks at the instance, when no signal comes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a trial may take beyond the app's own timeout, to be answered by its host.
const ANSWER_SLACK: Duration = Duration::from_secs(10);

/// How long an instance may take to end before its lines are read all the same.
const END_MAX: Duration = Duration::from_secs(3);

/// An instance that has ended writes no more lines after so long.
const LINES_SETTLE: Duration = Duration::from_millis(100);

/// Newest lines of the app among which those of the trial are looked for, and most that are answered.
const LINES_READ: u32 = 5_000;
const LINES_MAX: usize = 1_000;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Code {
    /// What the compiler made.
    pub compiled: Compiled,
    /// With which limits and variables it runs.
    pub settings: AppSettings,
}

/// What came of it.
#[derive(Debug)]
pub struct Tried {
    /// The id of the execution.
    pub id: ExecutionId,
    /// Status of the answer.
    pub status: StatusCode,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Body of the answer, at most [`ExecutionLimits::result_bytes_max`](super::ExecutionLimits::result_bytes_max).
    pub body: Bytes,
    /// What its instance wrote, from its start on; the newest if there are too many.
    pub lines: Vec<StoredLine>,
}

impl Executions {
    /// Runs code once. One trial of an app at a time. Dropping the future ends the trial.
    ///
    /// # Errors
    /// [`ExecutionError::App`] if something is being tried, [`ExecutionError::Trial`] if it does not come to run,
    /// [`ExecutionError::TrialTimedOut`].
    pub async fn try_out(
        &self,
        app: &FunctionId,
        code: Code,
        call: Call,
        body: Bytes,
    ) -> Result<Tried, ExecutionError> {
        let stop = CancellationToken::new();
        let _ends_with_the_caller = stop.clone().drop_guard();
        let (this, app) = (self.clone(), app.clone());
        // A task of its own: when the caller goes away, what was wanted is still taken back.
        let trial = tokio::spawn(async move { this.trial(&app, code, call, body, stop).await });
        trial.await.unwrap_or_else(|error| Err(ExecutionError::Trial(error.to_string())))
    }

    async fn trial(
        &self,
        app: &FunctionId,
        code: Code,
        call: Call,
        body: Bytes,
        stop: CancellationToken,
    ) -> Result<Tried, ExecutionError> {
        let timeout_secs = code.settings.timeout_secs.unwrap_or(TIMEOUT_SECS_DEFAULT);
        let event = Event::Try { compiled: Box::new(code.compiled), settings: Box::new(code.settings) };
        let begun = self.apps.send(app, event, Attached::default()).await?;
        let start = begun.trial.ok_or_else(|| AppError::Missing(app.clone()))?.generation;
        let ran = tokio::select! {
            ran = self.run_trial(app, start, Duration::from_secs(timeout_secs.into()), call, body) => ran,
            () = stop.cancelled() => Err(ExecutionError::Trial("its caller went away".to_owned())),
        };
        // If this fails, the app's time for it ends it.
        if let Err(error) = self.apps.send(app, Event::Tried { generation: start }, Attached::default()).await {
            tracing::warn!(%app, error = &error as &dyn std::error::Error, "a trial was not ended");
        }
        let (instance, mut tried) = ran?;
        tried.lines = self.trial_lines(app, instance).await?;
        Ok(tried)
    }

    async fn run_trial(
        &self,
        app: &FunctionId,
        start: u64,
        limit: Duration,
        call: Call,
        body: Bytes,
    ) -> Result<(InstanceId, Tried), ExecutionError> {
        let (instance, address) = self.trial_instance(app, start).await?;
        let id = self.apps.clock().execution_id();
        let request = request(app, &self.gateway.host(app), id, call, body)?;
        let most = self.limits.result_bytes_max;
        let answered = timeout(limit + ANSWER_SLACK, async {
            let answer = send(&address, request).await.map_err(|error| match error {
                SendError::NotDelivered(_) => "its instance could not be reached".to_owned(),
                SendError::BrokenOff(_) => "its instance ended before it answered".to_owned(),
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    format!("its answer has more than {most} bytes")
                } else {
                    "its answer broke off".to_owned()
                }
            })?;
            Ok((head, body.to_bytes()))
        });
        let (head, body) =
            answered.await.map_err(|_| ExecutionError::TrialTimedOut(limit))?.map_err(ExecutionError::Trial)?;
        Ok((instance, Tried { id, status: head.status, headers: head.headers, body, lines: Vec::new() }))
    }

    /// Waits for the instance of a trial, and tells where it is.
    async fn trial_instance(&self, app: &FunctionId, start: u64) -> Result<(InstanceId, String), ExecutionError> {
        let meta = self.apps.meta();
        let mut signal = meta.subscribe(Topic::Changes);
        let most = Duration::from_millis(self.apps.bounds().start_ms_max);
        let deadline = Instant::now() + most;
        loop {
            let rows = meta.list_desired(app).await?;
            let mine = |spec: &str| serde_json::from_str::<InstanceSpec>(spec).is_ok_and(|spec| spec.start == start);
            let row = rows.iter().find(|row| row.version == VersionNumber::TRIAL && mine(&row.spec));
            let Some(row) = row else { return Err(ExecutionError::Trial("the app was deleted".to_owned())) };
            for instance in meta.list_instances(app).await? {
                if (instance.version, instance.generation) != (row.version, row.generation) {
                    continue;
                }
                match (instance.state.parse(), instance.address) {
                    (Ok(InstanceState::Healthy), Some(address)) => return Ok((instance.id, address)),
                    (Ok(InstanceState::Failed), _) => {
                        let detail: InstanceDetail = serde_json::from_str(&instance.detail).unwrap_or_default();
                        let reason = detail.reason.unwrap_or_else(|| "its instance did not start".to_owned());
                        return Err(ExecutionError::Trial(reason));
                    }
                    _ => {}
                }
            }
            if Instant::now() >= deadline {
                let secs = most.as_secs();
                return Err(ExecutionError::Trial(format!("its instance was not healthy within {secs} s")));
            }
            signal.wait(LOOK_EVERY).await;
        }
    }

    /// What an instance wrote, once it has ended.
    async fn trial_lines(&self, app: &FunctionId, instance: InstanceId) -> Result<Vec<StoredLine>, MetaError> {
        let meta = self.apps.meta();
        let stream = logs_stream(app);
        let (mut changes, mut lines) = (meta.subscribe(Topic::Changes), meta.subscribe(Topic::Log(stream.clone())));
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline && meta.list_instances(app).await?.iter().any(|one| one.id == instance) {
            changes.wait(LOOK_EVERY).await;
        }
        lines.wait(LINES_SETTLE).await;
        let Some(log) = meta.find_log(&stream).await? else { return Ok(Vec::new()) };
        let from = log.next.saturating_sub(u64::from(LINES_READ)).max(log.first);
        let mut own = meta.read_log(&stream, from, LINES_READ).await?;
        let id = instance.to_string();
        own.retain(|line| serde_json::from_str::<LogLine>(&line.body).is_ok_and(|line| line.instance_id == id));
        let cut = own.len().saturating_sub(LINES_MAX);
        Ok(own.split_off(cut))
    }
}

/// The request as the gateway would make it.
fn request(
    app: &FunctionId,
    host: &str,
    id: ExecutionId,
    call: Call,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, ExecutionError> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = call.method;
    *request.uri_mut() = call.target.into();
    *request.headers_mut() = call.headers;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| ExecutionError::Trial(error.to_string()));
    let headers = request.headers_mut();
    headers.insert(header::HOST, value(host)?);
    headers.insert(EXECUTION_ID_HEADER, value(&id.to_string())?);
    headers.insert(FUNCTION_ID_HEADER, value(app.as_str())?);
    headers.insert(ORGANIZATION_ID_HEADER, value(app.organization().as_str())?);
    Ok(request)
}
