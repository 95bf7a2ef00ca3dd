//! The life of one instance.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use ignite_core_model::{ArtifactKind, InstanceId, Runtime};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::pool::{HostProcess, NotStarted};
use super::{Shared, admin};
use crate::{InstanceSpec, Report, Reports, Said};

/// Time between two probes of an instance that is healthy.
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// Time between two probes of one that is starting.
const FIRST_PROBE_EVERY: Duration = Duration::from_millis(10);

/// Longest time for the answer of a probe.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// Probes in a row that must fail before an instance counts as unhealthy.
const PROBES_FAILED_MAX: u32 = 2;

/// How long after its drain time an instance is killed.
const KILL_AFTER_DRAIN: Duration = Duration::from_secs(2);

/// Lines that are kept for the reason of an instance that does not start.
const LAST_LINES_MAX: usize = 20;

/// Runs an instance from start to end and tells what becomes of it.
pub(super) async fn run(
    shared: Arc<Shared>,
    id: InstanceId,
    spec: Arc<InstanceSpec>,
    reports: Reports,
    drain: CancellationToken,
) {
    let failed = match start(&shared, id, &spec).await {
        Ok(host) => Life { shared: &shared, id, reports: &reports, drain: &drain, last: Vec::new() }.live(host).await,
        Err(reason) => Some(reason),
    };
    let failed = failed.filter(|_| !drain.is_cancelled());
    let _ = reports.send(Report { id, said: Said::Ended { failed } }).await;
}

/// A host process that serves the artifact, or is about to.
async fn start(shared: &Shared, id: InstanceId, spec: &InstanceSpec) -> Result<HostProcess, String> {
    let artifact = shared.artifacts.fetch(spec.compiled.artifact).await?;
    if let Some(host) = shared.pool.take(warm_runtime(spec)) {
        match specialize(&host, spec, &artifact, shared.options.start_max).await {
            Ok(()) => return Ok(host),
            // The fault may be the artifact's or that of this warm host: a cold start tells.
            Err(reason) => {
                tracing::warn!(instance = %id, reason, "a warm host was not specialised; a cold one is started")
            }
        }
    }
    let args = vec!["--artifact".to_owned(), artifact.display().to_string(), "--instance".to_owned(), id.to_string()];
    let mut env = vec![
        ("IGNITE_FUNCTION_ID".to_owned(), spec.app.to_string()),
        ("IGNITE_ORGANIZATION_ID".to_owned(), spec.app.organization().to_string()),
        ("IGNITE_EXPOSE_ERRORS".to_owned(), spec.settings.expose_errors.to_string()),
    ];
    env.extend(spec.settings.env.0.iter().map(|(name, value)| (format!("IGNITE_ENV_{name}"), value.clone())));
    env.extend(
        limits(spec).into_iter().map(|(name, value)| (format!("IGNITE_{}", name.to_uppercase()), value.to_string())),
    );
    shared.pool.start(&args, &env).await.map_err(|NotStarted(reason)| reason)
}

fn warm_runtime(spec: &InstanceSpec) -> &'static str {
    match (spec.compiled.artifact_kind, spec.compiled.runtime) {
        (ArtifactKind::Component, _) | (_, Runtime::Component) => "wasm",
        (_, Runtime::Python) => "python",
        (_, Runtime::Go) => "go",
        (_, Runtime::Deno) => "deno",
        (_, Runtime::Rust) => "rust",
    }
}

/// Limits of the app, by the names of the host's variables.
fn limits(spec: &InstanceSpec) -> BTreeMap<&'static str, u64> {
    let mut limits = BTreeMap::from([("memory_mb", u64::from(spec.settings.resources().memory_mb))]);
    if let Some(secs) = spec.settings.timeout_secs {
        limits.insert("timeout_ms", u64::from(secs) * 1000);
    }
    if let Some(max_concurrency) = spec.settings.max_concurrency {
        limits.insert("max_concurrency", max_concurrency.into());
    }
    limits
}

