//! Drafts, compiles, publishes and rollbacks.

use std::sync::Arc;
use std::time::Duration;

use connectrpc::{ConnectError, ServiceStream};
use futures_util::stream::unfold;
use ignite_control_pipeline::{App, DraftState, Event, JobState};
use ignite_core_model::{FunctionId, JobId};
use ignite_core_proto::v1;
use ignite_store_meta::{Topic, events_stream};

use super::{Caller, Platform, apps, errors, show, source};
use crate::Attached;

type Answer<T> = Result<T, ConnectError>;

/// Longest time between two looks at what is watched, when no signal comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) async fn save(
    platform: &Platform,
    caller: &Caller,
    request: v1::SaveDraftRequest,
) -> Answer<v1::SaveDraftResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let (source, attached) = source::store(platform, &app.id, request.code.as_option()).await?;
    let app = platform.apps.send(&app.id, Event::SaveDraft(source), attached).await.map_err(errors::app)?;
    Ok(v1::SaveDraftResponse {
        draft: show::draft(&app).map_or_else(Default::default, buffa::MessageField::some),
        ..Default::default()
    })
}

pub(crate) async fn info(
    platform: &Platform,
    caller: &Caller,
    request: v1::GetDraftInfoRequest,
) -> Answer<v1::GetDraftInfoResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    Ok(v1::GetDraftInfoResponse {
        draft: show::draft(&app).map_or_else(Default::default, buffa::MessageField::some),
        ..Default::default()
    })
}

pub(crate) async fn compile(
    platform: &Platform,
    caller: &Caller,
    request: v1::CompileDraftRequest,
) -> Answer<v1::CompileDraftResponse> {
    let id = platform.app_id(&request.app_id, &caller.organization)?;
    let job = platform.apps.clock().job_id();
    let app = platform.apps.send(&id, Event::Compile { job }, Attached::default()).await.map_err(errors::app)?;
    let status =
        app.find_job(job).map_or(v1::CompileStatus::COMPILE_STATUS_PENDING, |record| show::job_status(&record.state));
    Ok(v1::CompileDraftResponse { compile_id: job.to_string(), status: status.into(), ..Default::default() })
}

pub(crate) async fn cancel_compile(
    platform: &Platform,
    caller: &Caller,
    request: v1::CancelCompileRequest,
) -> Answer<v1::CancelCompileResponse> {
    let id = platform.app_id(&request.app_id, &caller.organization)?;
    platform.apps.send(&id, Event::CancelCompile, Attached::default()).await.map_err(errors::app)?;
    Ok(v1::CancelCompileResponse::default())
}

/// The id a caller chose, or a new one.
fn job_id(platform: &Platform, text: &str) -> Answer<JobId> {
    if text.is_empty() {
        return Ok(platform.apps.clock().job_id());
    }
    text.parse().map_err(|error| errors::field("idempotency_id", &format!("is not valid: {error}")))
}

pub(crate) async fn publish(
    platform: &Platform,
    caller: &Caller,
    request: v1::PublishDraftRequest,
) -> Answer<v1::PublishDraftResponse> {
    let id = platform.app_id(&request.app_id, &caller.organization)?;
    let job = job_id(platform, &request.idempotency_id)?;
    let rollout = begin_publish(platform, &id, job).await?;
    Ok(v1::PublishDraftResponse { rollout: buffa::MessageField::some(rollout), ..Default::default() })
}

pub(crate) async fn begin_publish(platform: &Platform, id: &FunctionId, job: JobId) -> Answer<v1::Rollout> {
    let event = Event::Publish { job, compile: platform.apps.clock().job_id() };
    let app = platform.apps.send(id, event, Attached::default()).await.map_err(errors::app)?;
    rollout(&app, job)
}

pub(crate) fn rollout(app: &App, job: JobId) -> Answer<v1::Rollout> {
    show::rollout(app, job)
        .ok_or_else(|| ConnectError::not_found(format!("app `{}` has no publish or rollback `{job}`", app.id)))
}

pub(crate) async fn roll_back(
    platform: &Platform,
    caller: &Caller,
    request: v1::RollbackAppRequest,
) -> Answer<v1::RollbackAppResponse> {
    let id = platform.app_id(&request.app_id, &caller.organization)?;
    let job = job_id(platform, &request.idempotency_id)?;
    let to = super::versions::load(platform, &id, request.version).await?;
    let event = Event::Rollback { job, to: Box::new(to) };
    let app = platform.apps.send(&id, event, Attached::default()).await.map_err(errors::app)?;
    Ok(v1::RollbackAppResponse { rollout: buffa::MessageField::some(rollout(&app, job)?), ..Default::default() })
}

pub(crate) async fn cancel_rollout(
    platform: &Platform,
    caller: &Caller,
    request: v1::CancelRolloutRequest,
) -> Answer<v1::CancelRolloutResponse> {
    let id = platform.app_id(&request.app_id, &caller.organization)?;
    platform.apps.send(&id, Event::CancelRollout, Attached::default()).await.map_err(errors::app)?;
    Ok(v1::CancelRolloutResponse::default())
}

/// The rollout now, and at each change until it ends.
pub(crate) async fn watch_rollout(
    platform: Arc<Platform>,
    caller: &Caller,
    app_id: &str,
    rollout_id: &str,
) -> Answer<ServiceStream<v1::Rollout>> {
    let id = platform.app_id(app_id, &caller.organization)?;
    let job = job_id(&platform, rollout_id)?;
    let app = platform.apps.load(&id).await.map_err(errors::app)?;
    rollout(&app, job)?;
    let signal = platform.meta().subscribe(Topic::Log(events_stream(&id)));
    let state = (platform, id, job, signal, None::<v1::Rollout>);
    Ok(Box::pin(unfold(Some(state), |state| async move {
        let (platform, id, job, mut signal, last) = state?;
        loop {
            let now = match platform.apps.load(&id).await.map_err(errors::app).and_then(|app| rollout(&app, job)) {
                Ok(now) => now,
                Err(error) => return Some((Err(error), None)),
            };
            if last.as_ref() != Some(&now) {
                let ended = now.ended_at_ms > 0;
                let next = (!ended).then(|| (platform, id, job, signal, Some(now.clone())));
                return Some((Ok(now), next));
            }
            signal.wait(LOOK_EVERY).await;
        }
    })))
}

/// The compile that a request means: the one it names, or the draft's.
pub(crate) fn compile_of(app: &App, text: &str) -> Answer<JobId> {
    if !text.is_empty() {
        return text.parse().map_err(|error| errors::field("compile_id", &format!("is not valid: {error}")));
    }
    let draft = app.draft.as_ref().ok_or_else(|| ConnectError::not_found("the app has no draft"))?;
    if let DraftState::Compiling { job } = draft.state {
        return Ok(job);
    }
    let compiles = app.records.iter().rev().filter(|record| record.kind == ignite_control_pipeline::JobKind::Compile);
    let last = compiles.map(|record| record.id).next();
    last.ok_or_else(|| ConnectError::not_found("the draft was not compiled yet: `ignite draft compile` does"))
}

/// How a compile ended, if it has.
pub(crate) fn compile_end(app: &App, job: JobId) -> Option<JobState> {
    app.find_job(job).map(|record| record.state.clone()).filter(JobState::ended)
}
