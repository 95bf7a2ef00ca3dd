//! Steps whose time is over, and steps that a former process left under way.

use ignite_control_pipeline::Event;

use crate::apps::from_json;
use crate::{AppError, Apps, Attached};

/// Apps in one page of a sweep.
const PAGE: u32 = 500;

/// Lets time go on for each app that has something under way.
///
/// # Errors
/// Of the store.
pub async fn tick_due(apps: &Apps) -> Result<(), AppError> {
    for id in apps.busy() {
        match apps.load(&id).await {
            Ok(app) => {
                let now_ms = apps.clock().now_ms();
                if app.due_ms().is_some_and(|due| now_ms >= due) {
                    apps.send(&id, Event::Tick, Attached::default()).await?;
                } else {
                    apps.note_busy(&app);
                }
            }
            Err(AppError::Missing(_)) => apps.forget_busy(&id),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Looks through all apps for those with something under way.
///
/// # Errors
/// Of the store. An app whose record cannot be read is logged and passed over.
pub async fn find_busy(apps: &Apps) -> Result<(), AppError> {
    let mut after = None;
    loop {
        let page = apps.meta().sweep_apps(after.as_ref(), PAGE).await?;
        for row in page.iter().filter(|row| row.deleted_ms.is_none()) {
            match from_json(&row.id, &row.state) {
                Ok(app) => apps.note_busy(&app),
                Err(error) => {
                    tracing::error!(app = %row.id, error = &error as &dyn std::error::Error, "an app is passed over")
                }
            }
        }
        match page.last() {
            Some(last) if page.len() >= PAGE as usize => after = Some(last.id.clone()),
            _ => return Ok(()),
        }
    }
}
