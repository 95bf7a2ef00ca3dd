//! The life of one instance.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use ignite_core_model::{InstanceId, InstanceSpec, Resources};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::health::{Health, Refusal, Verdict};
use super::host::{HostProcess, LastLines, kill_at};
use super::order::{self, NotSpecialized};
use super::secrets::{self, Variables};
use super::{Shared, admin};
use crate::{LogLine, Report, Reports, Said};

/// Longest time to have the artifact on this machine.
const FETCH_MAX: Duration = Duration::from_secs(120);

/// How long the last lines of a host are waited for that refused its app and ends.
const LAST_LINES_WAIT: Duration = Duration::from_secs(2);

/// Runs an instance from start to end and tells what becomes of it.
pub(super) async fn run(
    shared: Arc<Shared>,
    id: InstanceId,
    spec: Arc<InstanceSpec>,
    reports: Reports,
    drain: CancellationToken,
) {
    let mut life = Life { shared: &shared, id, reports: &reports, last: LastLines::default(), in_hand: None };
    // Nobody is left to run it for when the reports go nowhere.
    let ended = tokio::select! {
        failed = life.whole(&spec, &drain) => Some(failed),
        () = shared.gone.cancelled() => None,
    };
    shared.running().remove(&id);
    if let Some(failed) = ended {
        let failed = failed.filter(|_| !drain.is_cancelled());
        let _ = reports.send(Report { id, said: Said::Ended { failed } }).await;
    }
}

struct Life<'a> {
    shared: &'a Shared,
    id: InstanceId,
    reports: &'a Reports,
    last: LastLines,
    /// A line that was received and is not told yet. It is told even if whoever took it was given up.
    in_hand: Option<LogLine>,
}

