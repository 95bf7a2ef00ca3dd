//! How many instances there are, from what gateways see.

use std::collections::HashMap;

use ignite_control_pipeline::Event;
use ignite_control_pipeline::scale::{Load, wanted};
use ignite_core_model::{FunctionId, Scaling, VersionNumber};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{AppError, Apps, Attached};

/// Reports that wait to be looked at. More are dropped: the next second brings others.
const REPORTS_WAITING_MAX: usize = 10_000;

/// Executions an instance takes at once, where its settings do not say; the host's own default.
const CONCURRENCY_DEFAULT: u32 = 16;

/// Takes what gateways see, without ever making them wait.
#[derive(Clone)]
pub struct Scaler(mpsc::Sender<(FunctionId, VersionNumber, Seen)>);

enum Seen {
    Waits,
    Load(Load),
}

/// What is known of an app's active version, so that a report that changes nothing costs nothing.
struct Known {
    version: VersionNumber,
    instances: u32,
    scaling: Scaling,
    max_concurrency: u32,
}

impl Scaler {
    /// Decides until `stop`.
    #[must_use]
    pub fn start(apps: Apps, stop: CancellationToken) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS_WAITING_MAX);
        tokio::spawn(decide(apps, reports, stop));
        Self(sender)
    }

    /// A request waits and the version has no instance.
    pub fn wake(&self, app: &FunctionId, version: VersionNumber) {
        let _ = self.0.try_send((app.clone(), version, Seen::Waits));
    }

    /// What was seen of a version since the last report.
    pub fn load(&self, app: &FunctionId, version: VersionNumber, load: Load) {
        let _ = self.0.try_send((app.clone(), version, Seen::Load(load)));
    }
}

async fn decide(apps: Apps, mut reports: mpsc::Receiver<(FunctionId, VersionNumber, Seen)>, stop: CancellationToken) {
    let mut known: HashMap<FunctionId, Known> = HashMap::new();
    loop {
        let report = tokio::select! {
            report = reports.recv() => report,
            () = stop.cancelled() => return,
        };
        let Some((app, version, seen)) = report else { return };
        if let Err(error) = look(&apps, &mut known, &app, version, &seen).await {
            known.remove(&app);
            if !matches!(error, AppError::Missing(_)) {
                tracing::warn!(%app, error = &error as &(dyn std::error::Error + 'static), "an app was not scaled");
            }
        }
    }
}

async fn look(
    apps: &Apps,
    known: &mut HashMap<FunctionId, Known>,
    app: &FunctionId,
    version: VersionNumber,
    seen: &Seen,
) -> Result<(), AppError> {
    if known.get(app).is_none_or(|known| known.version != version) {
        match load(apps, app, version).await? {
            Some(found) => known.insert(app.clone(), found),
            // The gateway is a step behind, or ahead.
            None => return Ok(()),
        };
    }
    let Some(found) = known.get_mut(app) else { return Ok(()) };
    let instances = match seen {
        Seen::Waits => found.instances.max(1),
        Seen::Load(load) => wanted(&found.scaling, found.max_concurrency, *load, found.instances),
    };
    if instances == found.instances && !(matches!(seen, Seen::Waits)) {
        return Ok(());
    }
    let scaled = apps.send(app, Event::Scale { version, instances }, Attached::default()).await?;
    match scaled.active.filter(|active| active.version == version) {
        Some(active) => found.instances = active.instances,
        None => {
            known.remove(app);
        }
    }
    Ok(())
}

async fn load(apps: &Apps, id: &FunctionId, version: VersionNumber) -> Result<Option<Known>, AppError> {
    let app = apps.load(id).await?;
    let Some(active) = app.active.filter(|active| active.version == version) else { return Ok(None) };
    let settings = apps.load_version(id, version).await?.settings;
    Ok(Some(Known {
        version,
        instances: active.instances,
        scaling: active.scaling,
        max_concurrency: settings.max_concurrency.unwrap_or(CONCURRENCY_DEFAULT),
    }))
}