async fn specialize(host: &HostProcess, spec: &InstanceSpec, artifact: &Path, at_most: Duration) -> Result<(), String> {
    let order = json!({
        "artifact": artifact,
        "function_id": spec.app,
        "organization_id": spec.app.organization(),
        "env": spec.settings.env,
        "limits": limits(spec),
        "expose_errors": spec.settings.expose_errors,
    });
    let body = order.to_string().into_bytes();
    let (status, answer) = admin::call(&host.admin, Method::POST, "/specialize", body, at_most).await?;
    if status == StatusCode::OK { Ok(()) } else { Err(String::from_utf8_lossy(&answer).into_owned()) }
}

struct Life<'a> {
    shared: &'a Shared,
    id: InstanceId,
    reports: &'a Reports,
    drain: &'a CancellationToken,
    last: Vec<String>,
}

impl Life<'_> {
    async fn say(&self, said: Said) {
        // The agent is gone only when this process ends.
        let _ = self.reports.send(Report { id: self.id, said }).await;
    }

    /// Until the process has ended; the reason if it was never healthy.
    async fn live(&mut self, mut host: HostProcess) -> Option<String> {
        let begun = Instant::now();
        let (mut healthy, mut failures) = (false, 0);
        let mut probes = interval_at(begun, FIRST_PROBE_EVERY);
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.drain.cancelled() => {
                    self.end(host).await;
                    return None;
                }
                line = host.lines.recv() => match line {
                    Some(line) => self.take(line).await,
                    None => break,
                },
                _ = probes.tick() => match probe(&host).await {
                    Ok(()) if !healthy || failures >= PROBES_FAILED_MAX => {
                        (healthy, failures) = (true, 0);
                        probes = interval_at(Instant::now() + PROBE_EVERY, PROBE_EVERY);
                        self.say(Said::Healthy(host.address)).await;
                    }
                    Ok(()) => failures = 0,
                    Err(reason) if healthy => {
                        failures += 1;
                        if failures == PROBES_FAILED_MAX {
                            self.say(Said::Unhealthy(reason)).await;
                        }
                    }
                    Err(reason) if begun.elapsed() >= self.shared.options.start_max => {
                        self.end(host).await;
                        return Some(self.reason(&format!("it was not healthy in time: {reason}")));
                    }
                    Err(_) => {}
                },
            }
        }
        let status = host.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        remove_folder(&host);
        (!healthy).then(|| self.reason(&format!("the host ended with {status}")))
    }

    async fn take(&mut self, mut line: crate::InstanceLine) {
        line.instance_id = self.id.to_string();
        if self.last.len() >= LAST_LINES_MAX {
            self.last.remove(0);
        }
        self.last.push(line.text.clone());
        self.say(Said::Line(line)).await;
    }

    fn reason(&self, what: &str) -> String {
        let mut lines = self.last.clone();
        lines.push(what.to_owned());
        lines.join("\n")
    }

    /// Asks the process to drain, and ends it if it does not.
    async fn end(&mut self, mut host: HostProcess) {
        signal(&host, Signal::TERM);
        let drained = timeout(self.shared.options.drain_max + KILL_AFTER_DRAIN, async {
            while let Some(line) = host.lines.recv().await {
                self.take(line).await;
            }
            let _ = host.child.wait().await;
        })
        .await;
        if drained.is_err() {
            signal(&host, Signal::KILL);
            // A killed process is gone as soon as the system gets to it.
            let _ = timeout(KILL_AFTER_DRAIN, host.child.wait()).await;
        }
        remove_folder(&host);
        drop(host.stdin);
    }
}

async fn probe(host: &HostProcess) -> Result<(), String> {
    let (status, body) = admin::call(&host.admin, Method::GET, "/readyz", Vec::new(), PROBE_MAX).await?;
    if status == StatusCode::OK { Ok(()) } else { Err(String::from_utf8_lossy(&body).into_owned()) }
}

fn signal(host: &HostProcess, signal: Signal) {
    let pid = host.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It has ended by itself.
        let _ = kill_process(pid, signal);
    }
}

fn remove_folder(host: &HostProcess) {
    if let Some(folder) = host.admin.parent() {
        let _ = std::fs::remove_dir_all(folder);
    }
}
