//! Apps and their settings.

use connectrpc::ConnectError;
use ignite_control_pipeline::{App, Event};
use ignite_core_model::{AppSettings, FunctionId, InstanceState};
use ignite_core_proto::{Checker, v1};

use super::{Caller, Platform, errors, show};
use crate::Attached;

type Answer<T> = Result<T, ConnectError>;

pub(crate) async fn create(
    platform: &Platform,
    caller: &Caller,
    request: v1::CreateAppRequest,
) -> Answer<v1::CreateAppResponse> {
    let mut checker = Checker::default();
    let id = checker.app_id("name", &request.name, &caller.organization);
    let mut settings = AppSettings::default();
    checker.configure(&mut settings, request.config.as_option().unwrap_or(&v1::AppConfig::default()));
    let id = checker.finish(id).map_err(|faults| errors::fields(&faults))?;
    if id.organization() != caller.organization {
        return Err(ConnectError::permission_denied(format!("the token is of `{}`", caller.organization)));
    }
    let app = platform.apps.create(&id, settings).await.map_err(errors::app)?;
    let (tier, limits) = show::applied(&app.settings);
    Ok(v1::CreateAppResponse {
        app_id: id.to_string(),
        deployment_state: show::state(&app, 0).into(),
        applied_tier: tier.into(),
        applied_limits: buffa::MessageField::some(limits),
        url: platform.url.of(&id),
        ..Default::default()
    })
}

pub(crate) async fn load(platform: &Platform, caller: &Caller, id: &str) -> Answer<App> {
    let id = platform.app_id(id, &caller.organization)?;
    platform.apps.load(&id).await.map_err(errors::app)
}

async fn healthy(platform: &Platform, app: &App) -> Answer<u32> {
    let Some(active) = &app.active else { return Ok(0) };
    let instances = platform.meta().list_instances(&app.id).await.map_err(errors::meta)?;
    let healthy = InstanceState::Healthy.as_str();
    let count = instances.iter().filter(|one| one.version == active.version && one.state == healthy).count();
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

async fn show(platform: &Platform, app: &App) -> Answer<v1::AppMeta> {
    let state = show::state(app, healthy(platform, app).await?);
    let version = match &app.active {
        Some(active) => Some(platform.apps.load_version(&app.id, active.version).await.map_err(errors::app)?),
        None => None,
    };
    let mut meta = show::app(app, None, state, &platform.url);
    if let Some(version) = &version {
        meta.runtime = show::app(app, Some(version), state, &platform.url).runtime;
    }
    Ok(meta)
}

pub(crate) async fn get(
    platform: &Platform,
    caller: &Caller,
    request: v1::GetAppRequest,
) -> Answer<v1::GetAppResponse> {
    let app = load(platform, caller, &request.app_id).await?;
    Ok(v1::GetAppResponse { app: buffa::MessageField::some(show(platform, &app).await?), ..Default::default() })
}

pub(crate) async fn list(
    platform: &Platform,
    caller: &Caller,
    request: v1::ListAppsRequest,
) -> Answer<v1::ListAppsResponse> {
    let mut checker = Checker::default();
    let limit = checker.limit("limit", request.limit);
    let after: Option<FunctionId> = match request.cursor.as_str() {
        "" => None,
        cursor => checker.app_id("cursor", cursor, &caller.organization),
    };
    let after = checker.finish(Some(after)).map_err(|faults| errors::fields(&faults))?;
    let rows = platform.meta().list_apps(&caller.organization, after.as_ref(), limit).await.map_err(errors::meta)?;
    let mut apps = Vec::with_capacity(rows.len());
    for row in &rows {
        let app = crate::apps::from_json(&row.id, &row.state).map_err(errors::app)?;
        // A list tells what the records tell; whether instances are healthy costs a look at each app.
        let wanted = app.active.as_ref().map_or(0, |active| active.instances);
        apps.push(show::app(&app, None, show::state(&app, wanted), &platform.url));
    }
    let full = rows.len() == limit as usize;
    let next = rows.last().filter(|_| full).map_or_else(String::new, |last| last.id.name().to_string());
    Ok(v1::ListAppsResponse { apps, next_cursor: next, ..Default::default() })
}

pub(crate) async fn update(
    platform: &Platform,
    caller: &Caller,
    request: v1::UpdateAppConfigRequest,
) -> Answer<v1::UpdateAppConfigResponse> {
    let app = load(platform, caller, &request.app_id).await?;
    let app = configure(platform, &app, request.config.as_option()).await?;
    Ok(v1::UpdateAppConfigResponse {
        app: buffa::MessageField::some(show(platform, &app).await?),
        ..Default::default()
    })
}

/// Changes what a request names of an app's settings.
pub(crate) async fn configure(platform: &Platform, app: &App, config: Option<&v1::AppConfig>) -> Answer<App> {
    let mut checker = Checker::default();
    let mut settings = app.settings.clone();
    checker.configure(&mut settings, config.unwrap_or(&v1::AppConfig::default()));
    let settings = checker.finish(Some(settings)).map_err(|faults| errors::fields(&faults))?;
    let event = Event::Configure(Box::new(settings));
    platform.apps.send(&app.id, event, Attached::default()).await.map_err(errors::app)
}

pub(crate) async fn delete(
    platform: &Platform,
    caller: &Caller,
    request: v1::DeleteAppRequest,
) -> Answer<v1::DeleteAppResponse> {
    let id = platform.app_id(&request.app_id, &caller.organization)?;
    match platform.apps.send(&id, Event::Delete, Attached::default()).await {
        Ok(_) | Err(crate::AppError::Missing(_)) => Ok(v1::DeleteAppResponse::default()),
        Err(error) => Err(errors::app(error)),
    }
}

pub(crate) async fn state(
    platform: &Platform,
    caller: &Caller,
    request: v1::GetAppStateRequest,
) -> Answer<v1::GetAppStateResponse> {
    let app = load(platform, caller, &request.app_id).await?;
    let healthy = healthy(platform, &app).await?;
    Ok(v1::GetAppStateResponse {
        deployment_state: show::state(&app, healthy).into(),
        active_version: app.active.as_ref().map_or(0, |active| active.version.get()),
        wanted_instances: app.active.as_ref().map_or(0, |active| active.instances),
        healthy_instances: healthy,
        rollout: show::last_rollout(&app).map_or_else(Default::default, buffa::MessageField::some),
        url: platform.url.of(&app.id),
        ..Default::default()
    })
}

pub(crate) async fn instances(
    platform: &Platform,
    caller: &Caller,
    request: v1::ListAppInstancesRequest,
) -> Answer<v1::ListAppInstancesResponse> {
    let app = load(platform, caller, &request.app_id).await?;
    let instances = platform.meta().list_instances(&app.id).await.map_err(errors::meta)?;
    let instances = instances.iter().map(show::instance).collect();
    Ok(v1::ListAppInstancesResponse { instances, ..Default::default() })
}
