//! A worker whose language is up and that has no app yet: the slow half of a start, done before anybody waits for it.
//!
//! It is told once, over a connection of its own, which app it is: folder, entrypoint and environment as one line of JSON.
//! From there on it is a worker like any other, and its frames go over the socket it was started with.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use ignite_core_model::{Fault, Limits};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::child::Child;
use crate::config::{ProcessConfig, ProcessRuntime};
use crate::launch::{self, Started};
use crate::orphans::Orphans;
use crate::starter;
use crate::supervisor;

/// Longest first line of a warm worker, in bytes.
const UP_BYTES_MAX: u64 = 64 * 1024;

/// Longest time for a warm worker to take its order, which it waits for.
const ASSIGN_MAX: Duration = Duration::from_secs(1);

/// Names of variables that count before any code of a language runs: the loader, the C library and the interpreters read
/// them once. An app that sets one is started anew.
const EARLY_PREFIXES: [&str; 8] = ["LD_", "LC_", "MALLOC_", "GLIBC_", "OPENSSL_", "DENO_", "NODE_", "V8_"];
/// The same, whole names.
const EARLY_NAMES: [&str; 2] = ["LANG", "LANGUAGE"];

/// What a bundle says that asks whether it is the program that was started. Loaded later it is not.
const ASKS_FOR_MAIN: [&[u8]; 2] = [b"import.meta.main", b"Deno.mainModule"];

/// Longest bundle that is searched for that, in bytes; a longer one is started anew.
const BUNDLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why there is no warm worker.
#[derive(Debug, thiserror::Error)]
pub enum WarmError {
    /// The language has no worker that can wait for its app.
    #[error("programs have nothing to warm up")]
    NoWorker,
    /// The process could not be started.
    #[error("could not start the language's worker")]
    Start(#[source] io::Error),
    /// It ended, or said something else than that it is up.
    #[error("the language's worker did not come up: {0}")]
    NotUp(String),
    /// It took too long.
    #[error("the language's worker was not up within {start_ms} ms (IGNITE_START_MS)")]
    TimedOut {
        /// The limit, in milliseconds.
        start_ms: u128,
    },
}

impl WarmError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoWorker => Fault::Caller,
            Self::Start(_) | Self::NotUp(_) | Self::TimedOut { .. } => Fault::Internal,
        }
    }
}

/// A worker that waits to be told its app. Dropping it ends the process.
pub struct WarmWorker {
    pub(crate) started: Started,
    pub(crate) orphans: Orphans,
    control: UnixStream,
    runtime: ProcessRuntime,
    /// What the process was started for.
    memory_mb: u32,
    /// Top-level modules that are imported already; only Python says any.
    modules: HashSet<String>,
}

/// What a warm worker says when it is up.
#[derive(Deserialize)]
struct Up {
    #[serde(default)]
    modules: Vec<String>,
}

/// Which app it is.
#[derive(Serialize)]
struct Order<'a> {
    folder: &'a str,
    entrypoint: &'a str,
    env: BTreeMap<String, String>,
}

impl WarmWorker {
    /// Starts the worker of `runtime`, Python or Deno, and waits until it is up. `limits` bound its start, and its memory
    /// is fixed by them.
    ///
    /// # Errors
    /// When the runtime has no such worker, or it does not come up in time.
    pub async fn start(runtime: ProcessRuntime, limits: &Limits) -> Result<Self, WarmError> {
        // Asking takes a while, and what starts with this worker asks.
        let _ = supervisor::cores();
        // As `ProcessExecutor::start` does, which comes too late for this process.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let orphans = Orphans::new();
        let mark = orphans.mark().to_owned();
        let (memory_mb, program) = (limits.memory_mb, runtime.clone());
        let handle = tokio::runtime::Handle::current();
        let (started, control) = starter::run(move || {
            let _runtime = handle.enter();
            launch::start_warm(&program, memory_mb, &mark)
        })
        .await
        .map_err(|error| {
            if error.kind() == io::ErrorKind::Unsupported { WarmError::NoWorker } else { WarmError::Start(error) }
        })?;
        let up = async {
            let control = control.open(&started.connection).await?;
            let mut line = String::new();
            let mut reader = BufReader::new(control);
            (&mut reader).take(UP_BYTES_MAX).read_line(&mut line).await?;
            io::Result::Ok((line, reader.into_inner()))
        };
        let up = tokio::select! {
            biased;
            up = tokio::time::timeout(limits.start_timeout, up) => up,
            () = started.child.ended() => return Err(WarmError::NotUp(last_words(&started).await)),
        };
        let (line, control) = match up {
            Ok(Ok(up)) => up,
            Ok(Err(error)) => return Err(WarmError::NotUp(error.to_string())),
            Err(_) => return Err(WarmError::TimedOut { start_ms: limits.start_timeout.as_millis() }),
        };
        match serde_json::from_str::<Up>(&line) {
            Ok(Up { modules }) => {
                let modules = modules.into_iter().collect();
                Ok(Self { started, orphans, control, runtime, memory_mb, modules })
            }
            Err(_) if line.is_empty() => Err(WarmError::NotUp(last_words(&started).await)),
            Err(error) => Err(WarmError::NotUp(error.to_string())),
        }
    }