impl Life<'_> {
    /// From start to end; the reason if it was never healthy.
    async fn whole(&mut self, spec: &InstanceSpec, drain: &CancellationToken) -> Option<String> {
        let reports = self.reports;
        let unwanted = async {
            tokio::select! {
                () = drain.cancelled() => {}
                () = reports.closed() => {}
            }
        };
        tokio::pin!(unwanted);
        let begun = Instant::now();
        let started = tokio::select! {
            started = self.start(spec) => started,
            // What was started is dropped, and so killed: it has nothing in hand.
            () = &mut unwanted => return None,
        };
        let mut host = match started {
            Ok(host) => host,
            Err(reason) => return Some(reason),
        };
        let mut health = Health::begin(begun);
        let hopeless = tokio::select! {
            hopeless = self.watch(&mut host, &mut health, spec.settings.resources()) => hopeless,
            () = &mut unwanted => {
                self.drain(host).await;
                return None;
            }
        };
        let why = match hopeless {
            Some(Refusal { reason, answered }) => {
                if answered {
                    self.drain(host).await
                } else {
                    host.kill().await
                }
                format!("it was ended because it was not healthy: {reason}")
            }
            None => {
                let ended = host.end().await;
                match host.was_out_of_memory() {
                    true => format!("the host ended with {ended}: more memory was used than its tier gives"),
                    false => format!("the host ended with {ended}"),
                }
            }
        };
        if health.was_healthy {
            let (stream, level) = ("host".to_owned(), "error".to_owned());
            self.take(LogLine { stream, level, text: why, ..LogLine::default() }).await;
            return None;
        }
        Some(self.last.reason(&why))
    }

    /// A host process that has its app, and has said that the app is ready.
    async fn start(&mut self, spec: &InstanceSpec) -> Result<HostProcess, String> {
        let options = &self.shared.options;
        let artifact = match timeout(FETCH_MAX, self.shared.artifacts.fetch(spec.compiled.artifact)).await {
            Ok(fetched) => fetched.map_err(|reason| format!("the artifact could not be had: {reason}"))?,
            Err(_) => return Err(format!("the artifact could not be had within {} s", FETCH_MAX.as_secs())),
        };
        let variables = secrets::resolve(&*self.shared.secrets, spec).await?;
        let runtime = order::warm_runtime(spec);
        // Another is started in its place when this one has its app: a start takes a processor that somebody waits for.
        let _refill = self.shared.pool.refill_after(runtime);
        if let Some(host) = self.shared.pool.take(runtime) {
            match self.specialize(host, spec, &variables, &artifact).await {
                Ok(host) => return Ok(host),
                Err(NotSpecialized::App(reason)) => return Err(reason),
                Err(NotSpecialized::Host(reason)) => {
                    tracing::warn!(instance = %self.id, reason, "a warm host did not take its app; a new one is started");
                }
            }
        }
        let limits: Vec<(String, String)> = order::limits(spec)
            .into_iter()
            .map(|(name, value)| (format!("IGNITE_{}", name.to_uppercase()), value.to_string()))
            .collect();
        let host = self.shared.pool.start(runtime, &limits).await?;
        self.specialize(host, spec, &variables, &artifact).await.map_err(|refused| match refused {
            NotSpecialized::App(reason) => reason,
            NotSpecialized::Host(reason) => {
                let secs = options.start_max.as_secs_f32();
                self.last.reason(&format!("it did not start within {secs} s: {reason}"))
            }
        })
    }

    /// Gives the host its app, and takes its lines meanwhile: they say why, where it fails.
    async fn specialize(
        &mut self,
        mut host: HostProcess,
        spec: &InstanceSpec,
        variables: &Variables,
        artifact: &Path,
    ) -> Result<HostProcess, NotSpecialized> {
        if let Some(running) = self.shared.running().get_mut(&self.id) {
            running.process_id = host.process_id();
        }
        host.hold_memory(spec.settings.resources());
        let admin = host.admin.clone();
        let specialized = order::specialize(&admin, spec, variables, artifact, self.shared.options.start_max);
        tokio::pin!(specialized);
        let specialized = loop {
            tokio::select! {
                done = &mut specialized => break done,
                Some(line) = host.lines.recv() => self.take(line).await,
            }
        };
        if let Err(NotSpecialized::App(_)) = &specialized {
            let _ = timeout(LAST_LINES_WAIT, self.take_all(&mut host)).await;
        }
        specialized.map(|()| host)
    }

    /// Until the host has ended (`None`) or is of no use.
    async fn watch(&mut self, host: &mut HostProcess, health: &mut Health, resources: Resources) -> Option<Refusal> {
        let options = &self.shared.options;
        // It has just said that its app is ready, which is what the first probe would ask.
        let mut answer = Ok(());
        loop {
            match health.take(answer, Instant::now(), &options.probing, options.start_max) {
                Verdict::Same => {}
                Verdict::Healthy => {
                    // Before anybody is told: to tell may take as long as reports wait.
                    host.hold_cpu(resources);
                    self.say(Said::Healthy(host.address.clone())).await;
                }
                Verdict::Unhealthy(reason) => self.say(Said::Unhealthy(reason)).await,
                Verdict::Hopeless(refusal) => return Some(refusal),
            }
            let probed = probe(host.admin.clone(), health.wait(&options.probing), options.probing.answer_max);
            tokio::pin!(probed);
            answer = loop {
                tokio::select! {
                    line = host.lines.recv() => match line {
                        Some(line) => self.take(line).await,
                        None => return None,
                    },
                    answer = &mut probed => break answer,
                }
            };
        }
    }

    /// Asks the process to finish what it has, and ends it if it does not.
    async fn drain(&mut self, mut host: HostProcess) {
        let kill_at = kill_at(&self.shared.options);
        host.terminate();
        self.tell_line().await;
        let drained = timeout_at(kill_at, async {
            self.take_all(&mut host).await;
            host.end().await
        });
        if drained.await.is_err() {
            host.kill().await;
        }
    }

    async fn take_all(&mut self, host: &mut HostProcess) {
        while let Some(line) = host.lines.recv().await {
            self.take(line).await;
        }
    }

    async fn take(&mut self, mut line: LogLine) {
        line.instance_id = self.id.to_string();
        self.last.push(&line);
        self.in_hand = Some(line);
        self.tell_line().await;
    }

    async fn tell_line(&mut self) {
        if self.in_hand.is_none() {
            return;
        }
        // Room first, then the line: given up in between, it is still in hand.
        let room = self.reports.reserve().await;
        if let (Ok(room), Some(line)) = (room, self.in_hand.take()) {
            room.send(Report { id: self.id, said: Said::Line(line) });
        }
    }

    async fn say(&self, said: Said) {
        // Where nobody listens any more, the instance is about to end for that.
        let _ = self.reports.send(Report { id: self.id, said }).await;
    }
}

/// Asks, after `wait`, whether an execution could be served.
async fn probe(admin: PathBuf, wait: Duration, answer_max: Duration) -> Result<(), Refusal> {
    tokio::time::sleep(wait).await;
    match admin::call(&admin, Method::GET, "/readyz", Vec::new(), answer_max).await {
        Ok((StatusCode::OK, _)) => Ok(()),
        Ok((_, page)) => Err(Refusal { reason: order::reason(&page), answered: true }),
        Err(reason) => Err(Refusal { reason, answered: false }),
    }
}
