//! The executor itself: the door to all the rest.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ignite_core_model::Fault;
use ignite_runtimes_executor::{
    BodyStream, BoxFuture, Executor, Health, Invocation, InvokeError, Reply, RequestBody, leave_together,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::ahead::{self, Pace};
use crate::config::{ProcessConfig, ProcessRuntime};
use crate::dispatch::{Load, Word};
use crate::memory;
use crate::oom;
use crate::orphans::Orphans;
use crate::pool::{self, Acquired, Lease, Pool};
use crate::process::KillReason;
use crate::shared::{END_LABELS, Event, Shared, Stats};
use crate::supervisor::supervise;
use crate::warm::WarmWorker;
use crate::worker::{InFlight, LEAVE_MAX};

/// Times an invocation is offered to another worker because the one chosen had just ended. It was never delivered.
const OFFERS_MAX: u32 = 4;

/// Between two looks at whether everything has ended.
const IDLE_LOOK: Duration = Duration::from_millis(20);

/// How long to wait for processes that were killed.
const KILLED_MAX: Duration = Duration::from_secs(5);

/// Why an executor could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file it needs is missing or cannot be read.
    #[error("could not read {what} `{}`", path.display())]
    Missing {
        /// What the file is.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl StartError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. } => Fault::Missing,
        }
    }
}

/// Runs a function in worker processes.
///
/// The processes end with this value at the latest. [`Executor::drain`] ends them in order.
pub struct ProcessExecutor {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    stopped: watch::Receiver<bool>,
}

impl ProcessExecutor {
    /// Starts the first worker; [`Executor::started`] tells when it is ready. Must be called within a tokio runtime
    /// whose time and IO drivers are enabled.
    ///
    /// This process becomes a reaper of orphans (`PR_SET_CHILD_SUBREAPER`), so that the workers of a zygote that dies
    /// are still its own.
    ///
    /// # Errors
    /// When a program or file it needs is not there. A handler that cannot be loaded is no error here but shows in
    /// [`Executor::health`].
    pub fn start(config: ProcessConfig) -> Result<Self, StartError> {
        check(&config)?;
        Ok(Self::start_from(config, None))
    }

    /// As [`ProcessExecutor::start`], with `warm` as the first worker: it must be of the same runtime and not
    /// [`unfit`](WarmWorker::unfit). Further workers are started like all others.
    ///
    /// # Errors
    /// As [`ProcessExecutor::start`]. The warm worker is ended then.
    pub fn start_warm(config: ProcessConfig, warm: WarmWorker) -> Result<Self, StartError> {
        check(&config)?;
        Ok(Self::start_from(config, Some(warm)))
    }

