//! `DeploymentService`: uploads, and all steps at once.

use std::sync::Arc;
use std::time::Duration;

use connectrpc::{ConnectError, RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};
use futures_util::stream::unfold;
use ignite_control_pipeline::{App, Event, JobKind, JobRecord};
use ignite_core_model::{AppSettings, FunctionId, JobId};
use ignite_core_proto::{Checker, v1};
use ignite_store_meta::{MetaError, Signal, StoredLine, Topic, events_stream};

use super::compute::{streams, unary};
use super::{Api, Caller, Platform, apps, drafts, errors, logs, source, uploads};
use crate::AppError;

/// Longest time between two looks at a deployment, when no signal comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[allow(refining_impl_trait, reason = "the services answer with whole messages")]
impl v1::DeploymentService for Api {
    unary! {
        create_upload(CreateUploadRequest) -> CreateUploadResponse = uploads::create;
        deploy(DeployRequest) -> DeployResponse = deploy;
    }

    streams! {
        watch_deployment(WatchDeploymentRequest) -> WatchDeploymentResponse = watch;
    }
}

/// Creates what is absent, changes what is named, saves and publishes. Each step is idempotent, so a caller whose connection
/// broke asks again with the same id.
async fn deploy(
    platform: &Platform,
    caller: &Caller,
    request: v1::DeployRequest,
) -> Result<v1::DeployResponse, ConnectError> {
    let id = platform.app_id(&request.app_id, &caller.organization)?;
    // All that can be refused is looked at before anything is made.
    let mut checker = Checker::default();
    checker.configure(&mut AppSettings::default(), request.config.as_option().unwrap_or(&v1::AppConfig::default()));
    checker.finish(Some(())).map_err(|faults| errors::fields(&faults))?;
    let (code, attached) = source::store(platform, &id, request.code.as_option()).await?;
    match platform.apps.create(&id, AppSettings::default()).await {
        Ok(_) | Err(AppError::Store(MetaError::Exists { .. })) => {}
        Err(error) => return Err(errors::app(error)),
    }
    // A name that is taken by another app's hostname is told here.
    let app = platform.apps.load(&id).await.map_err(|error| match error {
        AppError::Missing(_) => ConnectError::already_exists(format!("the hostname of `{id}` is taken by another app")),
        error => errors::app(error),
    })?;
    apps::configure(platform, &app, request.config.as_option()).await?;
    platform.apps.send(&id, Event::SaveDraft(code), attached).await.map_err(errors::app)?;
    let job = match request.idempotency_id.as_str() {
        "" => platform.apps.clock().job_id(),
        text => text.parse().map_err(|error| errors::field("idempotency_id", &format!("is not valid: {error}")))?,
    };
    let rollout = drafts::begin_publish(platform, &id, job).await?;
    Ok(v1::DeployResponse {
        app_id: id.to_string(),
        rollout: buffa::MessageField::some(rollout),
        url: platform.url.of(&id),
        ..Default::default()
    })
}

/// The rollout at each change, and the lines of its compile as they come.
async fn watch(
    platform: Arc<Platform>,
    caller: &Caller,
    request: v1::WatchDeploymentRequest,
) -> Result<ServiceStream<v1::WatchDeploymentResponse>, ConnectError> {
    let app = platform.app_id(&request.app_id, &caller.organization)?;
    let job: JobId =
        request.rollout_id.parse().map_err(|error| errors::field("rollout_id", &format!("is not valid: {error}")))?;
    let state = platform.apps.load(&app).await.map_err(errors::app)?;
    drafts::rollout(&state, job)?;
    let events = platform.meta().subscribe(Topic::Log(events_stream(&app)));
    let watched = Watched { platform, app, job, events, last: None, compile: None };
    Ok(Box::pin(unfold(Some(watched), |watched| async move {
        let mut watched = watched?;
        Some(match watched.next().await {
            Ok((message, true)) => (Ok(message), None),
            Ok((message, false)) => (Ok(message), Some(watched)),
            Err(error) => (Err(error), None),
        })
    })))
}

/// A deployment that somebody follows.
struct Watched {
    platform: Arc<Platform>,
    app: FunctionId,
    job: JobId,
    events: Signal,
    last: Option<v1::Rollout>,
    compile: Option<Compile>,
}

/// The compile of a deployment, and how far its lines were told.
struct Compile {
    stream: String,
    next: u64,
    lines: Signal,
}

impl Watched {
    /// What is new, and whether it is the last.
    async fn next(&mut self) -> Result<(v1::WatchDeploymentResponse, bool), ConnectError> {
        loop {
            // The state first: lines are written before the end is.
            let app = self.platform.apps.load(&self.app).await.map_err(errors::app)?;
            let rollout = drafts::rollout(&app, self.job)?;
            if self.compile.is_none()
                && let Some(compile) = compile_of(&app, self.job, &rollout)
            {
                let stream = logs::compile_stream(&self.app, compile);
                let lines = self.platform.meta().subscribe(Topic::Log(stream.clone()));
                self.compile = Some(Compile { stream, next: 1, lines });
            }
            let lines = self.lines().await?;
            let all = lines.len() < logs::LINES_PER_MESSAGE as usize;
            if lines.is_empty() && self.last.as_ref() == Some(&rollout) {
                self.wait().await;
                continue;
            }
            let ended = rollout.ended_at_ms > 0 && all;
            let succeeded = rollout.status.as_known() == Some(v1::CompileStatus::COMPILE_STATUS_SUCCEEDED);
            self.last = Some(rollout.clone());
            let message = v1::WatchDeploymentResponse {
                rollout: buffa::MessageField::some(rollout),
                compile_lines: lines.iter().map(logs::line).collect(),
                url: if ended && succeeded { self.platform.url.of(&self.app) } else { String::new() },
                ..Default::default()
            };
            return Ok((message, ended));
        }
    }

    async fn lines(&mut self) -> Result<Vec<StoredLine>, ConnectError> {
        let Some(compile) = &mut self.compile else { return Ok(Vec::new()) };
        let read = self.platform.meta().read_log(&compile.stream, compile.next, logs::LINES_PER_MESSAGE).await;
        let lines = read.map_err(errors::meta)?;
        compile.next = lines.last().map_or(compile.next, |last| last.sequence + 1);
        Ok(lines)
    }

    async fn wait(&mut self) {
        let Some(compile) = &mut self.compile else { return self.events.wait(LOOK_EVERY).await };
        tokio::select! {
            () = self.events.wait(LOOK_EVERY) => {}
            () = compile.lines.wait(LOOK_EVERY) => {}
        }
    }
}

/// The compile a rollout waits for; or, when that is over, the one it began.
fn compile_of(app: &App, job: JobId, rollout: &v1::Rollout) -> Option<JobId> {
    if !rollout.compile_id.is_empty() {
        return rollout.compile_id.parse().ok();
    }
    let publish = app.find_job(job).filter(|record| record.kind == JobKind::Publish)?;
    let began = |record: &&JobRecord| record.kind == JobKind::Compile && record.began_ms == publish.began_ms;
    app.records.iter().find(began).map(|record| record.id)
}
