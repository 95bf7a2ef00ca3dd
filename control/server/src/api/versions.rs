//! Versions.

use connectrpc::ConnectError;
use ignite_core_model::{FunctionId, Version, VersionNumber};
use ignite_core_proto::{Checker, v1};

use super::{Caller, Platform, apps, errors, show};

type Answer<T> = Result<T, ConnectError>;

pub(crate) async fn load(platform: &Platform, id: &FunctionId, number: u32) -> Answer<Version> {
    let mut checker = Checker::default();
    let number = checker.version("version", number);
    let number = checker.finish(number).map_err(|faults| errors::fields(&faults))?;
    platform.apps.load_version(id, number).await.map_err(errors::app)
}

pub(crate) async fn list(
    platform: &Platform,
    caller: &Caller,
    request: v1::ListAppVersionsRequest,
) -> Answer<v1::ListAppVersionsResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let mut checker = Checker::default();
    let limit = checker.limit("limit", request.limit);
    let before: Option<VersionNumber> = match request.cursor.as_str() {
        "" => None,
        cursor => cursor.parse().map_err(|_| checker.fault("cursor", "is none that a page ended with")).ok(),
    };
    let before = checker.finish(Some(before)).map_err(|faults| errors::fields(&faults))?;
    let rows = platform.meta().list_versions(&app.id, before, limit).await.map_err(errors::meta)?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in &rows {
        let version: Version = serde_json::from_str(&row.snapshot).map_err(|error| errors::internal(&error))?;
        versions.push(show::version(&app, &version));
    }
    let full = rows.len() == limit as usize;
    let next_cursor = rows.last().filter(|_| full).map_or_else(String::new, |last| last.number.to_string());
    Ok(v1::ListAppVersionsResponse { versions, next_cursor, ..Default::default() })
}

pub(crate) async fn get(
    platform: &Platform,
    caller: &Caller,
    request: v1::GetAppVersionRequest,
) -> Answer<v1::GetAppVersionResponse> {
    let app = apps::load(platform, caller, &request.app_id).await?;
    let version = load(platform, &app.id, request.version).await?;
    let wanted = app.active.as_ref().map_or(0, |active| active.instances);
    Ok(v1::GetAppVersionResponse {
        app: buffa::MessageField::some(show::app(&app, Some(&version), show::state(&app, wanted), &platform.url)),
        version: buffa::MessageField::some(show::version(&app, &version)),
        ..Default::default()
    })
}
