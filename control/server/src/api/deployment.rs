//! `DeploymentService`: uploads, and all steps at once.

use std::sync::Arc;

use connectrpc::{ConnectError, RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};
use futures_util::StreamExt as _;
use ignite_control_pipeline::Event;
use ignite_core_model::AppSettings;
use ignite_core_proto::{Checker, v1};
use ignite_store_meta::MetaError;

use super::compute::{streams, unary};
use super::{Api, Caller, Platform, apps, drafts, errors, source, uploads};
use crate::AppError;

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

/// The rollout, and the lines of its compile between.
async fn watch(
    platform: Arc<Platform>,
    caller: &Caller,
    request: v1::WatchDeploymentRequest,
) -> Result<ServiceStream<v1::WatchDeploymentResponse>, ConnectError> {
    let id = platform.app_id(&request.app_id, &caller.organization)?;
    let url = platform.url.of(&id);
    let rollouts = drafts::watch_rollout(Arc::clone(&platform), caller, &request.app_id, &request.rollout_id).await?;
    let succeeded = v1::CompileStatus::COMPILE_STATUS_SUCCEEDED;
    let steps = rollouts.map(move |rollout| {
        let rollout = rollout?;
        let url = if rollout.status.as_known() == Some(succeeded) { url.clone() } else { String::new() };
        Ok(v1::WatchDeploymentResponse { rollout: buffa::MessageField::some(rollout), url, ..Default::default() })
    });
    Ok(Box::pin(steps))
}
