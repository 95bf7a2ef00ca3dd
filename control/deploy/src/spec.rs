//! How to start an instance.

use ignite_core_model::{AppSettings, Compiled, FunctionId, Version, VersionNumber};
use serde::{Deserialize, Serialize};

/// All that a backend needs to start an instance of a version. Stored as JSON in the row that wants it, so it may only grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// The app.
    pub app: FunctionId,
    /// The version.
    pub version: VersionNumber,
    /// Which start of the version this is: the pipeline's own number, which it wants back with what became of it.
    pub start: u64,
    /// What to run.
    pub compiled: Compiled,
    /// With which limits and variables.
    pub settings: AppSettings,
}

impl InstanceSpec {
    /// How to start `version` for the `start`th time.
    #[must_use]
    pub fn new(app: FunctionId, version: &Version, start: u64) -> Self {
        Self {
            app,
            version: version.number,
            start,
            compiled: version.compiled.clone(),
            settings: version.settings.clone(),
        }
    }
}
