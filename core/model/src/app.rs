//! What the platform keeps of an app: its settings, its source, its versions.
//!
//! These are stored as JSON and so may only grow: a new field has a default, a new variant a new name.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ArtifactKind, Digest, Resources, Runtime, Target, Tier, VersionNumber};

/// Settings of an app. A publish copies them into the version; a change here touches nothing that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// What the app does, for people.
    pub description: String,
    /// Size of an instance.
    pub tier: Tier,
    /// Memory of an instance in MiB, in place of the tier's.
    pub memory_mb: Option<u32>,
    /// Processor share of an instance in thousandths of a core, in place of the tier's.
    pub cpu_millicores: Option<u32>,
    /// Longest execution, in seconds, in place of the host's default.
    pub timeout_secs: Option<u32>,
    /// Executions at once in an instance, in place of the host's default.
    pub max_concurrency: Option<u32>,
    /// Whether the answer of a failed execution carries the traceback.
    pub expose_errors: bool,
    /// Whether the app may be called without a token.
    pub allow_unauthenticated: bool,
    /// How many instances there may be.
    pub scaling: Scaling,
    /// Environment of the handler.
    pub env: Env,
}

impl AppSettings {
    /// What an instance may use: what is set, else what the tier gives.
    #[must_use]
    pub fn resources(&self) -> Resources {
        let tier = self.tier.resources();
        Resources {
            memory_mb: self.memory_mb.unwrap_or(tier.memory_mb),
            cpu_millicores: self.cpu_millicores.unwrap_or(tier.cpu_millicores),
        }
    }
}

/// How many instances there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scaling {
    /// Most instances at once, 1 to 1000.
    pub max_replicas: u32,
    /// Instances that are kept warm without traffic, at most `max_replicas`.
    pub reserved: u32,
    /// Seconds without an execution after which the last instance ends.
    pub idle_secs: u32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { max_replicas: 10, reserved: 0, idle_secs: 60 }
    }
}

/// Variables of an app. Authors put tokens in them whatever the manual says, so their values are in no `Debug` output.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Env(pub BTreeMap<String, String>);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where an app's code comes from, as a wire name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeKind {
    /// A handler that the platform compiles.
    Sdk,
    /// An image built from an uploaded folder.
    UploadImage,
    /// An image built from a git repository.
    GitImage,
    /// An image that exists.
    Prebuilt,
}

/// The code of a draft or version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CodeSource {
    /// Source of a handler, for the compiler.
    Compile(CompileSource),
}

/// A stored archive of source, and what to make of it. What is absent is found from the source, as on an author's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileSource {
    /// Digest of the archive, which is also its address in the object store.
    pub archive: Digest,
    /// Size of the archive, in bytes.
    pub archive_bytes: u64,
    /// The language.
    #[serde(default)]
    pub runtime: Option<Runtime>,
    /// The machine to compile for.
    #[serde(default)]
    pub target: Option<Target>,
    /// The form of the artifact.
    #[serde(default)]
    pub artifact_kind: Option<ArtifactKind>,
}

impl CodeSource {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> CodeKind {
        match self {
            Self::Compile(_) => CodeKind::Sdk,
        }
    }
}

/// What a compile made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiled {
    /// Digest of the artifact, which is also its address in the object store.
    pub artifact: Digest,
    /// Size of the artifact, in bytes.
    pub artifact_bytes: u64,
    /// The language it was compiled from.
    pub runtime: Runtime,
    /// The machine it runs on.
    pub target: Target,
    /// Its form.
    pub artifact_kind: ArtifactKind,
}

/// One immutable version: all that is needed to run it again in a year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub number: VersionNumber,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The source it was made from.
    pub source: CodeSource,
    /// What the compiler made of it.
    pub compiled: Compiled,
    /// The settings as they were.
    pub settings: AppSettings,
}

/// The step of the pipeline that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Source to artifact.
    Compile,
    /// Artifact to healthy instances.
    Start,
    /// Ended by a person or by a later step that took precedence.
    Cancelled,
}

/// Longest reason of a failure, in bytes; more is cut when it is made.
pub const REASON_BYTES_MAX: usize = 4096;

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step.
    pub step: Step,
    /// What happened and what to do next, for the author.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Failure {
    /// A failure whose reason is cut to [`REASON_BYTES_MAX`].
    #[must_use]
    pub fn new(step: Step, reason: &str, at_ms: u64) -> Self {
        let end = (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        Self { step, reason: reason[..end].to_owned(), at_ms }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn the_values_of_variables_are_not_shown() {
        let env = Env(BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]));
        let shown = format!("{:?}", AppSettings { env, ..AppSettings::default() });
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let failure = Failure::new(Step::Start, &"ä".repeat(REASON_BYTES_MAX), 1);
        assert_eq!(failure.reason.len(), REASON_BYTES_MAX);
        assert_eq!(
            Failure::new(Step::Start, &format!("a{}", "ä".repeat(REASON_BYTES_MAX)), 1).reason.len(),
            REASON_BYTES_MAX - 1
        );
    }

    /// What an earlier release stored stays readable.
    #[test]
    fn a_stored_version_reads_back() {
        let stored = r#"{"number":3,"created_ms":1716900000000,
            "source":{"kind":"compile","archive":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","archive_bytes":10},
            "compiled":{"artifact":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","artifact_bytes":3,
                "runtime":"python","target":"native","artifact_kind":"packed"},
            "settings":{"tier":"small","env":{"A":"b"}}}"#;
        let version: Version = serde_json::from_str(stored).unwrap();
        assert_eq!(version.settings.scaling, Scaling::default());
        assert_eq!(version.settings.resources().memory_mb, 256);
        let again: Version = serde_json::from_str(&serde_json::to_string(&version).unwrap()).unwrap();
        assert_eq!(again, version);
    }
}
