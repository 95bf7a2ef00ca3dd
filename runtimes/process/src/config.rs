//! What an executor is started with.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ignite_core_model::Limits;
use ignite_runtimes_executor::LogSink;

/// The unpacked app.
#[derive(Debug, Clone)]
pub struct AppDir {
    /// The folder; the workers' current directory.
    pub path: PathBuf,
    /// The entrypoint within it, as the artifact's manifest names it.
    pub entrypoint: String,
}

/// How a worker of the app's language is started.
#[derive(Debug, Clone)]
pub enum ProcessRuntime {
    /// By Python: `python` runs the worker package `ignite` found in the folder `worker`.
    Python {
        /// The interpreter, 3.12.
        python: PathBuf,
        /// The folder that contains the package `ignite`.
        worker: PathBuf,
    },
    /// By Deno: `deno` runs the entrypoint, which carries its SDK with it.
    Deno {
        /// The executable.
        deno: PathBuf,
        /// Where it keeps compiled code between starts; may be shared by apps and need not be writable.
        cache: PathBuf,
    },
    /// The entrypoint is a program that opens [`ignite_core_abi::ENV_WORKER_FD`].
    Binary,
    /// The entrypoint is a program that can only connect to [`ignite_core_abi::ENV_WORKER_SOCKET`], as those made by
    /// `deno compile`.
    BinaryBySocket,
}

/// Everything an executor needs to know.
pub struct ProcessConfig {
    /// The app.
    pub app: AppDir,
    /// How its workers are started.
    pub runtime: ProcessRuntime,
    /// Its bounds.
    pub limits: Limits,
    /// The workers' environment beside what the executor itself sets. Nothing else is passed on.
    pub env: Vec<(OsString, OsString)>,
    /// Where lines go.
    pub logs: Arc<dyn LogSink>,
}

impl fmt::Debug for ProcessConfig {
    /// Shows the names of the environment, never the values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("ProcessConfig")
            .field("app", &self.app)
            .field("runtime", &self.runtime)
            .field("limits", &self.limits)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}
