//! What an executor is started with, and why it could not be.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ignite_core_model::{Digest, Fault, Limits};
use ignite_runtimes_executor::LogSink;

/// What a [`crate::WasmExecutor`] runs and how.
#[derive(Clone)]
pub struct WasmConfig {
    /// The component, as the artifact holds it.
    pub component: PathBuf,
    /// Digest of that file, verified when the artifact was unpacked. Machine code is looked up by it.
    pub digest: Digest,
    /// Folder of machine code made ahead of time; made when it is absent, and must be writable by this user alone. `None`
    /// compiles at each start.
    pub aot_cache: Option<PathBuf>,
    /// Bounds of the app.
    pub limits: Limits,
    /// The whole environment of the function; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Where its lines go.
    pub logs: Arc<dyn LogSink>,
}

impl fmt::Debug for WasmConfig {
    /// Values of the environment may be secrets, so only its names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmConfig")
            .field("component", &self.component)
            .field("digest", &self.digest)
            .field("aot_cache", &self.aot_cache)
            .field("limits", &self.limits)
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Why a component cannot be served, or its machine code cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum WasmError {
    /// The file cannot be read.
    #[error("could not read the component {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The file is not the one that was announced.
    #[error("the component's content has the digest {found}, not {expected}")]
    Changed {
        /// What the configuration says.
        expected: Digest,
        /// What the file has.
        found: Digest,
    },
    /// Not WebAssembly, or WebAssembly of another kind.
    #[error(
        "the file is {found}, not a WebAssembly component; build it for `wasm32-wasip2`, or make it one with `wasm-tools component new`"
    )]
    NotAComponent {
        /// What it is.
        found: &'static str,
    },
    /// The engine refuses it.
    #[error("the component is not valid: {reason}")]
    Invalid {
        /// What the engine says.
        reason: String,
    },
    /// It exports nothing that can be called.
    #[error(
        "the component exports {}, but a function has to export `handle` of the world `ignite:function/function@1` \
         (what `#[ignite::main]` makes) or `wasi:http/incoming-handler@0.2`",
        listed(exports)
    )]
    NoHandler {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It needs what this host has not.
    #[error(
        "the component imports {}, which this host does not offer; it offers `ignite:function/host@1`, WASI 0.2 and \
             `wasi:http@0.2`",
        listed(imports)
    )]
    MissingImports {
        /// Each import that is missing.
        imports: Vec<String>,
    },
    /// An import or export has the right name and another type.
    #[error("the component does not fit this host: {reason}")]
    Mismatch {
        /// What the engine says.
        reason: String,
    },
    /// It declares more memory than it may have.
    #[error(
        "the component begins with {needed_mb} MiB of memory, but its limit is {memory_mb} MiB; choose a larger tier or set \
         memory_mb"
    )]
    Memory {
        /// What it declares, in MiB.
        needed_mb: u64,
        /// The limit, in MiB.
        memory_mb: u32,
    },
    /// A first instance, made before any request, failed or took longer than the start limit.
    #[error("a first instance could not be made: {reason}")]
    FirstInstance {
        /// Why.
        reason: String,
    },
    /// The engine cannot be set up on this machine.
    #[error("the WebAssembly engine could not be started: {reason}")]
    Engine {
        /// What the engine says.
        reason: String,
    },
    /// The folder for machine code cannot be used.
    #[error("could not keep machine code in {}", path.display())]
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// Others may write to the folder for machine code, so what lies there cannot be trusted.
    #[error("{} must belong to this user or root and be writable by no one else, because machine code is run from it", path.display())]
    CacheNotPrivate {
        /// The folder or file.
        path: PathBuf,
    },
}

impl WasmError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotAComponent { .. }
            | Self::Invalid { .. }
            | Self::NoHandler { .. }
            | Self::MissingImports { .. }
            | Self::Mismatch { .. }
            | Self::Memory { .. }
            | Self::FirstInstance { .. }
            | Self::CacheNotPrivate { .. } => Fault::Caller,
            Self::Read { .. } | Self::Changed { .. } | Self::Engine { .. } | Self::Cache { .. } => Fault::Internal,
        }
    }

    /// The error and all its causes on one line, for a place that shows one.
    pub(crate) fn to_line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

/// `a`, `b` and `c`; at most sixteen of them.
fn listed(names: &[String]) -> String {
    const SHOWN_MAX: usize = 16;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN_MAX {
        text.push_str(&format!(" and {} more", names.len() - SHOWN_MAX));
    }
    text
}
