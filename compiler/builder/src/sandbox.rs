//! Where steps run: each in a sandbox of its phase, or nowhere, unless a person allowed less.

use std::path::PathBuf;

use ignite_compiler_sandbox::{Features, Phase, Place, Sandbox, StepLimits, ToolRoot};

use crate::error::CompileError;
use crate::session::Run;

/// How steps are locked up.
#[derive(Debug, Clone, Copy, Default)]
pub struct SandboxOptions {
    /// Whether a compile goes on where this machine lacks a protection. What is lacking is said in every log.
    pub allow_unsandboxed: bool,
    /// The bounds of every step; its wall time is what is left of the compile's.
    pub limits: StepLimits,
}

/// Decides where each step runs.
pub(crate) struct Sandboxes {
    pub(crate) options: SandboxOptions,
    /// A folder on the disk that steps write to.
    scratch: PathBuf,
}

impl Sandboxes {
    pub(crate) fn new(options: SandboxOptions, scratch: PathBuf) -> Self {
        Self { options, scratch }
    }

    /// What is there, in the words of a log; each line is one protection that is missing, or one on how limits are held.
    ///
    /// # Errors
    /// When something is missing that nobody allowed to be.
    pub(crate) fn features(&self) -> Result<Features, CompileError> {
        std::fs::create_dir_all(&self.scratch)
            .map_err(|cause| CompileError::Cache { path: self.scratch.clone(), cause })?;
        let features = Features::at(&self.scratch);
        if features.missing.is_empty() || self.options.allow_unsandboxed {
            return Ok(features);
        }
        let missing = features.missing.iter().map(ToString::to_string).collect();
        Err(CompileError::Unprotected { missing })
    }

    /// Where a step runs.
    pub(crate) fn place(&self, step: &str, run: &Run) -> Result<Place, CompileError> {
        let features = self.features()?;
        if features.has_sandbox() {
            return Ok(Place::Sandbox(Sandbox {
                phase: run.phase,
                root: run.root.clone(),
                mounts: run.mounts.clone(),
                without: features.without(),
            }));
        }
        match run.root {
            ToolRoot::Machine => Ok(Place::Open),
            // Its tools cannot be seen without namespaces, whatever is allowed.
            ToolRoot::Image(_) => Err(CompileError::Unprotected {
                missing: vec![format!("`{step}` runs in an image of its own, which this machine cannot show it")],
            }),
        }
    }
}

/// The variables that every step has, whatever its tool.
pub(crate) fn basic_env(phase: Phase, folders: &[PathBuf]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let mut path = std::ffi::OsString::new();
    for folder in folders {
        path.push(folder);
        path.push(":");
    }
    path.push("/usr/local/bin:/usr/bin:/bin");
    let mut env = vec![("PATH".into(), path)];
    if phase == Phase::Build {
        env.push(("HOME".into(), "/tmp".into()));
    }
    env
}
