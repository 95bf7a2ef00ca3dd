//! What agents report of instances.

use ignite_control_pipeline::{App, Event, Life, Rollout, RolloutStage};
use ignite_core_model::{InstanceDetail, InstanceSpec, InstanceState, VersionNumber};
use ignite_store_meta::{Desired, Instance};

use crate::{AppError, Apps, Attached};

/// Tells each app that waits for instances how they are.
///
/// # Errors
/// Of the store.
pub async fn report_instances(apps: &Apps) -> Result<(), AppError> {
    for id in apps.busy() {
        let app = match apps.load(&id).await {
            Ok(app) => app,
            Err(AppError::Missing(_)) => {
                apps.forget_busy(&id);
                continue;
            }
            Err(error) => return Err(error),
        };
        let waits_for = waits_for(&app);
        if waits_for.is_empty() {
            continue;
        }
        let desired = apps.meta().list_desired(&id).await?;
        let instances = apps.meta().list_instances(&id).await?;
        for version in waits_for {
            let report = report(version, &desired, &instances);
            apps.send(&id, report, Attached::default()).await?;
        }
    }
    Ok(())
}

fn waits_for(app: &App) -> Vec<VersionNumber> {
    match (&app.life, &app.rollout) {
        (Life::Deleting { draining, .. }, _) => draining.iter().copied().collect(),
        (_, Some(Rollout { stage: RolloutStage::Starting { version, .. }, .. })) => vec![*version],
        _ => Vec::new(),
    }
}

fn report(version: VersionNumber, desired: &[Desired], instances: &[Instance]) -> Event {
    let row = desired.iter().find(|row| row.version == version);
    let start = row.and_then(|row| serde_json::from_str::<InstanceSpec>(&row.spec).ok()).map_or(0, |spec| spec.start);
    let (mut healthy, mut alive, mut failure) = (0, 0, None);
    for instance in instances.iter().filter(|instance| instance.version == version) {
        alive += 1;
        // One of an earlier start says nothing about this one.
        if row.is_some_and(|row| row.generation != instance.generation) {
            continue;
        }
        match instance.state.parse() {
            Ok(InstanceState::Healthy) => healthy += 1,
            Ok(InstanceState::Failed) => {
                let detail: InstanceDetail = serde_json::from_str(&instance.detail).unwrap_or_default();
                failure = Some(detail.reason.unwrap_or_else(|| "the instance did not start".to_owned()));
            }
            _ => {}
        }
    }
    Event::Instances { version, generation: start, healthy, alive, failure }
}
