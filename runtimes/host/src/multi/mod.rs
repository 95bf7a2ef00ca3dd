//! Many apps in one host: WebAssembly components, chosen by hostname.
//!
//! A folder holds one artifact for each app, named by its hostname label (`folder.rs`). An app that nobody asks for is a
//! name and a digest; its machine code lies on disk, made when the artifact was found (`prepare.rs`). The first request
//! maps it into the one engine that all apps share; when too many are loaded, the one that was used longest ago is let go
//! of (`app.rs`). Each app has its own limits, queue, memory budget and log lines, and all take turns for the places of the
//! engine (`gate.rs`). What changes in the folder is served without a restart (`watch.rs`).

mod app;
mod figures;
mod folder;
mod gate;
mod prepare;
mod watch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::header;
use ignite_core_model::HostLabel;
use ignite_runtimes_executor::{BoxFuture, Executor, Health, Invocation, InvokeError, LogSink, Reply};
use ignite_runtimes_wasm::{SHARED_LOADS_MAX, WarmWasm, WasmConfig, WasmError, WasmExecutor};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub(crate) use app::Counts;
use app::{App, Entered};
pub(crate) use gate::Gate;
use prepare::Workshop;

use crate::admission::Admission;
use crate::config::HostConfig;
use crate::errors::HostError;
use crate::logs::{AppLogs, Logs};
use crate::serving::{Identity, Serving};

/// Apps of one folder, at most; further ones are not served, and the log says so.
pub(crate) const APPS_MAX: usize = 20_000;

/// How a host of many apps is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiLimits {
    /// Apps that are loaded at once. `IGNITE_MULTI_LOADED_MAX`, 256; the one that was used longest ago goes first.
    pub loaded_max: u32,
    /// Executions at once, of all apps together. `IGNITE_MULTI_CONCURRENCY`, 256; then apps take turns.
    pub max_concurrency: u32,
}

impl Default for MultiLimits {
    fn default() -> Self {
        Self { loaded_max: 256, max_concurrency: 256 }
    }
}

/// The apps of a folder.
pub(crate) struct Multi {
    dir: PathBuf,
    limits: MultiLimits,
    config: HostConfig,
    logs: Arc<Logs>,
    workshop: Workshop,
    apps: RwLock<HashMap<HostLabel, Arc<App>>>,
    /// Those that are loaded.
    loaded: Mutex<Vec<Arc<App>>>,
    /// Loads at once: each makes an instance.
    loads: Semaphore,
    gate: Arc<Gate>,
    /// Counts uses, and tells apps apart.
    clock: AtomicU64,
    /// The folder was read for the first time.
    listed: AtomicBool,
    /// Artifacts that are not served, as of the last look.
    refused: AtomicU64,
    unloads: AtomicU64,
}