    /// What it was started with.
    #[must_use]
    pub fn runtime(&self) -> &ProcessRuntime {
        &self.runtime
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.started.child.pid().as_raw_nonzero().get()
    }

    /// Resolves when the process has ended, which it does not by itself.
    ///
    /// # Errors
    /// When the system does not let it be watched.
    pub fn watch(&self) -> io::Result<impl Future<Output = ()> + Send + 'static + use<>> {
        // A watch of its own: this value goes to an executor meanwhile.
        let other = Child::watcher(self.started.child.pid())?;
        Ok(async move { drop(other.readable().await) })
    }

    /// Why this worker cannot be the app of `config`, though it is of its language: a sentence for a person. The app is
    /// started anew then, and nothing else changes.
    #[must_use]
    pub fn unfit(&self, config: &ProcessConfig) -> Option<String> {
        if let Some((name, _)) = config.env.iter().find(|(name, _)| is_early(name)) {
            return Some(format!("its variable {} counts before a language starts", name.display()));
        }
        if config.env.iter().any(|(name, value)| name.to_str().is_none() || value.to_str().is_none()) {
            return Some("its environment is not UTF-8".into());
        }
        let (folder, entrypoint) = (&config.app.path, &config.app.entrypoint);
        match &config.runtime {
            ProcessRuntime::Python { .. } => self.shadowed(folder, entrypoint),
            ProcessRuntime::Deno { .. } if self.memory_mb != config.limits.memory_mb => Some(format!(
                "the worker was started for {} MiB, and the app has {} MiB",
                self.memory_mb, config.limits.memory_mb
            )),
            ProcessRuntime::Deno { .. } => asks_for_main(&folder.join(entrypoint)),
            ProcessRuntime::Binary | ProcessRuntime::BinaryBySocket => Some("it is a program of its own".into()),
        }
    }

    /// A file of the app that has the name of a module which is imported already, and would not be found any more.
    fn shadowed(&self, folder: &Path, entrypoint: &str) -> Option<String> {
        let beside = folder.join(entrypoint).parent().map(Path::to_owned);
        [Some(folder.to_owned()), beside]
            .into_iter()
            .flatten()
            .flat_map(|dir| fs::read_dir(dir).into_iter().flatten())
            .flatten()
            .find_map(|entry| {
                let name = entry.file_name();
                let module = name.to_str()?.split('.').next()?;
                let found = self.modules.contains(module) && name.to_str() != Some(entrypoint);
                found.then(|| format!("its `{}` hides a module that is imported already", name.display()))
            })
    }

    /// Tells the worker which app it is.
    pub(crate) async fn assign(mut self, config: &ProcessConfig) -> io::Result<Started> {
        let text = |path: &OsStr| path.to_str().map(str::to_owned).ok_or(io::ErrorKind::InvalidInput);
        let mut env = BTreeMap::new();
        for (name, value) in launch::app_environment(config, &self.started.connection) {
            env.insert(text(&name)?, text(&value)?);
        }
        env.insert(crate::orphans::ENV_MARK.to_owned(), self.orphans.mark().to_owned());
        let folder = text(config.app.path.as_os_str())?;
        let order = Order { folder: &folder, entrypoint: &config.app.entrypoint, env };
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        tokio::time::timeout(ASSIGN_MAX, self.control.write_all(&line)).await??;
        Ok(self.started)
    }
}

/// What it wrote on stderr before it ended.
async fn last_words(started: &Started) -> String {
    started.child.ended().await;
    let end = started.child.reap();
    let mut buffer = vec![0; 4096];
    let count = started.output.stderr.try_read(&mut buffer).unwrap_or(0);
    let words = String::from_utf8_lossy(&buffer[..count]);
    match words.trim().lines().last() {
        Some(last) => format!("it {end}: {last}"),
        None => format!("it {end}"),
    }
}

fn is_early(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    EARLY_NAMES.contains(&&*name) || EARLY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn asks_for_main(bundle: &Path) -> Option<String> {
    let found = fs::metadata(bundle).and_then(|metadata| match metadata.len() {
        0..=BUNDLE_BYTES_MAX => fs::read(bundle),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    });
    let Ok(text) = found else { return Some("its bundle is too long to be looked through".into()) };
    let asks = ASKS_FOR_MAIN.iter().find(|words| text.windows(words.len()).any(|window| window == **words))?;
    Some(format!("it asks for `{}`, which differs where it is loaded later", String::from_utf8_lossy(asks)))
}
