//! What control, agents and gateways say to each other about instances: how to start one, and how one is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AppSettings, Compiled, FunctionId, Version, VersionNumber};

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

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceState {
    /// It was started and has not answered its probe yet.
    Starting,
    /// It answers its probe.
    Healthy,
    /// It answered once and does not now; it is being watched or started anew.
    Unhealthy,
    /// It takes no new requests and ends when those it has are done.
    Draining,
    /// It did not start, and starting it again would not help.
    Failed,
}

impl InstanceState {
    /// The word for it, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InstanceState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Starting, Self::Healthy, Self::Unhealthy, Self::Draining, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| format!("`{word}` is not the state of an instance"))
    }
}

/// What else there is to say of an instance. Stored as JSON, so it may only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceDetail {
    /// Why it is not healthy, for the author.
    pub reason: Option<String>,
    /// When it was started, in milliseconds since 1970.
    pub started_ms: u64,
    /// How many times it was started anew.
    pub restarts: u32,
    /// Executions it takes at once.
    pub max_concurrency: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_what_it_prints() {
        for state in ["starting", "healthy", "unhealthy", "draining", "failed"] {
            assert_eq!(state.parse::<InstanceState>().map(InstanceState::as_str), Ok(state));
        }
        assert!("well".parse::<InstanceState>().is_err());
    }
}