    fn start_from(config: ProcessConfig, warm: Option<WarmWorker>) -> Self {
        // Without it the children of a dead zygote are reaped by whoever runs this host; nothing else depends on it.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let (events, received) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            config,
            pool: Mutex::new(Pool::default()),
            health: watch::Sender::new(Health::Starting),
            events,
            handle: Handle::current(),
            processes: Mutex::default(),
            workers: Mutex::default(),
            draining: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            idle: Notify::new(),
            served: AtomicBool::new(false),
            stats: Stats::default(),
            pace: Pace::default(),
            // A warm worker carries a mark already.
            orphans: Mutex::new(warm.as_ref().map_or_else(Orphans::new, |warm| warm.orphans.clone())),
            warm: Mutex::new(warm),
            oom_kills: AtomicU64::new(oom::kills().unwrap_or(0)),
        });
        let (stopped_sender, stopped) = watch::channel(false);
        let supervisor = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                supervise(shared, received).await;
                stopped_sender.send_replace(true);
            }
        });
        let watcher = tokio::spawn(memory::watch(Arc::clone(&shared)));
        let ahead = tokio::spawn(ahead::watch(Arc::clone(&shared)));
        Self { shared, tasks: Mutex::new(vec![supervisor, watcher, ahead]), stopped }
    }

    async fn run(&self, mut invocation: Invocation) -> Result<Reply, InvokeError> {
        if self.shared.is_draining() {
            return Err(InvokeError::Unavailable("it is shutting down".into()));
        }
        if let RequestBody::Stream(stream) = invocation.body {
            let body = collect(stream, self.shared.config.limits.payload_bytes_max).await?;
            invocation.body = RequestBody::Full(body);
        }
        let deadline = invocation.deadline;
        let mut load = Load::Fresh(invocation);
        let mut offers = 0;
        while offers < OFFERS_MAX {
            let taken_back = matches!(load, Load::Again(_));
            let lease = match pool::acquire(&self.shared, load.may_go_ahead(), taken_back) {
                Acquired::Now(lease) => lease,
                Acquired::Later(line) => self.wait(line, deadline).await?,
            };
            match lease.worker().dispatch(load) {
                Ok((id, answer)) => {
                    let Some(worker) = lease.keep() else { break };
                    let single = worker.is_single();
                    let mut in_flight = InFlight::new(worker, id);
                    let word = answer.await;
                    in_flight.answered();
                    match word {
                        Ok(Word::Answer(answer)) => {
                            // Those of a worker that runs many come many at a time already. What else is ready here is the
                            // host's own work, which is quick.
                            if let (true, Ok(reply)) = (single, &answer) {
                                leave_together(reply).await;
                            }
                            return answer;
                        }
                        Ok(Word::Back(again)) => load = Load::Again(again),
                        Err(_) => {
                            let cause = "its host gave it up".into();
                            return Err(InvokeError::WorkerLost { cause, last_words: String::new() });
                        }
                    }
                }
                Err(refused) => {
                    // One that something was just taken back from takes nothing ahead until it has said so.
                    offers += u32::from(refused.ends);
                    load = *refused.load;
                }
            }
        }
        Err(InvokeError::Unavailable("its workers keep ending".into()))
    }

    async fn wait(&self, line: tokio::sync::oneshot::Receiver<Lease>, deadline: Instant) -> Result<Lease, InvokeError> {
        if let Health::Failed(reason) = &*self.shared.health.borrow() {
            return Err(InvokeError::NotLoaded { reason: reason.clone() });
        }
        match tokio::time::timeout_at(deadline, line).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(_)) => Err(match &*self.shared.health.borrow() {
                Health::Failed(reason) => InvokeError::NotLoaded { reason: reason.clone() },
                _ => InvokeError::Unavailable("it is shutting down".into()),
            }),
            Err(_) => Err(InvokeError::TimedOut),
        }
    }

    async fn run_drain(&self, deadline: Instant) {
        let first = !self.shared.draining.swap(true, Ordering::AcqRel);
        self.shared.health.send_replace(Health::Draining);
        let mut stopped = self.stopped.clone();
        if first {
            self.finish_executions(deadline).await;
            self.shared.leaving.store(true, Ordering::Release);
            let workers = self.shared.all_workers();
            self.shared.pool().clear();
            let _ = self.shared.events.send(Event::Stop);
            for worker in &workers {
                worker.leave(LEAVE_MAX);
            }
        }
        let wait = deadline.max(Instant::now()) + LEAVE_MAX + KILLED_MAX;
        // An error means that the supervisor is gone, and all processes with it.
        let _ = tokio::time::timeout_at(wait, stopped.wait_for(|stopped| *stopped)).await;
        self.abort();
    }

    /// Waits for what is in flight; at the deadline cancels it, and kills what does not stop for that.
    async fn finish_executions(&self, deadline: Instant) {
        if tokio::time::timeout_at(deadline, self.idle()).await.is_ok() {
            return;
        }
        self.shared.pool().dismiss();
        for worker in self.shared.all_workers() {
            worker.abandon_all();
        }
        if tokio::time::timeout(self.shared.config.limits.cancel_grace, self.idle()).await.is_err() {
            for worker in self.shared.all_workers() {
                worker.process.kill(KillReason::Overdue);
            }
        }
    }

    /// Resolves when nothing is in flight and nobody waits.
    async fn idle(&self) {
        loop {
            let mut rung = std::pin::pin!(self.shared.idle.notified());
            rung.as_mut().enable();
            let waiting = self.shared.pool().waiting();
            if waiting == 0 && self.shared.all_workers().iter().all(|worker| worker.in_flight() == 0) {
                return;
            }
            // Whoever gives up waiting in line rings no bell.
            let _ = tokio::time::timeout(IDLE_LOOK, rung).await;
        }
    }

    fn abort(&self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        self.shared.orphans().end(&self.shared.pids());
        // Workers and what is shared know each other; this lets go of both.
        drop(self.shared.pool().clear());
        drop(std::mem::take(&mut *self.shared.workers.lock().unwrap_or_else(PoisonError::into_inner)));
        drop(std::mem::take(&mut *self.shared.processes()));
    }
}

