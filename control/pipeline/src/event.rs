//! What can happen to an app.

use ignite_core_model::{AppSettings, CodeSource, Compiled, Fault, JobId, Version, VersionNumber};

/// One thing that happened. The first group are a caller's commands, the second are reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// New settings. They touch nothing that runs; the next publish takes them.
    Configure(Box<AppSettings>),
    /// New code in the draft, in place of what was there.
    SaveDraft(CodeSource),
    /// Compile the draft.
    Compile {
        /// The id of the compile.
        job: JobId,
    },
    /// End the compile of the draft.
    CancelCompile,
    /// Make the draft a version and put it live.
    Publish {
        /// The id of the publish. The same id again is the same publish.
        job: JobId,
        /// The id of the compile, should one be needed.
        compile: JobId,
    },
    /// Put an earlier version live.
    Rollback {
        /// The id of the rollback. The same id again is the same rollback.
        job: JobId,
        /// The version, as it is stored.
        to: Box<Version>,
    },
    /// End the publish or rollback under way.
    CancelRollout,
    /// Run this code in an instance of its own, to be tried.
    Try {
        /// What to run.
        compiled: Box<Compiled>,
        /// With which limits and variables.
        settings: Box<AppSettings>,
    },
    /// Remove the app.
    Delete,

    /// A compile has ended.
    CompileEnded {
        /// Which.
        job: JobId,
        /// How.
        outcome: CompileOutcome,
    },
    /// What runs of a version now.
    Instances {
        /// The version.
        version: VersionNumber,
        /// The start of the version that the report is about, as in [`Effect::Desire`](crate::Effect::Desire).
        generation: u64,
        /// Instances that would answer a request now.
        healthy: u32,
        /// Instances that exist at all, those that end included.
        alive: u32,
        /// Why an instance could not start, if the last attempt failed for good.
        failure: Option<String>,
    },
    /// What was tried is done.
    Tried {
        /// Its start, as in [`Effect::DesireTrial`](crate::Effect::DesireTrial).
        generation: u64,
    },
    /// Every gateway leads requests as the [`Route`](crate::Effect::Route) of this start says.
    Served {
        /// The start of the version that the route leads to.
        generation: u64,
    },
    /// The active version should have this many instances.
    Scale {
        /// The version it was computed for.
        version: VersionNumber,
        /// The instances.
        instances: u32,
    },
    /// Time went on.
    Tick,
}

/// How a compile ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompileOutcome {
    /// With an artifact.
    Succeeded(Compiled),
    /// With a reason, for the author.
    Failed(String),
    /// It was cancelled.
    Cancelled,
}

/// How long the steps of an app may take. After it they end as failed, so that every job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Longest time from asking for a compile to its end, waiting for a builder included, in milliseconds.
    pub compile_ms_max: u64,
    /// Longest time from wanting instances to their health, in milliseconds. Code that is tried has this, and its own timeout
    /// twice: to wait for a place, and to run.
    pub start_ms_max: u64,
    /// Longest time the old version's instances go on while gateways take up the new route, in milliseconds.
    pub settle_ms_max: u64,
    /// Longest time a deleted app waits for its instances to end, in milliseconds.
    pub delete_ms_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { compile_ms_max: 20 * 60_000, start_ms_max: 120_000, settle_ms_max: 30_000, delete_ms_max: 120_000 }
    }
}

/// Why a command was refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The draft is empty.
    #[error("the app has no draft: save one with `ignite draft save`")]
    NoDraft,
    /// A compile of the same draft is under way.
    #[error("compile {0} of this draft is under way: follow it, or cancel it first")]
    Compiling(JobId),
    /// A publish or rollback is under way.
    #[error("{kind} {job} is under way: wait for it, or cancel it first")]
    RollingOut {
        /// `publish` or `rollback`.
        kind: &'static str,
        /// Its id.
        job: JobId,
    },
    /// Something is being tried.
    #[error("a test of this app is under way: wait for its end")]
    Trying,
    /// The version never went live.
    #[error("version {version} never went live ({reason}): choose one that has")]
    NeverLive {
        /// The version.
        version: VersionNumber,
        /// Why it did not.
        reason: String,
    },
    /// It is the active version.
    #[error("version {0} is live already")]
    AlreadyLive(VersionNumber),
    /// Nothing is under way.
    #[error("nothing is under way that could be cancelled")]
    NothingToCancel,
    /// The app is going away.
    #[error("the app is being deleted")]
    Deleted,
}

impl Refusal {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Deleted => Fault::Missing,
            Self::NeverLive { .. } => Fault::Caller,
            Self::NoDraft
            | Self::Compiling(_)
            | Self::RollingOut { .. }
            | Self::Trying
            | Self::AlreadyLive(_)
            | Self::NothingToCancel => Fault::Conflict,
        }
    }
}
