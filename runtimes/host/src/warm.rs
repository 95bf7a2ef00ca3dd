//! A host without code: what can be up before an app is known, by runtime.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use ignite_core_model::{ArtifactKind, Limits, Runtime};
use ignite_runtimes_executor::{BoxFuture, Executor, Health, Invocation, InvokeError, Reply};
use ignite_runtimes_process::{ProcessRuntime, WarmWorker};
use ignite_runtimes_wasm::WarmWasm;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::HostConfig;
use crate::executors::{self, ExecutorError};

/// What a warm host waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarmRuntime {
    /// An app in Python; interpreter and worker are up.
    Python,
    /// A program made from Go.
    Go,
    /// A program made from Rust.
    Rust,
    /// An app in TypeScript or JavaScript; Deno is up.
    Deno,
    /// A component; the engine, its pool and its linker are up.
    Wasm,
}

impl WarmRuntime {
    const ALL: [(Self, &'static str); 5] =
        [(Self::Python, "python"), (Self::Go, "go"), (Self::Rust, "rust"), (Self::Deno, "deno"), (Self::Wasm, "wasm")];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, word)| word)
    }

    /// Whether an artifact of this runtime and kind is what the host waits for.
    pub(crate) fn takes(self, runtime: Runtime, kind: ArtifactKind) -> bool {
        match self {
            Self::Python => runtime == Runtime::Python,
            Self::Go => runtime == Runtime::Go,
            Self::Rust => runtime == Runtime::Rust && kind == ArtifactKind::Binary,
            Self::Deno => runtime == Runtime::Deno,
            Self::Wasm => kind == ArtifactKind::Component,
        }
    }
}

impl fmt::Display for WarmRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WarmRuntime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = Self::ALL.iter().map(|(_, word)| *word).collect();
        let found = Self::ALL.iter().find(|(_, word)| *word == text).map(|(runtime, _)| *runtime);
        found.ok_or_else(|| format!("`{text}` is no runtime; there are {}", words.join(", ")))
    }
}

/// What is up before there is an app.
pub(crate) enum Kit {
    /// A worker process that waits to be told.
    Worker(Box<WarmWorker>),
    /// An engine.
    Wasm(Box<WarmWasm>),
    /// Nothing: a program starts itself.
    Nothing,
}

impl Kit {
    /// Brings up what `runtime` can have up.
    pub(crate) async fn start(
        runtime: WarmRuntime,
        limits: &Limits,
        config: &HostConfig,
    ) -> Result<Self, ExecutorError> {
        let worker = |runtime: ProcessRuntime| async move {
            WarmWorker::start(runtime, limits)
                .await
                .map(|worker| Self::Worker(Box::new(worker)))
                .map_err(ExecutorError::Warm)
        };
        match runtime {
            WarmRuntime::Python => worker(executors::python(config)?).await,
            WarmRuntime::Deno => worker(executors::deno(config)?).await,
            WarmRuntime::Go | WarmRuntime::Rust => Ok(Self::Nothing),
            WarmRuntime::Wasm => {
                let limits = limits.clone();
                let started = tokio::task::spawn_blocking(move || WarmWasm::start(&limits)).await;
                // The task is not aborted, and a panic in it is a fault of the engine.
                let started = started.map_err(|error| ExecutorError::WarmEngine(error.to_string()))?;
                started
                    .map(|warm| Self::Wasm(Box::new(warm)))
                    .map_err(|error| ExecutorError::WarmEngine(error.to_string()))
            }
        }
    }
}

/// How far a warm host is.
enum Stage {
    /// The kit is not up yet.
    ComingUp,
    /// It can be specialised.
    Warm(Kit),
    /// It is being specialised.
    Taken,
}

/// A warm host's wait for its app.
pub(crate) struct Warm {
    pub(crate) runtime: WarmRuntime,
    stage: Mutex<Stage>,
    /// Why the host has to end, once it has.
    ended: watch::Sender<Option<String>>,
}

/// Why the kit cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotWarm {
    /// It is not up yet.
    ComingUp,
    /// Somebody has taken it.
    Taken,
}

impl Warm {
    pub(crate) fn new(runtime: WarmRuntime) -> Self {
        Self { runtime, stage: Mutex::new(Stage::ComingUp), ended: watch::Sender::new(None) }
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kit is up, or is given back: nothing of an app has come near it.
    pub(crate) fn put(&self, kit: Kit) {
        *self.stage() = Stage::Warm(kit);
    }

    /// Takes the kit; only the first succeeds.
    pub(crate) fn take(&self) -> Result<Kit, NotWarm> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Taken) {
            Stage::Warm(kit) => Ok(kit),
            Stage::Taken => Err(NotWarm::Taken),
            Stage::ComingUp => {
                *stage = Stage::ComingUp;
                Err(NotWarm::ComingUp)
            }
        }
    }

    /// What probes say.
    fn health(&self) -> Health {
        match *self.stage() {
            Stage::ComingUp => Health::Starting,
            Stage::Warm(_) | Stage::Taken => Health::Warm,
        }
    }

    /// The host is of no use any more, and says why.
    pub(crate) fn end(&self, reason: String) {
        self.ended.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(reason);
            }
            first
        });
    }

    /// Resolves with the reason when the host has to end.
    pub(crate) async fn ended(&self) -> String {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as `self`.
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Answers for the app that is not there yet.
pub(crate) struct NoApp(pub(crate) Arc<Warm>);

impl Executor for NoApp {
    fn invoke(&self, _invocation: Invocation) -> BoxFuture<'_, Result<Reply, InvokeError>> {
        Box::pin(std::future::ready(Err(InvokeError::Unavailable("this host has no app yet".into()))))
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    fn started(&self) -> BoxFuture<'_, Health> {
        Box::pin(std::future::ready(Health::Warm))
    }

    fn drain(&self, _deadline: Instant) -> BoxFuture<'_, ()> {
        // What is up goes with it.
        *self.0.stage() = Stage::Taken;
        Box::pin(std::future::ready(()))
    }
}
