//! Which executor runs an app, and what it needs from this machine.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignite_core_model::toolchain::{Pins, Tool};
use ignite_core_model::{ArtifactKind, Digest, Limits, Runtime};
use ignite_runtimes_executor::{Executor, LogSink};
use ignite_runtimes_process::{AppDir, ProcessConfig, ProcessExecutor, ProcessRuntime, install_python_worker};
use ignite_runtimes_wasm::{WasmConfig, WasmExecutor};

use crate::artifact::App;
use crate::config::HostConfig;
use crate::interpreters;
use crate::warm::Kit;

/// Why an app cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The machine lacks what the app is run by.
    #[error("the app needs {tool} {needed}, which was not found; to get it, {get}")]
    Toolchain {
        /// The interpreter.
        tool: Tool,
        /// The versions that will do, in words.
        needed: String,
        /// How to get or name it.
        get: &'static str,
    },
    /// The manifest joins what does not belong together.
    #[error("the artifact says it is {runtime} in the form `{kind}`, which there is not")]
    Unknown {
        /// The language.
        runtime: Runtime,
        /// The form.
        kind: ArtifactKind,
    },
    /// It was built for another protocol.
    #[error(
        "the artifact was built for version {found} of the worker protocol, and this host speaks {own}; compile it again"
    )]
    Abi {
        /// The artifact's.
        found: u16,
        /// The host's.
        own: u16,
    },
    /// A part of the product could not be laid down, or what lies there is not ours.
    #[error("could not use the Python worker in {}", .0.display())]
    Worker(PathBuf, #[source] io::Error),
    /// The language could not be brought up for an app to come.
    #[error("could not bring up the language")]
    Warm(#[source] ignite_runtimes_process::WarmError),
    /// The engine could not be brought up for an app to come.
    #[error("could not bring up the WebAssembly engine: {0}")]
    WarmEngine(String),
    /// The workers cannot be started.
    #[error(transparent)]
    Process(#[from] ignite_runtimes_process::StartError),
}

/// Starts the executor for `app`. It is not ready yet when this returns.
pub(crate) fn start(
    app: &App,
    limits: &Limits,
    config: &HostConfig,
    logs: Arc<dyn LogSink>,
) -> Result<Box<dyn Executor>, ExecutorError> {
    plan(app, limits, config, logs, &Kit::Nothing)?.start(Kit::Nothing)
}

/// How an app is run.
pub(crate) enum Plan {
    Process(ProcessConfig),
    Wasm(WasmConfig),
}

impl Plan {
    /// Why `kit` cannot be used for it, so that it is started anew; `None` where it can, or holds nothing to use.
    pub(crate) fn unfit(&self, kit: &Kit) -> Option<String> {
        match (self, kit) {
            (Self::Process(config), Kit::Worker(worker)) => worker.unfit(config),
            (_, Kit::Nothing) | (Self::Wasm(_), Kit::Wasm(_)) => None,
            (Self::Process(_), Kit::Wasm(_)) | (Self::Wasm(_), Kit::Worker(_)) => {
                Some("it is of another runtime".into())
            }
        }
    }

    /// Starts it, with what is up already.
    pub(crate) fn start(self, kit: Kit) -> Result<Box<dyn Executor>, ExecutorError> {
        Ok(match (self, kit) {
            (Self::Process(config), Kit::Worker(worker)) => Box::new(ProcessExecutor::start_warm(config, *worker)?),
            (Self::Process(config), _) => Box::new(ProcessExecutor::start(config)?),
            (Self::Wasm(config), Kit::Wasm(warm)) => Box::new(WasmExecutor::start_warm(config, *warm)),
            (Self::Wasm(config), _) => Box::new(WasmExecutor::start(config)),
        })
    }
}

/// Finds what `app` is run by on this machine, or what is up in `kit` for it. Runs nothing of it.
pub(crate) fn plan(
    app: &App,
    limits: &Limits,
    config: &HostConfig,
    logs: Arc<dyn LogSink>,
    kit: &Kit,
) -> Result<Plan, ExecutorError> {
    let manifest = &app.manifest;
    if manifest.abi != ignite_core_abi::ABI_VERSION {
        return Err(ExecutorError::Abi { found: manifest.abi, own: ignite_core_abi::ABI_VERSION });
    }
    let unknown = || ExecutorError::Unknown { runtime: manifest.runtime, kind: manifest.kind };
    let up = match kit {
        Kit::Worker(worker) => Some(worker.runtime()),
        Kit::Wasm(_) | Kit::Nothing => None,
    };
    let runtime = match (manifest.runtime, manifest.kind) {
        (Runtime::Rust | Runtime::Component, ArtifactKind::Component) => {
            return Ok(Plan::Wasm(wasm(app, limits, config, logs)));
        }
        (Runtime::Python, ArtifactKind::Packed) => match up {
            Some(up @ ProcessRuntime::Python { .. }) => up.clone(),
            _ => python(config)?,
        },
        (Runtime::Deno, ArtifactKind::Bundle) => match up {
            Some(up @ ProcessRuntime::Deno { .. }) => up.clone(),
            _ => deno(config)?,
        },
        (Runtime::Deno, ArtifactKind::Binary) => ProcessRuntime::BinaryBySocket,
        (Runtime::Go | Runtime::Rust, ArtifactKind::Binary) => ProcessRuntime::Binary,
        _ => return Err(unknown()),
    };
    let env = config.env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    let app = AppDir { path: app.dir.clone(), entrypoint: manifest.entrypoint.clone() };
    Ok(Plan::Process(ProcessConfig { app, runtime, limits: limits.clone(), env, logs }))
}

fn wasm(app: &App, limits: &Limits, config: &HostConfig, logs: Arc<dyn LogSink>) -> WasmConfig {
    let entrypoint = &app.manifest.entrypoint;
    let entry = app.manifest.files.iter().find(|file| file.path == *entrypoint);
    WasmConfig {
        component: app.dir.join(entrypoint),
        // Where the manifest does not name its own entrypoint no file has this digest, and the executor says so.
        digest: entry.map_or_else(|| Digest::of(b""), |file| file.sha256),
        aot_cache: config.aot_cache.clone(),
        limits: limits.clone(),
        env: config.env.clone(),
        logs,
    }
}

pub(crate) fn python(config: &HostConfig) -> Result<ProcessRuntime, ExecutorError> {
    let python = interpreter(Tool::Python, &config.runtimes.python, &config.cache_dir)?;
    // The worker is part of the host, so that an artifact carries only its author's code.
    let worker = install_python_worker(&config.cache_dir)
        .map_err(|error| ExecutorError::Worker(config.cache_dir.clone(), error))?;
    Ok(ProcessRuntime::Python { python, worker })
}

pub(crate) fn deno(config: &HostConfig) -> Result<ProcessRuntime, ExecutorError> {
    let deno = interpreter(Tool::Deno, &config.runtimes.deno, &config.cache_dir)?;
    Ok(ProcessRuntime::Deno { deno, cache: config.cache_dir.join("deno") })
}

fn interpreter(tool: Tool, candidates: &[PathBuf], cache_dir: &Path) -> Result<PathBuf, ExecutorError> {
    interpreters::find(tool, candidates, cache_dir).ok_or_else(|| {
        let pin = Pins::embedded().pin(tool);
        ExecutorError::Toolchain { tool, needed: pin.needed(), get: &pin.get }
    })
}
