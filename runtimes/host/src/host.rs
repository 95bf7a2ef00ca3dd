//! The host as a whole: started, swapped, drained.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Response, StatusCode};
use ignite_core_model::{HostAddress, Limits};
use ignite_runtimes_executor::{Health, LogSink};
use ignite_telemetry::Tracer;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::admin;
use crate::apps::Apps;
use crate::artifact::{self, ArtifactError, ArtifactSource};
use crate::body::ResponseBody;
use crate::config::{HostConfig, Serves};
use crate::executors::{self, ExecutorError};
use crate::listen::Listener;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::multi::{Multi, NoSingleApp};
use crate::phases::Phases;
use crate::respond;
use crate::rest;
use crate::serve;
use crate::serving::{Identity, Serving};
use crate::warm::{Kit, NoApp, Warm};

/// How long a host that is of no use any more waits for its admin clients to have their answers.
const ANSWERED_MAX: Duration = Duration::from_secs(1);

/// How long a host that ends waits for its last spans to be sent.
const SPANS_FLUSH_MAX: Duration = Duration::from_secs(1);

/// Why a host could not be started, or an artifact not be taken.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("could not listen on {0}")]
    Listen(HostAddress, #[source] std::io::Error),
    /// The admin address or socket is taken or not ours.
    #[error("could not open the admin listener")]
    Admin(#[source] std::io::Error),
    /// There is no place for the host's own files.
    #[error("could not make a working folder in {}", .0.display())]
    WorkDir(std::path::PathBuf, #[source] std::io::Error),
    /// The artifact is refused.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The app cannot be run here.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// There is no folder of apps.
    #[error("{} is no folder of artifacts", .0.display())]
    NoFolder(PathBuf),
    /// The WebAssembly engine does not start on this machine.
    #[error("could not start the engine for many apps")]
    Engine(#[source] ignite_runtimes_wasm::WasmError),
    /// The code does not load.
    #[error("the handler could not be loaded: {0}")]
    Load(String),
    /// A task of the host's own failed.
    #[error("the artifact could not be opened: {0}")]
    Task(#[source] tokio::task::JoinError),
}

/// How a host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything in flight was answered.
    Drained,
    /// Work was still in flight when the time was up.
    WorkLost,
}

/// What connections, probes and the admin page share.
pub(crate) struct Shared {
    pub(crate) config: HostConfig,
    pub(crate) serving: ArcSwap<Serving>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracer: Tracer,
    /// The wait for an app, where the host was started without one.
    pub(crate) warm: Option<Arc<Warm>>,
    /// Where apps are unpacked.
    pub(crate) work_dir: PathBuf,
    /// Apps that were unpacked before.
    pub(crate) apps: Option<Apps>,
    /// One for each connection to the admin listener.
    pub(crate) admin_places: Arc<Semaphore>,
    /// The apps of a host of many.
    pub(crate) multi: Option<Arc<Multi>>,
    draining: AtomicBool,
}

#[cfg(test)]
impl Shared {
    /// What serves one app, without anything around it.
    pub(crate) fn of_one(serving: Serving, config: HostConfig) -> Self {
        Self {
            serving: ArcSwap::from_pointee(serving),
            logs: Arc::new(Logs::nowhere()),
            metrics: Arc::default(),
            tracer: Tracer::off(),
            warm: None,
            work_dir: PathBuf::new(),
            apps: None,
            admin_places: Arc::new(Semaphore::new(1)),
            multi: None,
            draining: AtomicBool::new(false),
            config,
        }
    }
}

impl Shared {
    /// The answer to `/healthz`: could an execution be served now?
    pub(crate) fn healthz(&self) -> Response<ResponseBody> {
        match self.health() {
            Health::Ready => respond::json(StatusCode::OK, &json!({ "status": "ready" })),
            other => respond::json(StatusCode::SERVICE_UNAVAILABLE, &status(&other)),
        }
    }

    /// Requests in hand: of one app those that wait too, of many those that execute.
    pub(crate) fn requests(&self) -> usize {
        self.multi.as_ref().map_or_else(|| self.serving.load().requests(), |multi| multi.requests())
    }

    /// Set before connections are told to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn health(&self) -> Health {
        match &self.multi {
            _ if self.is_draining() => Health::Draining,
            Some(multi) => multi.health(),
            None => self.serving.load().executor.health(),
        }
    }
}

fn status(health: &Health) -> serde_json::Value {
    match health {
        Health::Ready => json!({ "status": "ready" }),
        Health::Starting => json!({ "status": "starting", "reason": "the handler is being loaded" }),
        Health::Warm => {
            json!({ "status": "warm", "reason": "it has no app yet: POST /specialize to its admin socket" })
        }
        Health::Failed(reason) => json!({ "status": "failed", "reason": reason }),
        Health::Draining => json!({ "status": "draining", "reason": "the host is shutting down" }),
    }
}

/// A running host. Dropping it ends it at once; [`Host::drain`] ends it well.
pub struct Host {
    shared: Arc<Shared>,
    address: HostAddress,
    stopping: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    admin: Option<JoinHandle<()>>,
    admin_at: Option<String>,
    /// Brings a warm host up, and watches what is up; watches the folder of a host of many apps.
    warming: Option<JoinHandle<()>>,
    /// Tells of the end of the start.
    ready: Option<JoinHandle<()>>,
    /// Lets memory go while nobody asks.
    rest: JoinHandle<()>,
    /// The host's own files; removed when it ends.
    work_dir: TempDir,
}

impl Host {
    /// Listens and starts to load the app; requests wait until it is loaded.
    ///
    /// # Errors
    /// When the address, the artifact or the machine does not allow it. Code that does not load is no error here: the
    /// host stays up and `/healthz` says why, as an orchestrator needs it.
    pub async fn start(config: HostConfig) -> Result<Self, StartError> {
        let mut phases = Phases::begin();
        let failed = |error| StartError::Listen(config.listen.clone(), error);
        let listener = Listener::open(&config.listen).map_err(failed)?;
        let address = listener.address().map_err(failed)?;
        let work_dir = tempfile::Builder::new()
            .prefix("ignite-host-")
            .tempdir_in(&config.work_dir)
            .map_err(|error| StartError::WorkDir(config.work_dir.clone(), error))?;
        let limits = config.limits.resolve(&ignite_core_artifact::DeclaredLimits::default());
        let logs = Arc::new(Logs::start(
            config.log_format,
            config.instance.clone(),
            limits.log_line_bytes_max,
            limits.log_lines_per_second,
        ));
        let apps = Apps::open(&config.cache_dir.join("apps"));
        let mut multi = None;
        phases.mark("prepare");
        let (serving, warm) = match &config.serves {
            Serves::Artifact(source) => {
                (open(source, &config, work_dir.path(), apps.as_ref(), &logs, &mut phases).await?, None)
            }
            Serves::Multi(dir, bounds) => {
                if !dir.is_dir() {
                    return Err(StartError::NoFolder(dir.clone()));
                }
                multi = Some(Multi::new(dir, *bounds, &config, work_dir.path(), &logs).map_err(StartError::Engine)?);
                (Serving::new(Box::new(NoSingleApp), limits.clone(), false, identity(&config), None), None)
            }
            Serves::Warm(runtime) => {
                let warm = Arc::new(Warm::new(*runtime));
                let identity = identity(&config);
                (Serving::new(Box::new(NoApp(Arc::clone(&warm))), limits.clone(), false, identity, None), Some(warm))
            }
        };
        let tracer = match config.spans.clone().map(Tracer::start) {
            None => Tracer::off(),
            Some(Ok(tracer)) => tracer,
            Some(Err(fault)) => {
                logs.host("error", "no spans are sent", &json!({ "error": fault.to_string() }));
                Tracer::off()
            }
        };
        let shared = Arc::new(Shared {
            serving: ArcSwap::from_pointee(serving),
            logs,
            metrics: Arc::default(),
            tracer,
            warm,
            work_dir: work_dir.path().to_owned(),
            apps,
            admin_places: Arc::new(Semaphore::new(admin::CONNECTIONS_MAX as usize)),
            multi,
            draining: AtomicBool::new(false),
            config,
        });
        let (admin, admin_at) = admin::listen(&shared, work_dir.path())
            .await
            .map_err(StartError::Admin)?
            .map_or((None, None), |(task, at)| (Some(task), Some(at)));
        let (stopping, stop) = watch::channel(false);
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&shared), stop));
        shared.logs.host("info", "listening", &json!({ "address": address.to_string(), "admin": admin_at }));
        let one_app = shared.warm.is_none() && shared.multi.is_none();
        let ready = one_app.then(|| tokio::spawn(tell_ready(Arc::clone(&shared), phases)));
        let warming = match (&shared.warm, &shared.multi) {
            (Some(warm), _) => Some(tokio::spawn(come_up(Arc::clone(&shared), Arc::clone(warm), limits))),
            (None, Some(multi)) => Some(multi.watch()),
            (None, None) => None,
        };
        let rest = tokio::spawn(rest::watch(Arc::clone(&shared)));
        Ok(Self { shared, address, stopping, accepting, admin, admin_at, warming, ready, rest, work_dir })
    }

    /// Where requests come in.
    #[must_use]
    pub fn address(&self) -> &HostAddress {
        &self.address
    }

    /// Where metrics are read: `unix:PATH` or `ADDRESS:PORT`.
    #[must_use]
    pub fn admin_address(&self) -> Option<&str> {
        self.admin_at.as_deref()
    }

    /// Whether an execution could be served now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Resolves when the app is loaded or cannot be.
    pub async fn started(&self) -> Health {
        let serving = self.shared.serving.load_full();
        serving.executor.started().await
    }

    /// Serves another artifact from now on. The new code is loaded first; requests that are under way finish with the old
    /// one, and none fails for the change. The listener and its limits stay.
    ///
    /// # Errors
    /// When the new artifact cannot be opened or its code does not load; then nothing has changed.
    pub async fn swap(&self, source: &ArtifactSource, env: Vec<(String, String)>) -> Result<(), StartError> {
        let config = HostConfig { env, ..self.shared.config.clone() };
        let (place, apps) = (self.work_dir.path(), self.shared.apps.as_ref());
        let next = open(source, &config, place, apps, &self.shared.logs, &mut Phases::begin()).await?;
        if let Health::Failed(reason) = next.executor.started().await {
            next.executor.drain(Instant::now()).await;
            return Err(StartError::Load(reason));
        }
        let old = self.shared.serving.swap(Arc::new(next));
        let deadline = Instant::now() + old.limits.drain_timeout;
        tokio::spawn(async move { old.drain(deadline).await });
        Ok(())
    }

    /// Resolves with the reason when the host can be of no use any more: it was started without an app, and what was up for
    /// one has ended, or the app it was given does not load. The owner ends it then.
    pub async fn of_no_use(&self) -> String {
        match &self.shared.warm {
            Some(warm) => {
                let reason = warm.ended().await;
                // Whoever gave it the app is answered first.
                let answered = self.shared.admin_places.acquire_many(admin::CONNECTIONS_MAX);
                let _ = tokio::time::timeout(ANSWERED_MAX, answered).await;
                reason
            }
            None => std::future::pending().await,
        }
    }

    /// Takes no more connections, lets what is in flight finish within the drain limit, then ends the workers.
    pub async fn drain(mut self) -> Ended {
        let serving = self.shared.serving.load_full();
        let deadline = Instant::now() + serving.limits.drain_timeout;
        self.shared.draining.store(true, Ordering::Release);
        self.shared.logs.host("info", "draining", &json!({ "requests": self.shared.requests() }));
        self.stopping.send_replace(true);
        let _ = (&mut self.accepting).await;
        // Each connection holds a receiver while it lives.
        let connections_closed = tokio::time::timeout_at(deadline, self.stopping.closed()).await.is_ok();
        serving.drain(deadline).await;
        if let Some(multi) = &self.shared.multi {
            multi.drain(deadline).await;
        }
        let ended = if connections_closed { Ended::Drained } else { Ended::WorkLost };
        self.shared.logs.host("info", "ended", &json!({ "work_lost": ended == Ended::WorkLost }));
        let (logs, tracer) = (Arc::clone(&self.shared.logs), self.shared.tracer.clone());
        let _ = tokio::task::spawn_blocking(move || {
            tracer.flush(SPANS_FLUSH_MAX);
            logs.flush();
        })
        .await;
        ended
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
        self.rest.abort();
        for task in [&self.admin, &self.warming, &self.ready].into_iter().flatten() {
            task.abort();
        }
    }
}

