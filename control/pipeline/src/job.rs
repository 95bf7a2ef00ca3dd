//! The long steps of an app, as a person follows them.

use ignite_core_model::{Failure, JobId, VersionNumber};
use serde::{Deserialize, Serialize};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Compiles the draft.
    Compile,
    /// Makes the draft a version and puts it live.
    Publish,
    /// Puts an earlier version live again.
    Rollback,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Ended without success; nothing that was live has changed.
    Failed(Failure),
    /// Ended by a person, or by a step that takes precedence.
    Cancelled(Failure),
}

impl JobState {
    /// Whether it has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        *self != Self::Running
    }
}

/// One job of an app and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The version it makes or puts live, from when that is known.
    pub version: Option<VersionNumber>,
    /// How far it is.
    #[serde(flatten)]
    pub state: JobState,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
}
