//! An executor with the fake worker, and what tests ask of it.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use ignite_core_model::{ExecutionId, Limits};
use ignite_runtimes_executor::{
    Broken, Executor as _, Health, Invocation, InvokeError, LogLine, LogSink, Reply, ReplyBody, RequestBody, Slot,
};
use ignite_runtimes_process::{AppDir, ProcessConfig, ProcessExecutor, ProcessRuntime};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// No wait of a test is longer.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Lines, as `source level text fields`.
#[derive(Default)]
pub(crate) struct Logs(Mutex<Vec<(Option<ExecutionId>, String)>>);

impl LogSink for Logs {
    fn line(&self, line: LogLine<'_>) {
        let source = format!("{:?}", line.source).to_lowercase();
        let text = format!("{source} {} {} {}", line.level, line.message, line.fields).trim_end().to_owned();
        self.0.lock().unwrap().push((line.execution_id, text));
    }
}

impl Logs {
    pub(crate) async fn wait(&self, start: &str) {
        until(&format!("a line {start:?}"), || self.0.lock().unwrap().iter().any(|(_, line)| line.starts_with(start)))
            .await;
    }

    pub(crate) fn of(&self, id: ExecutionId) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|(of, _)| *of == Some(id)).map(|(_, line)| line.clone()).collect()
    }
}

pub(crate) struct Fake {
    pub(crate) executor: ProcessExecutor,
    pub(crate) logs: Arc<Logs>,
}

impl Fake {
    pub(crate) async fn start(env: &[(&str, &str)]) -> Self {
        Self::limited(|_| (), env).await
    }

    pub(crate) async fn limited(limit: impl FnOnce(&mut Limits), env: &[(&str, &str)]) -> Self {
        let fake = Self::unready_limited(limit, env);
        assert_eq!(fake.executor.started().await, Health::Ready);
        fake
    }

    pub(crate) async fn start_by_socket() -> Self {
        let fake = Self::make(|_| (), &[], ProcessRuntime::BinaryBySocket);
        assert_eq!(fake.executor.started().await, Health::Ready);
        fake
    }

    pub(crate) fn start_unready(env: &[(&str, &str)]) -> Self {
        Self::unready_limited(|_| (), env)
    }

    pub(crate) fn unready_limited(limit: impl FnOnce(&mut Limits), env: &[(&str, &str)]) -> Self {
        Self::make(limit, env, ProcessRuntime::Binary)
    }

    fn make(limit: impl FnOnce(&mut Limits), env: &[(&str, &str)], runtime: ProcessRuntime) -> Self {
        let logs = Arc::new(Logs::default());
        let mut limits = Limits::default();
        limit(&mut limits);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let config = ProcessConfig {
            app: AppDir { path, entrypoint: "fake_worker.py".into() },
            runtime,
            limits,
            env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            logs: Arc::clone(&logs) as Arc<dyn LogSink>,
        };
        Self { executor: ProcessExecutor::start(config).unwrap(), logs }
    }

    pub(crate) async fn full(&self, invocation: Invocation) -> Result<(Reply, Bytes), InvokeError> {
        let mut reply = self.executor.invoke(invocation).await?;
        match std::mem::replace(&mut reply.body, ReplyBody::Full(Bytes::new())) {
            ReplyBody::Full(body) => Ok((reply, body)),
            ReplyBody::Stream(_) => panic!("streamed"),
        }
    }

    /// As the host does it: at the deadline the call is dropped.
    pub(crate) async fn with_deadline(&self, invocation: Invocation) -> Option<Result<(Reply, Bytes), InvokeError>> {
        let deadline = invocation.deadline;
        tokio::time::timeout_at(deadline, self.full(invocation)).await.ok()
    }

    pub(crate) async fn pid(&self) -> Pid {
        let (_, body) = self.full(invocation("/context", "", Bytes::new())).await.unwrap();
        let seen: serde_json::Value = serde_json::from_slice(&body).unwrap();
        Pid::from_raw(i32::try_from(seen["pid"].as_i64().unwrap()).unwrap()).unwrap()
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        self.executor.gauges().into_iter().find(|(found, ..)| *found == name).unwrap().2
    }

    pub(crate) async fn in_flight(&self, count: usize) {
        until("executions in flight", || self.gauge("executions_in_flight_count") as usize >= count).await;
    }

    pub(crate) async fn started(&self, count: usize) {
        until("processes that were started", || self.gauge("workers_started_total") as usize >= count).await;
    }

    pub(crate) async fn ended_by_signal(&self, count: usize) {
        until("processes that a signal ended", || self.gauge("worker_ends_signal_total") as usize >= count).await;
    }
}

pub(crate) fn invocation(path: &str, query: &str, body: Bytes) -> Invocation {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Invocation {
        execution_id: ExecutionId::from_parts(1_700_000_000_000, NEXT.fetch_add(1, Ordering::Relaxed).into()),
        function_id: "acme/hello".parse().unwrap(),
        organization_id: "acme".parse().unwrap(),
        method: Method::POST,
        path: path.into(),
        query: query.into(),
        headers: HeaderMap::new(),
        body: RequestBody::Full(body),
        deadline: Instant::now() + Duration::from_secs(30),
        head_by: Instant::now() + Duration::from_secs(30),
        slot: Slot::unlimited(),
    }
}

/// A slot, and what resolves when it is given back.
pub(crate) fn slot() -> (Slot, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel::<()>();
    (Slot::new(sender), receiver)
}

pub(crate) async fn ends_within(wait: Duration, freed: oneshot::Receiver<()>) {
    assert!(tokio::time::timeout(wait, freed).await.is_ok(), "the slot is not free after {wait:?}");
}

pub(crate) async fn read(body: ReplyBody) -> Result<Vec<u8>, Broken> {
    let ReplyBody::Stream(mut body) = body else { panic!("not streamed") };
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part?);
    }
    Ok(bytes)
}

pub(crate) fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
}

fn proc(pid: Pid, file: &str) -> PathBuf {
    format!("/proc/{}/{file}", pid.as_raw_nonzero()).into()
}

pub(crate) fn parent(pid: Pid) -> Pid {
    let status = fs::read_to_string(proc(pid, "status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(line.trim().parse().unwrap()).unwrap()
}

pub(crate) fn nice(pid: Pid) -> i32 {
    let stat = fs::read_to_string(proc(pid, "stat")).unwrap();
    // The name of the program, in brackets, may hold anything; 17th behind it.
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
}

pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let words = fs::read_to_string(proc(pid, &format!("task/{}/children", pid.as_raw_nonzero()))).unwrap();
    words.split_whitespace().map(|word| Pid::from_raw(word.parse().unwrap()).unwrap()).collect()
}

/// Waits until the process is gone, reaped included.
pub(crate) async fn gone(pid: Pid) {
    until(&format!("the end of {pid:?}"), || !proc(pid, "stat").exists()).await;
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
