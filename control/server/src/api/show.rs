//! From the words of the product to the wire.

use ignite_control_pipeline::{App, Draft, DraftState, JobKind, JobRecord, JobState, Life, RolloutStage, VersionState};
use ignite_core_model::{
    AppSettings, CodeKind, CodeSource, Failure, InstanceDetail, InstanceState, JobId, Step, Version, VersionNumber,
};
use ignite_core_proto::check::{to_limits, to_runtime, to_scaling, to_tier};
use ignite_core_proto::v1;
use ignite_store_meta::Instance;

use super::PublicUrl;

pub(crate) fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// An app with its own settings, or with those of a version.
pub(crate) fn app(app: &App, version: Option<&Version>, state: v1::DeploymentState, url: &PublicUrl) -> v1::AppMeta {
    let settings = version.map_or(&app.settings, |version| &version.settings);
    let runtime = match (version, &app.draft) {
        (Some(version), _) => Some(version_runtime(version)),
        (None, Some(draft)) => draft_runtime(draft),
        (None, None) => None,
    };
    v1::AppMeta {
        id: app.id.to_string(),
        name: app.id.name().to_string(),
        runtime: runtime.map_or_else(Default::default, buffa::MessageField::some),
        limits: buffa::MessageField::some(to_limits(settings)),
        env: settings.env.0.keys().map(|name| (name.clone(), String::new())).collect(),
        resource_tier: to_tier(settings.tier).into(),
        scaling: buffa::MessageField::some(to_scaling(settings)),
        deployment_state: state.into(),
        version: version.map_or(0, |version| version.number.get()),
        organization_name: app.id.organization().to_string(),
        active_version: app.active.as_ref().map_or(0, |active| active.version.get()),
        description: settings.description.clone(),
        max_concurrency: settings.max_concurrency.unwrap_or_default(),
        allow_unauthenticated: settings.allow_unauthenticated,
        expose_errors: settings.expose_errors,
        url: url.of(&app.id),
        created_at_ms: ms(app.created_ms),
        ..Default::default()
    }
}

pub(crate) fn state(app: &App, healthy: u32) -> v1::DeploymentState {
    match (&app.life, &app.active) {
        (Life::Deleting { .. } | Life::Gone, _) => v1::DeploymentState::DEPLOYMENT_STATE_DELETING,
        (_, None) if app.rollout.is_some() => v1::DeploymentState::DEPLOYMENT_STATE_DEPLOYING,
        (_, None) => v1::DeploymentState::DEPLOYMENT_STATE_CREATED,
        (_, Some(_)) if healthy > 0 => v1::DeploymentState::DEPLOYMENT_STATE_READY,
        (_, Some(active)) if active.instances == 0 => v1::DeploymentState::DEPLOYMENT_STATE_IDLE,
        (_, Some(_)) => v1::DeploymentState::DEPLOYMENT_STATE_UNHEALTHY,
    }
}

fn version_runtime(version: &Version) -> v1::Runtime {
    let compiled = &version.compiled;
    to_runtime(compiled.runtime, Some(compiled.target), Some(compiled.artifact_kind))
}

fn draft_runtime(draft: &Draft) -> Option<v1::Runtime> {
    match (&draft.state, &draft.source) {
        (DraftState::Compiled(compiled), _) => {
            Some(to_runtime(compiled.runtime, Some(compiled.target), Some(compiled.artifact_kind)))
        }
        (_, CodeSource::Compile(source)) => {
            source.runtime.map(|runtime| to_runtime(runtime, source.target, source.artifact_kind))
        }
        _ => None,
    }
}

fn code_kind(source: &CodeSource) -> v1::CodeKind {
    match source.kind() {
        CodeKind::Sdk => v1::CodeKind::CODE_KIND_SDK,
        CodeKind::UploadImage => v1::CodeKind::CODE_KIND_UPLOAD_IMAGE,
        CodeKind::GitImage => v1::CodeKind::CODE_KIND_GIT_IMAGE,
        CodeKind::Prebuilt => v1::CodeKind::CODE_KIND_PREBUILT,
    }
}

fn code_hash(source: &CodeSource) -> String {
    match source {
        CodeSource::Compile(source) => source.archive.to_string(),
        _ => String::new(),
    }
}

pub(crate) fn failure(failure: &Failure) -> v1::Failure {
    let step = match failure.step {
        Step::Compile => "compile",
        Step::Start => "start",
        Step::Cancelled => "cancelled",
    };
    v1::Failure {
        step: step.to_owned(),
        reason: failure.reason.clone(),
        at_ms: ms(failure.at_ms),
        ..Default::default()
    }
}

pub(crate) fn draft(app: &App) -> Option<v1::VersionInfo> {
    let draft = app.draft.as_ref()?;
    let last =
        app.records.iter().rev().find(|record| record.kind == JobKind::Compile && record.began_ms >= draft.saved_ms);
    let mut info = v1::VersionInfo {
        status: v1::VersionStatus::VERSION_STATUS_DRAFT.into(),
        code_hash: code_hash(&draft.source),
        created_at_ms: ms(draft.saved_ms),
        code_kind: code_kind(&draft.source).into(),
        resource_tier: to_tier(app.settings.tier).into(),
        runtime: draft_runtime(draft).map_or_else(Default::default, buffa::MessageField::some),
        ..Default::default()
    };
    match &draft.state {
        DraftState::Saved => {}
        DraftState::Compiling { job } => {
            info.compile_id = job.to_string();
            info.compile_status = v1::CompileStatus::COMPILE_STATUS_RUNNING.into();
        }
        DraftState::Compiled(compiled) => {
            info.compile_status = v1::CompileStatus::COMPILE_STATUS_SUCCEEDED.into();
            info.artifact_digest = compiled.artifact.to_string();
            info.artifact_bytes = ms(compiled.artifact_bytes);
        }
        DraftState::Failed(why) => {
            info.compile_status = v1::CompileStatus::COMPILE_STATUS_FAILED.into();
            info.failure = buffa::MessageField::some(failure(why));
        }
    }
    if let Some(last) = last {
        info.compile_id = last.id.to_string();
        info.compile_status = job_status(&last.state).into();
    }
    Some(info)
}

