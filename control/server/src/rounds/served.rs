//! Routes that all gateways have taken up.

use ignite_control_pipeline::Event;

use crate::{AppError, Apps, Attached};

/// A gateway that has not been heard of for this long serves nobody, in milliseconds.
const GATEWAY_LOST_MS: u64 = 15_000;

/// Ends rollouts whose route every gateway has taken up, and lets go of versions that none leads requests to any more.
///
/// An app that is loaded after the last change was numbered has no newer route than that change; gateways that serve it
/// serve the app's.
///
/// # Errors
/// Of the store.
pub async fn release_served(apps: &Apps) -> Result<(), AppError> {
    let mut settling = Vec::new();
    for id in apps.busy() {
        match apps.load(&id).await {
            Ok(app) if !app.settling.is_empty() || app.landing.is_some() => settling.push(app),
            Ok(_) => {}
            Err(AppError::Missing(_)) => apps.forget_busy(&id),
            Err(error) => return Err(error),
        }
    }
    if settling.is_empty() {
        return Ok(());
    }
    // Numbered after the apps were read, so it is that of their routes or a later one.
    let last = apps.meta().last_change().await?;
    let since_ms = apps.clock().now_ms().saturating_sub(GATEWAY_LOST_MS);
    let watchers = apps.meta().list_watchers(since_ms).await?;
    for app in settling {
        let Some(active) = &app.active else { continue };
        // The number is that of the first look: the last one moves on with every change of any app.
        let wanted = apps.route_seen(&app.id, active.generation, last);
        if watchers.iter().all(|watcher| watcher.sequence >= wanted) {
            let event = Event::Served { generation: active.generation };
            apps.send(&app.id, event, Attached::default()).await?;
        }
    }
    Ok(())
}
