//! What the shell must do after an event.

use ignite_core_model::{AppSettings, CodeSource, Compiled, FunctionId, JobId, Version, VersionNumber};

/// One thing to do. Each is a row that is written or taken away in the event's own transaction; builders, agents and gateways
/// converge towards the rows, so that none of these is ever lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Add the immutable row of a new version.
    WriteVersion(Box<Version>),
    /// Lead requests to this version, in place of any other.
    Route {
        /// The version.
        version: VersionNumber,
        /// Its start. A gateway that has taken up the route says so with this number: a version can be live more than once,
        /// and an old acknowledgement must not pass for a new one.
        generation: u64,
    },
    /// Lead requests nowhere.
    Unroute,
    /// Want this many instances of a version; 0 keeps the row and so the version's place.
    Desire {
        /// The version.
        version: VersionNumber,
        /// The instances.
        instances: u32,
        /// Which start of the version this belongs to. Reports carry it back, so that one of an earlier start is known.
        generation: u64,
    },
    /// Want one instance of code that is to be tried, at the place [`VersionNumber::TRIAL`].
    DesireTrial {
        /// What to run.
        compiled: Box<Compiled>,
        /// With which limits and variables.
        settings: Box<AppSettings>,
        /// Which start this is.
        generation: u64,
    },
    /// Want no instances of a version any more: those there are drain and end.
    Undesire(VersionNumber),
    /// Queue a compile.
    Compile {
        /// Its id; one that is queued already is not queued again.
        job: JobId,
        /// What to compile.
        source: CodeSource,
    },
    /// Mark a compile as cancelled. It wins over every later result.
    CancelCompile(JobId),
    /// Forget the app: its rows go now, and what the object store holds for it when its retention is over.
    Forget(FunctionId),
}
