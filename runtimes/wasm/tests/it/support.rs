//! Guests, an executor for one, and what it logged.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use ignite_core_model::{Digest, ExecutionId, Limits};
use ignite_runtimes_executor::{
    Executor, Health, Invocation, InvokeError, LogLine, LogSink, LogSource, Reply, ReplyBody, RequestBody, Slot,
};
use ignite_runtimes_wasm::{WasmConfig, WasmExecutor};
use tokio::time::{Instant, timeout};

/// Longest time anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn function_guest() -> Vec<u8> {
    guest(include_str!("../guests/function.wat"), include_str!("../guests/function.core.wat"))
}

pub(crate) fn http_guest() -> Vec<u8> {
    guest(include_str!("../guests/http.wat"), include_str!("../guests/http.core.wat"))
}

fn guest(component: &str, core: &str) -> Vec<u8> {
    let core = core.replacen("\n(module", "\n(core module $main", 1);
    wat::parse_str(component.replacen("{{core}}", &core, 1)).unwrap()
}

/// Source, level, execution, message and fields of a line.
pub(crate) type Line = (LogSource, &'static str, Option<ExecutionId>, String, String);

/// What was logged, kept.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<Line>>);

impl LogSink for Kept {
    fn line(&self, line: LogLine<'_>) {
        let entry = (line.source, line.level, line.execution_id, line.message.to_owned(), line.fields.to_owned());
        self.0.lock().unwrap().push(entry);
    }
}

impl Kept {
    pub(crate) fn of(&self, source: LogSource) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.0 == source).map(|line| line.3.clone()).collect()
    }

    pub(crate) fn all(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }
}

/// A component on disk and the configuration to run it.
pub(crate) struct Setup {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: WasmConfig,
    pub(crate) logs: Arc<Kept>,
}

pub(crate) fn setup(wasm: &[u8]) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let component: PathBuf = dir.path().join("app.wasm");
    std::fs::write(&component, wasm).unwrap();
    let logs = Arc::new(Kept::default());
    let config = WasmConfig {
        component,
        digest: Digest::of(wasm),
        aot_cache: None,
        limits: Limits { memory_mb: 64, ..Limits::default() },
        env: Vec::new(),
        logs: logs.clone(),
    };
    Setup { dir, config, logs }
}

/// A started executor.
pub(crate) struct App {
    pub(crate) executor: Arc<WasmExecutor>,
    pub(crate) logs: Arc<Kept>,
    _dir: tempfile::TempDir,
}

impl Setup {
    pub(crate) async fn start(self) -> App {
        let executor = Arc::new(WasmExecutor::start(self.config));
        let health = timeout(PATIENCE, executor.started()).await.unwrap();
        assert_eq!(health, Health::Ready);
        App { executor, logs: self.logs, _dir: self.dir }
    }

    /// Why it cannot be started.
    pub(crate) async fn refusal(self) -> String {
        let executor = WasmExecutor::start(self.config);
        match timeout(PATIENCE, executor.started()).await.unwrap() {
            Health::Failed(reason) => reason,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn function_app() -> App {
    setup(&function_guest()).start().await
}

pub(crate) async fn http_app() -> App {
    setup(&http_guest()).start().await
}

impl App {
    pub(crate) async fn call(&self, path: &str, body: impl Into<Bytes>) -> Result<Reply, InvokeError> {
        timeout(PATIENCE, self.executor.invoke(invocation(path, body))).await.unwrap()
    }

    /// Calls and reads the whole answer.
    pub(crate) async fn text(&self, path: &str, body: impl Into<Bytes>) -> String {
        let reply = self.call(path, body).await.unwrap();
        String::from_utf8(read(reply.body).await.unwrap().to_vec()).unwrap()
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        self.executor.gauges().into_iter().find(|gauge| gauge.0 == name).unwrap().2
    }

    /// Waits until the gauge `name` is `value`.
    pub(crate) async fn until_gauge(&self, name: &str, value: f64) {
        until(|| (self.gauge(name) - value).abs() < f64::EPSILON).await;
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

pub(crate) fn invocation(path: &str, body: impl Into<Bytes>) -> Invocation {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    Invocation {
        execution_id: ExecutionId::from_parts(1_700_000_000_000, u128::from(NEXT.fetch_add(1, Ordering::Relaxed))),
        function_id: "acme/guest".parse().unwrap(),
        organization_id: "acme".parse().unwrap(),
        method: Method::POST,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: HeaderMap::new(),
        body: RequestBody::Full(body.into()),
        deadline: Instant::now() + PATIENCE,
        head_by: Instant::now() + PATIENCE,
        slot: Slot::unlimited(),
    }
}

/// A slot, and whether it was given back.
pub(crate) fn slot() -> (Slot, Arc<()>) {
    let held = Arc::new(());
    (Slot::new(Arc::clone(&held)), held)
}

pub(crate) fn is_free(held: &Arc<()>) -> bool {
    Arc::strong_count(held) == 1
}

/// Waits until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "the condition never held");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// All of a body, or why it broke.
pub(crate) async fn read(body: ReplyBody) -> Result<Bytes, String> {
    match body {
        ReplyBody::Full(bytes) => Ok(bytes),
        ReplyBody::Stream(mut stream) => {
            let mut all = Vec::new();
            while let Some(part) = timeout(PATIENCE, stream.next()).await.unwrap() {
                all.extend_from_slice(&part.map_err(|broken| broken.0)?);
            }
            Ok(all.into())
        }
    }
}
