//! What happened to an app, in words for people.

use ignite_control_pipeline::{App, Effect, JobKind, JobState};
use ignite_core_model::VersionNumber;
use serde::{Deserialize, Serialize};

/// One line of an app's events. Stored as JSON, so it may only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppEvent {
    /// Such as `published`; a stable word.
    pub kind: String,
    /// A sentence.
    pub message: String,
    /// The version it is about; 0 when it is about none.
    pub version: u32,
    /// The instance it is about.
    pub instance_id: String,
}

impl AppEvent {
    fn new(kind: &str, message: String, version: u32) -> Self {
        Self { kind: kind.to_owned(), message, version, instance_id: String::new() }
    }
}

/// What is different between two states of an app.
pub(crate) fn between(before: Option<&App>, after: &App, effects: &[Effect]) -> Vec<AppEvent> {
    let mut events = Vec::new();
    if before.is_none() {
        events.push(AppEvent::new("created", "the app was created".to_owned(), 0));
    }
    let old_draft = before.and_then(|app| app.draft.as_ref()).map(|draft| (&draft.source, draft.saved_ms));
    if let Some(draft) = &after.draft
        && old_draft != Some((&draft.source, draft.saved_ms))
    {
        events.push(AppEvent::new("draft_saved", "new code was saved in the draft".to_owned(), 0));
    }
    for record in &after.records {
        let was = before.and_then(|app| app.find_job(record.id)).map(|old| &old.state);
        if was == Some(&record.state) {
            continue;
        }
        let (what, version) = (word(record.kind), record.version.map_or(0, |version| version.get()));
        events.push(match &record.state {
            JobState::Running => {
                AppEvent::new(&format!("{what}_started"), format!("{what} {} began", record.id), version)
            }
            JobState::Succeeded => {
                AppEvent::new(&format!("{what}_succeeded"), format!("{what} {} succeeded", record.id), version)
            }
            JobState::Failed(failure) => AppEvent::new(
                &format!("{what}_failed"),
                format!("{what} {} failed: {}", record.id, failure.reason),
                version,
            ),
            JobState::Cancelled(failure) => {
                let message = format!("{what} {} was cancelled: {}", record.id, failure.reason);
                AppEvent::new(&format!("{what}_cancelled"), message, version)
            }
        });
    }
    for effect in effects {
        match effect {
            Effect::Route { version, .. } => {
                events.push(AppEvent::new("live", format!("requests are led to version {version}"), version.get()));
            }
            Effect::Desire { version, instances, .. } => {
                events.push(AppEvent::new(
                    "scaled",
                    format!("version {version} is to have {instances} instance(s)"),
                    version.get(),
                ));
            }
            Effect::DesireTrial { .. } => {
                events.push(AppEvent::new("test_started", "code is run once, to be tried".to_owned(), 0));
            }
            Effect::Undesire(VersionNumber::TRIAL) => {
                events.push(AppEvent::new("test_ended", "what was tried is ended".to_owned(), 0));
            }
            Effect::Undesire(version) => {
                events.push(AppEvent::new(
                    "drained",
                    format!("version {version} is to have no instance"),
                    version.get(),
                ));
            }
            Effect::Unroute => events.push(AppEvent::new("deleted", "requests are led nowhere".to_owned(), 0)),
            Effect::WriteVersion(_) | Effect::Compile { .. } | Effect::CancelCompile(_) | Effect::Forget(_) => {}
        }
    }
    events
}

fn word(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Compile => "compile",
        JobKind::Publish => "publish",
        JobKind::Rollback => "rollback",
    }
}
