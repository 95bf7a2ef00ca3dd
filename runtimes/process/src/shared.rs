//! What all parts of one executor share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ignite_core_abi::FRAME_BYTES_MAX;
use ignite_core_model::ExecutionId;
use ignite_runtimes_executor::{Health, LogLine, LogSource};
use rustix::process::Pid;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::ahead::Pace;
use crate::child::End;
use crate::config::ProcessConfig;
use crate::oom;
use crate::orphans::Orphans;
use crate::pool::Pool;
use crate::process::{KillReason, Obituary, Process};
use crate::supervisor::OnItsWay;
use crate::warm::WarmWorker;
use crate::worker::{LEAVE_MAX, Worker};
use crate::zygote::Zygote;

/// How long what an ended worker left behind may take to go once it was killed.
const GONE_MAX: Duration = Duration::from_secs(1);
/// Between two looks at it.
const GONE_LOOK: Duration = Duration::from_millis(1);

/// The signal by which the kernel ends what uses too much memory.
const SIGKILL: i32 = 9;

/// What the supervisor is told.
pub(crate) enum Event {
    /// Somebody waits for a worker, or one was retired.
    Demand,
    /// A zygote has loaded the handler; it has arrived when this is handled.
    Zygote(Arc<Zygote>, OnItsWay),
    /// All processes shall go; none is started any more.
    Stop,
}

/// Shared by the executor, its supervisor, its workers and the executions.
pub(crate) struct Shared {
    pub(crate) config: ProcessConfig,
    pub(crate) pool: Mutex<Pool>,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) handle: Handle,
    /// Processes that are watched: those that start, serve or are about to end.
    pub(crate) processes: Mutex<Vec<Arc<Process>>>,
    /// Workers that are alive, those included that get no more executions.
    pub(crate) workers: Mutex<Vec<Arc<Worker>>>,
    pub(crate) draining: AtomicBool,
    /// All executions are finished and the workers are told to go: one that becomes ready now is not needed.
    pub(crate) leaving: AtomicBool,
    /// Rung when an execution ends while draining.
    pub(crate) idle: Notify,
    /// An execution was answered since the supervisor last looked.
    pub(crate) served: AtomicBool,
    pub(crate) stats: Stats,
    /// How quick handlers are, and whether anything is sent ahead.
    pub(crate) pace: Pace,
    pub(crate) orphans: Mutex<Orphans>,
    /// The first worker, where its language was up before.
    pub(crate) warm: Mutex<Option<WarmWorker>>,
    /// Processes the kernel had killed for want of memory when it was last looked at.
    pub(crate) oom_kills: AtomicU64,
}

/// Counters for the metrics page.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Answers that came after nobody waited for them.
    pub(crate) late_results: AtomicU64,
    /// Resident memory of all processes when it was last looked at, in bytes.
    pub(crate) resident_bytes: AtomicU64,
    /// Ends of workers, by [`END_LABELS`].
    pub(crate) ends: [AtomicU64; END_LABELS.len()],
    /// Workers started or forked.
    pub(crate) started: AtomicU64,
    /// Executions sent ahead.
    pub(crate) sent_ahead: AtomicU64,
    /// Those among them that were given to another worker.
    pub(crate) taken_back: AtomicU64,
}

/// Why workers end, as metrics name it.
pub(crate) const END_LABELS: [&str; 8] =
    ["exit", "signal", "memory", "overdue", "protocol", "start_timeout", "surplus", "unknown"];

impl Stats {
    pub(crate) fn count_end(&self, obituary: &Obituary) {
        let label = obituary.label();
        if let Some(index) = END_LABELS.iter().position(|known| *known == label) {
            self.ends[index].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn processes(&self) -> MutexGuard<'_, Vec<Arc<Process>>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Workers that are alive.
    pub(crate) fn all_workers(&self) -> Vec<Arc<Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a worker that is ready, to serve or to be kept for later; or lets it go again, where it comes too late.
    pub(crate) fn add_worker(&self, worker: &Arc<Worker>, spare: bool) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(worker));
        // Whoever tells all workers to go has said so before they were listed: either they were told of this one or not.
        if self.leaving.load(Ordering::Acquire) {
            return worker.leave(LEAVE_MAX);
        }
        if spare {
            self.pool().keep_spare(worker);
        } else {
            self.pool().add(worker);
        }
    }

    /// Forgets a worker that has ended.
    pub(crate) fn remove_worker(&self, worker: &Arc<Worker>) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|known| !Arc::ptr_eq(known, worker));
    }

    pub(crate) fn orphans(&self) -> MutexGuard<'_, Orphans> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Process ids of those that are watched.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.processes().iter().map(|process| process.child.pid()).collect()
    }

    /// Waits for the end of a process, learns how it came, and counts it.
    pub(crate) async fn bury(self: &Arc<Self>, process: &Process) -> Obituary {
        let mut obituary = process.bury().await;
        let (worker, links): (_, Arc<[PathBuf]>) = (process.child.pid(), process.output.links().into());
        // Its slots are free when this returns: work that forked itself away has to be gone by then.
        let gone_by = Instant::now() + GONE_MAX;
        let mut first = true;
        loop {
            let (shared, links) = (Arc::clone(self), Arc::clone(&links));
            // The process table is read for up to a millisecond, under a lock that others read it under: not on a thread on
            // which requests and their clocks wait.
            let look = tokio::task::spawn_blocking(move || {
                let mut orphans = shared.orphans();
                if first {
                    orphans.bereave(worker);
                }
                orphans.end_those_of(worker, &links, &shared.pids())
            });
            // An error means that the runtime ends.
            if !look.await.unwrap_or(false) || Instant::now() >= gone_by {
                break;
            }
            first = false;
            tokio::time::sleep(GONE_LOOK).await;
        }
        if obituary.reason.is_none()
            && obituary.end == End::Signal(SIGKILL)
            && let Some(kills) = oom::kills()
            && self.oom_kills.swap(kills, Ordering::Relaxed) < kills
        {
            let memory_mb = self.config.limits.memory_mb;
            obituary.reason = Some(KillReason::Memory { memory_mb });
            obituary.cause = "killed by the kernel, which had no memory left for it".into();
            obituary.told.clone_from(&obituary.cause);
        }
        self.stats.count_end(&obituary);
        obituary
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Longest payload a worker may send, in bytes: room for the longest answer and its headers.
    pub(crate) fn frame_bytes_max(&self) -> u32 {
        let answer = self.config.limits.response_bytes_max.saturating_add(1024 * 1024);
        u32::try_from(answer).unwrap_or(u32::MAX).max(FRAME_BYTES_MAX)
    }

    /// Says something about the function in its log.
    pub(crate) fn log(&self, level: &'static str, execution_id: Option<ExecutionId>, message: &str, fields: &str) {
        self.config.logs.line(LogLine { source: LogSource::Host, level, execution_id, message, fields });
    }

    /// Takes a process off the list of those that are watched.
    pub(crate) fn forget(&self, process: &Arc<Process>) {
        self.processes().retain(|known| !Arc::ptr_eq(known, process));
    }
}