impl Multi {
    /// An engine for the apps of `dir`, none of which is known yet. Blocks.
    ///
    /// # Errors
    /// When the engine cannot be set up on this machine.
    pub(crate) fn new(
        dir: &Path,
        limits: MultiLimits,
        config: &HostConfig,
        work_dir: &Path,
        logs: &Arc<Logs>,
    ) -> Result<Arc<Self>, WasmError> {
        let workshop = Workshop {
            engine: WarmWasm::shared(APPS_MAX, limits.max_concurrency)?,
            aot_cache: config.aot_cache.clone().unwrap_or_else(|| work_dir.join("aot")),
            work_dir: work_dir.to_owned(),
            organization: config.organization_id.clone(),
        };
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            limits,
            config: config.clone(),
            logs: Arc::clone(logs),
            workshop,
            apps: RwLock::default(),
            loaded: Mutex::default(),
            loads: Semaphore::new(SHARED_LOADS_MAX as usize),
            gate: Gate::new(limits.max_concurrency),
            clock: AtomicU64::new(1),
            listed: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            unloads: AtomicU64::new(0),
        }))
    }

    /// Watches the folder until it is dropped.
    pub(crate) fn watch(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        tokio::spawn(watch::run(Arc::clone(self)))
    }

    pub(crate) fn health(&self) -> Health {
        if self.listed.load(Ordering::Acquire) { Health::Ready } else { Health::Starting }
    }

    /// Chooses the app that `request` is for, and loads it where it is not. The request is counted as in hand.
    ///
    /// # Errors
    /// When there is no such app, its code does not load, or not in time.
    pub(crate) async fn enter<B>(
        self: &Arc<Self>,
        request: &http::Request<B>,
        deadline: Instant,
    ) -> Result<Arc<Serving>, HostError> {
        let label = label(request).ok_or(HostError::UnknownHost)?;
        loop {
            let app = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(&label).cloned();
            let Some(app) = app else {
                return Err(match self.health() {
                    Health::Ready => HostError::UnknownHost,
                    _ => InvokeError::Unavailable("the host is reading its folder of apps".into()).into(),
                });
            };
            app.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            let mut done = match app.enter() {
                Entered::Now(serving) => return Ok(serving),
                Entered::Failed(reason) => return Err(InvokeError::NotLoaded { reason }.into()),
                // Its successor is in the table already.
                Entered::Gone => continue,
                Entered::Wait(done) => done,
                Entered::Load(sender) => {
                    let done = sender.subscribe();
                    // Owned by itself: who asked may go away, and others wait for the same. Bounded by the start limit.
                    let multi = Arc::clone(self);
                    tokio::spawn(async move {
                        multi.load(&app).await;
                        drop(sender);
                        // Nobody waits for those that go.
                        multi.evict().await;
                    });
                    done
                }
            };
            // An error says that it is done.
            if timeout_at(deadline, done.changed()).await.is_err() {
                return Err(InvokeError::Unavailable("it is still starting".into()).into());
            }
        }
    }

    async fn load(self: &Arc<Self>, app: &Arc<App>) {
        let Ok(_place) = self.loads.acquire().await else { return };
        let result = match self.start(app).await {
            // Its code was there by name, but could not be used: it is made once more.
            Err(_) => match self.compile(app).await {
                Ok(()) => self.start(app).await,
                Err(reason) => Err(reason),
            },
            started => started,
        };
        if result.is_ok() {
            app.counts.loads.fetch_add(1, Ordering::Relaxed);
            self.loaded.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(app));
        }
        if let Some(unused) = app.loaded(result) {
            unused.drain(Instant::now()).await;
        }
    }

    async fn start(&self, app: &App) -> Result<Arc<Serving>, String> {
        let limits = self.config.limits.resolve(&app.declared);
        let expose_errors = self.config.expose_errors.or(app.declared.expose_errors).unwrap_or(false);
        let executor = WasmExecutor::start_warm(
            WasmConfig {
                component: app.entry.path.join(&app.component.path),
                digest: app.component.digest,
                aot_cache: Some(self.workshop.aot_cache.clone()),
                limits: limits.clone(),
                env: self.config.env.clone(),
                logs: self.lines(app),
            },
            self.workshop.engine.clone(),
        );
        if let Health::Failed(reason) = executor.started().await {
            return Err(reason);
        }
        let key = self.clock.fetch_add(1, Ordering::Relaxed);
        let admission = Admission::new(&limits).behind(Arc::clone(&self.gate), key);
        let identity = Identity { function: app.function.clone(), organization: app.function.organization() };
        let counts = Some(Arc::clone(&app.counts));
        Ok(Arc::new(Serving::of_many(Box::new(executor), limits, admission, expose_errors, identity, counts)))
    }

    async fn compile(&self, app: &Arc<App>) -> Result<(), String> {
        let (workshop, app) = (self.workshop.clone(), Arc::clone(app));
        let compiled = tokio::task::spawn_blocking(move || workshop.compile(&app).map_err(|error| error.in_full()));
        compiled.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn lines(&self, app: &App) -> Arc<dyn LogSink> {
        Arc::new(AppLogs {
            logs: Arc::clone(&self.logs),
            function: app.function.clone(),
            window: AtomicU64::new(0),
            counts: Arc::clone(&app.counts),
        })
    }

    /// Lets go of those that were used longest ago, while too many are loaded.
    async fn evict(&self) {
        let mut let_go = Vec::new();
        {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            loaded.retain(|app| app.is_loaded());
            while loaded.len() > self.limits.loaded_max as usize {
                let oldest = loaded.iter().enumerate().min_by_key(|(_, app)| app.used.load(Ordering::Relaxed));
                let Some((index, _)) = oldest else { break };
                let app = loaded.swap_remove(index);
                match app.unload() {
                    Some(serving) => let_go.push(serving),
                    // It is in use. The next one that is loaded looks again.
                    None => {
                        app.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
                        loaded.push(app);
                        break;
                    }
                }
            }
        }
        for serving in let_go {
            self.unloads.fetch_add(1, Ordering::Relaxed);
            serving.drain(Instant::now()).await;
        }
    }

    /// Lets all that is loaded finish, by `deadline`.
    pub(crate) async fn drain(&self, deadline: Instant) {
        let apps: Vec<_> = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        let drains =
            apps.iter().filter_map(|app| app.retire()).map(|serving| async move { serving.drain(deadline).await });
        futures_util::future::join_all(drains).await;
    }

    /// File descriptors that apps may need: each that is loaded, and each load, has its machine code open.
    pub(crate) fn descriptors(&self) -> u64 {
        2 * u64::from(self.limits.loaded_max + SHARED_LOADS_MAX)
    }

    /// Requests in hand.
    pub(crate) fn requests(&self) -> usize {
        self.gate_busy()
    }

    fn gate_busy(&self) -> usize {
        self.limits.max_concurrency.saturating_sub(self.gate.free()) as usize
    }
}

/// The first label of the host that a request names; in HTTP/2 and in a proxy's form the URI does.
fn label<B>(request: &http::Request<B>) -> Option<HostLabel> {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().host().or(named)?;
    // An address has no name. A port and the rest of the name follow the label.
    host.split(['.', ':']).next()?.parse().ok()
}

/// What stands where a host has its one app, in a host of many.
pub(crate) struct NoSingleApp;

impl Executor for NoSingleApp {
    fn invoke(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, InvokeError>> {
        Box::pin(std::future::ready(Err(InvokeError::Unavailable("this host chooses its app by hostname".into()))))
    }

    fn health(&self) -> Health {
        Health::Ready
    }

    fn started(&self) -> BoxFuture<'_, Health> {
        Box::pin(std::future::ready(Health::Ready))
    }

    fn drain(&self, _: Instant) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Longest pause between two looks at the folder: links whose target was written in place tell no watcher.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn the_label_is_the_first_of_the_hostname() {
        let of = |uri: &str, host: Option<&str>| {
            let mut request = http::Request::builder().uri(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            label(&request.body(()).unwrap()).map(|label| label.to_string())
        };
        assert_eq!(of("/", Some("hello-acme.example.org")).as_deref(), Some("hello-acme"));
        assert_eq!(of("/", Some("Hello-Acme:8080")).as_deref(), Some("hello-acme"));
        assert_eq!(of("http://one.test/x", Some("two.test")).as_deref(), Some("one"));
        for nobody in [None, Some(""), Some(".x"), Some("a_b.x"), Some("[::1]"), Some("-a.x")] {
            assert_eq!(of("/", nobody), None, "{nobody:?}");
        }
    }
}