async fn open(
    source: &ArtifactSource,
    config: &HostConfig,
    work_dir: &std::path::Path,
    apps: Option<&Apps>,
    logs: &Arc<Logs>,
    phases: &mut Phases,
) -> Result<Serving, StartError> {
    let (source, place, apps) = (source.clone(), work_dir.to_owned(), apps.cloned());
    let opened = tokio::task::spawn_blocking(move || artifact::open(&source, &place, apps.as_ref()));
    let app = opened.await.map_err(StartError::Task)??;
    phases.mark("unpack");
    let limits = config.limits.resolve(&app.manifest.limits);
    let expose_errors = config.expose_errors.or(app.manifest.limits.expose_errors).unwrap_or(false);
    let sink: Arc<dyn LogSink> = Arc::clone(logs) as Arc<dyn LogSink>;
    let executor = executors::start(&app, &limits, config, sink)?;
    phases.mark("executor");
    Ok(Serving::new(executor, limits, expose_errors, identity(config), Some(app)))
}

/// Says when the app is loaded, and how long the parts of the start took.
async fn tell_ready(shared: Arc<Shared>, mut phases: Phases) {
    let serving = shared.serving.load_full();
    if serving.executor.started().await == Health::Ready {
        phases.mark("load");
        shared.logs.host("info", "ready", &json!({ "phases": phases.told(&serving.executor.gauges()) }));
    }
}

fn identity(config: &HostConfig) -> Identity {
    Identity { function: config.function_id.clone(), organization: config.organization_id.clone() }
}

/// Brings up what a warm host can have up, and tells when it ends before there is an app.
async fn come_up(shared: Arc<Shared>, warm: Arc<Warm>, limits: Limits) {
    let begun = Instant::now();
    let kit = match Kit::start(warm.runtime, &limits, &shared.config).await {
        Ok(kit) => kit,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            return warm.end(format!("{error}{cause}"));
        }
    };
    let watch = match &kit {
        Kit::Worker(worker) => worker.watch().ok(),
        Kit::Wasm(_) | Kit::Nothing => None,
    };
    warm.put(kit);
    let figures = json!({ "runtime": warm.runtime.as_str(), "took_ms": begun.elapsed().as_millis() as u64 });
    shared.logs.host("info", "warm", &figures);
    if let Some(ended) = watch {
        ended.await;
        // Once it has its app, its executor sees to it.
        if warm.take().is_ok() {
            warm.end("the language's worker ended before there was an app".into());
        }
    }
}
