//! What an artifact says about itself.

use std::collections::BTreeMap;

use ignite_core_model::{AppName, ArtifactKind, Digest, Runtime, Target};
use serde::{Deserialize, Serialize};

/// The first entry of every artifact: what it is, what it was made from, and every file in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the format: [`FORMAT`](crate::FORMAT).
    pub format: u32,
    /// The language it was written in.
    pub runtime: Runtime,
    /// The machine it runs on.
    pub target: Target,
    /// The form of the payload.
    pub kind: ArtifactKind,
    /// The payload file that is run or loaded first.
    pub entrypoint: String,
    /// The version of the worker protocol and WIT world it was built for.
    pub abi: u16,
    /// The app's name, where the author gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AppName>,
    /// The tools it was made with and their versions.
    pub toolchain: BTreeMap<String, String>,
    /// The digest of its sources.
    pub source: Digest,
    /// The limits the author declared.
    #[serde(default, skip_serializing_if = "DeclaredLimits::is_empty")]
    pub limits: DeclaredLimits,
    /// Names of the environment variables the author declared. Their values are configuration and never in here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The third-party packages inside, as far as they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// Every payload file, in the order of their paths as bytes.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// The manifest of this build's format for `files`.
    #[must_use]
    pub fn new(head: ManifestHead, files: Vec<FileEntry>) -> Self {
        let ManifestHead { runtime, target, kind, entrypoint, abi, name, toolchain, source, limits, env, dependencies } =
            head;
        Self {
            format: crate::FORMAT,
            runtime,
            target,
            kind,
            entrypoint,
            abi,
            name,
            toolchain,
            source,
            limits,
            env,
            dependencies,
            files,
        }
    }

    /// Bytes of all payload files together.
    #[must_use]
    pub fn unpacked_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

/// A [`Manifest`] without its files: what a writer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// The language it was written in.
    pub runtime: Runtime,
    /// The machine it runs on.
    pub target: Target,
    /// The form of the payload.
    pub kind: ArtifactKind,
    /// The payload file that is run or loaded first.
    pub entrypoint: String,
    /// The version of the worker protocol and WIT world it was built for.
    pub abi: u16,
    /// The app's name, where the author gave one.
    pub name: Option<AppName>,
    /// The tools it was made with and their versions.
    pub toolchain: BTreeMap<String, String>,
    /// The digest of its sources.
    pub source: Digest,
    /// The limits the author declared.
    pub limits: DeclaredLimits,
    /// Names of the environment variables the author declared, never their values.
    pub env: Vec<String>,
    /// The third-party packages inside, as far as they are known.
    pub dependencies: Vec<Dependency>,
}

/// Limits that the author wrote down; what is left out is the platform's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredLimits {
    /// Longest execution, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u32>,
    /// Memory of one instance, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// Processor share of one instance, in thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u32>,
    /// Executions at once in one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// Whether a failed execution's answer carries the traceback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose_errors: Option<bool>,
}

impl DeclaredLimits {
    /// Whether the author declared none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A third-party package inside an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// Its name in the registry of its language.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of the package as downloaded, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// One payload file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its path in the artifact, with `/` between the parts.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its permissions: 0644 or 0755. In JSON four octal digits, as people write them.
    #[serde(with = "octal")]
    pub mode: u32,
    /// The digest of its content.
    pub sha256: Digest,
}

mod octal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if digits => Ok(mode),
            _ => Err(de::Error::invalid_value(de::Unexpected::Str(&text), &"four octal digits")),
        }
    }
}