#[cfg(test)]
impl ProcessExecutor {
    /// An executor without a supervisor: whoever calls this brings the workers.
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: Mutex::default(), stopped: watch::channel(true).1 }
    }
}

impl Executor for ProcessExecutor {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, InvokeError>> {
        Box::pin(self.run(invocation))
    }

    fn health(&self) -> Health {
        self.shared.health.borrow().clone()
    }

    fn started(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            let mut health = self.shared.health.subscribe();
            // The sender lives as long as this value.
            match health.wait_for(|health| *health != Health::Starting).await {
                Ok(health) => health.clone(),
                Err(_) => Health::Draining,
            }
        })
    }

    fn drain(&self, deadline: Instant) -> BoxFuture<'_, ()> {
        Box::pin(self.run_drain(deadline))
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let stats = &self.shared.stats;
        let ends = |label: &str| {
            let index = END_LABELS.iter().position(|known| *known == label);
            index.map_or(0, |index| stats.ends[index].load(Ordering::Relaxed)) as f64
        };
        let in_flight: usize = self.shared.all_workers().iter().map(|worker| worker.in_flight()).sum();
        vec![
            ("executions_in_flight_count", "Executions that workers have not ended.", in_flight as f64),
            ("workers_count", "Worker processes that take executions.", self.shared.pool().workers().len() as f64),
            (
                "workers_started_total",
                "Worker processes started or forked.",
                stats.started.load(Ordering::Relaxed) as f64,
            ),
            (
                "resident_bytes",
                "Resident memory of all worker processes.",
                stats.resident_bytes.load(Ordering::Relaxed) as f64,
            ),
            (
                "late_results_total",
                "Answers that came when nobody waited for them any more.",
                stats.late_results.load(Ordering::Relaxed) as f64,
            ),
            (
                "executions_sent_ahead_total",
                "Executions sent to a worker while the one before them ran.",
                stats.sent_ahead.load(Ordering::Relaxed) as f64,
            ),
            (
                "executions_taken_back_total",
                "Executions sent ahead that another worker was given, because the one before them was slow.",
                stats.taken_back.load(Ordering::Relaxed) as f64,
            ),
            ("worker_ends_exit_total", "Worker processes that exited by themselves.", ends("exit")),
            ("worker_ends_signal_total", "Worker processes that a signal ended.", ends("signal")),
            ("worker_ends_memory_total", "Worker processes killed at the memory limit.", ends("memory")),
            ("worker_ends_overdue_total", "Worker processes killed because cancelled work went on.", ends("overdue")),
            ("worker_ends_protocol_total", "Worker processes killed for breaking the protocol.", ends("protocol")),
            (
                "worker_ends_start_timeout_total",
                "Worker processes killed because they were not ready in time.",
                ends("start_timeout"),
            ),
        ]
    }
}

impl Drop for ProcessExecutor {
    fn drop(&mut self) {
        self.abort();
    }
}

fn check(config: &ProcessConfig) -> Result<(), StartError> {
    let readable = |what: &'static str, path: PathBuf| match fs::metadata(&path) {
        Ok(_) => Ok(()),
        Err(cause) => Err(StartError::Missing { what, path, cause }),
    };
    readable("the app's entrypoint", config.app.path.join(&config.app.entrypoint))?;
    match &config.runtime {
        ProcessRuntime::Python { python, worker } => {
            readable("the Python interpreter", python.clone())?;
            readable("the Python worker", worker.join("ignite"))
        }
        ProcessRuntime::Deno { deno, .. } => readable("the Deno executable", deno.clone()),
        ProcessRuntime::Binary | ProcessRuntime::BinaryBySocket => Ok(()),
    }
}

/// Reads a streamed request: a worker gets its request in one frame.
async fn collect(mut stream: BodyStream, bytes_max: usize) -> Result<Bytes, InvokeError> {
    let mut body = BytesMut::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|_| InvokeError::Cancelled)?;
        if body.len() + part.len() > bytes_max {
            return Err(InvokeError::BadReply(format!("the request body exceeds {bytes_max} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}