pub(crate) fn version(app: &App, version: &Version) -> v1::VersionInfo {
    let (status, why) = version_status(app, version.number);
    v1::VersionInfo {
        version: version.number.get(),
        status: status.into(),
        code_hash: code_hash(&version.source),
        created_at_ms: ms(version.created_ms),
        code_kind: code_kind(&version.source).into(),
        resource_tier: to_tier(version.settings.tier).into(),
        runtime: buffa::MessageField::some(version_runtime(version)),
        artifact_digest: version.compiled.artifact.to_string(),
        artifact_bytes: ms(version.compiled.artifact_bytes),
        failure: why.map_or_else(Default::default, |why| buffa::MessageField::some(failure(&why))),
        compile_status: v1::CompileStatus::COMPILE_STATUS_SUCCEEDED.into(),
        ..Default::default()
    }
}

fn version_status(app: &App, number: VersionNumber) -> (v1::VersionStatus, Option<Failure>) {
    match app.version_state(number) {
        VersionState::Starting => (v1::VersionStatus::VERSION_STATUS_DRAFT, None),
        VersionState::Active => (v1::VersionStatus::VERSION_STATUS_ACTIVE, None),
        VersionState::Superseded => (v1::VersionStatus::VERSION_STATUS_SUPERSEDED, None),
        VersionState::Failed(why) => (v1::VersionStatus::VERSION_STATUS_FAILED, why),
    }
}

pub(crate) fn job_status(state: &JobState) -> v1::CompileStatus {
    match state {
        JobState::Running => v1::CompileStatus::COMPILE_STATUS_RUNNING,
        JobState::Succeeded => v1::CompileStatus::COMPILE_STATUS_SUCCEEDED,
        JobState::Failed(_) => v1::CompileStatus::COMPILE_STATUS_FAILED,
        JobState::Cancelled(_) => v1::CompileStatus::COMPILE_STATUS_CANCELLED,
    }
}

/// A publish or rollback, if it is not too long ago.
pub(crate) fn rollout(app: &App, id: JobId) -> Option<v1::Rollout> {
    app.find_job(id).filter(|record| record.kind != JobKind::Compile).map(|record| rollout_of(app, record))
}

/// The publish or rollback under way, or the last one.
pub(crate) fn last_rollout(app: &App) -> Option<v1::Rollout> {
    let last = app.records.iter().rev().find(|record| record.kind != JobKind::Compile)?;
    Some(rollout_of(app, last))
}

fn rollout_of(app: &App, record: &JobRecord) -> v1::Rollout {
    let why = match &record.state {
        JobState::Failed(why) | JobState::Cancelled(why) => Some(failure(why)),
        JobState::Running | JobState::Succeeded => None,
    };
    let mut rollout = v1::Rollout {
        id: record.id.to_string(),
        kind: if record.kind == JobKind::Rollback { "rollback" } else { "publish" }.to_owned(),
        version: record.version.map_or(0, VersionNumber::get),
        status: job_status(&record.state).into(),
        failure: why.map_or_else(Default::default, buffa::MessageField::some),
        began_at_ms: ms(record.began_ms),
        ended_at_ms: record.ended_ms.map_or(0, ms),
        ..Default::default()
    };
    match app.rollout.as_ref().filter(|running| running.job == record.id).map(|running| &running.stage) {
        Some(RolloutStage::Compiling { compile, .. }) => {
            rollout.step = "compile".to_owned();
            rollout.compile_id = compile.to_string();
        }
        Some(RolloutStage::Starting { .. }) => rollout.step = "start".to_owned(),
        None if app.landing.as_ref().is_some_and(|landing| landing.job == record.id) => {
            rollout.step = "route".to_owned();
        }
        None => {}
    }
    rollout
}

pub(crate) fn instance(instance: &Instance) -> v1::Instance {
    let detail: InstanceDetail = serde_json::from_str(&instance.detail).unwrap_or_default();
    let state = match instance.state.parse() {
        Ok(InstanceState::Starting) => v1::InstanceState::INSTANCE_STATE_STARTING,
        Ok(InstanceState::Healthy) => v1::InstanceState::INSTANCE_STATE_HEALTHY,
        Ok(InstanceState::Draining) => v1::InstanceState::INSTANCE_STATE_DRAINING,
        Ok(InstanceState::Unhealthy | InstanceState::Failed) => v1::InstanceState::INSTANCE_STATE_UNHEALTHY,
        Err(_) => v1::InstanceState::INSTANCE_STATE_UNSPECIFIED,
    };
    v1::Instance {
        id: instance.id.to_string(),
        version: if instance.version == VersionNumber::TRIAL { 0 } else { instance.version.get() },
        state: state.into(),
        reason: detail.reason.unwrap_or_default(),
        started_at_ms: ms(detail.started_ms),
        restarts: detail.restarts,
        ..Default::default()
    }
}

/// What a new app was given.
pub(crate) fn applied(settings: &AppSettings) -> (v1::ResourceTier, v1::ResourceLimits) {
    (to_tier(settings.tier), to_limits(settings))
}
