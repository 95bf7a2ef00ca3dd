//! Takes jobs from a queue, so many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt;
use crate::compiler::Compiler;
use crate::metrics::Metrics;
use crate::queue::{Pending, Queue, QueueError};
use crate::status::{Part, Status};

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Who leases jobs: a name that no other worker has at the same time. One that starts again under the name it had takes up
    /// at once what it had leased; else the leases lapse first.
    pub name: String,
    /// Compiles at once, at least one.
    pub compiles_max: usize,
    /// How long a lease is. When a builder dies, another one takes its jobs over after that. At least a second.
    pub lease: Duration,
    /// Longest time between two looks at how a job stands: how soon a cancel is heard of.
    pub look_every: Duration,
    /// Longest time between two looks at the queue when no signal comes.
    pub poll_every: Duration,
    /// Longest time for one call of the queue.
    pub call_max: Duration,
    /// Longest time that one compile may take.
    pub compile_max: Duration,
    /// How long compiles may go on when the worker is to end; then they are given back.
    pub drain_max: Duration,
    /// How long a job waits that failed for a fault of the platform, for each attempt it has had.
    pub retry_pause: Duration,
}

impl WorkerOptions {
    /// The times that suit a platform.
    #[must_use]
    pub fn new(name: impl Into<String>, compiles_max: usize) -> Self {
        Self {
            name: name.into(),
            compiles_max: compiles_max.max(1),
            lease: Duration::from_secs(30),
            look_every: Duration::from_millis(500),
            poll_every: Duration::from_secs(2),
            call_max: Duration::from_secs(10),
            compile_max: Duration::from_secs(15 * 60),
            drain_max: Duration::from_secs(20),
            retry_pause: Duration::from_secs(5),
        }
    }
}

/// Longest pause between two tries of a queue that does not answer.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often it is looked for what others have left half stored.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);

/// What all attempts share.
pub(crate) struct Shared {
    pub(crate) options: WorkerOptions,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) compiler: Arc<dyn Compiler>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) status: Arc<Status>,
    /// Compiles that are still under way are given back.
    pub(crate) give_up: CancellationToken,
    /// An attempt failed for a fault of the platform: it is looked whether all is there before the next job is leased.
    pub(crate) doubted: AtomicBool,
}

impl Shared {
    /// A call of the queue, with a deadline.
    pub(crate) async fn call<T>(&self, at_most: Duration, call: Pending<'_, T>) -> Result<T, QueueError> {
        let answer = match tokio::time::timeout(at_most, call).await {
            Ok(answer) => answer,
            Err(_) => Err(QueueError::Slow(at_most)),
        };
        if answer.is_err() {
            self.metrics.queue_errors.inc();
        }
        answer
    }
}

/// A worker at work. Dropping it lets it drain by itself.
pub struct Worker {
    shared: Arc<Shared>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Worker {
    /// Starts to take jobs, after what killed compiles have left is removed. It drains when `stop` is cancelled.
    #[must_use]
    pub fn start(
        options: WorkerOptions,
        queue: Arc<dyn Queue>,
        compiler: Arc<dyn Compiler>,
        stop: CancellationToken,
    ) -> Self {
        Self::start_with(options, queue, compiler, stop, Arc::default(), Arc::default())
    }

    /// The same with figures and a status that others look at too.
    #[must_use]
    pub fn start_with(
        options: WorkerOptions,
        queue: Arc<dyn Queue>,
        compiler: Arc<dyn Compiler>,
        stop: CancellationToken,
        metrics: Arc<Metrics>,
        status: Arc<Status>,
    ) -> Self {
        let give_up = CancellationToken::new();
        let shared = Shared { options, queue, compiler, metrics, status, give_up, doubted: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let running = tokio::spawn(run(Arc::clone(&shared), stop.clone()));
        Self { shared, stop, running }
    }

    /// What it waits for.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.shared.status
    }

    /// Its figures.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Takes no more jobs and lets those under way finish; what is not done in time is given back. When this returns,
    /// nothing of it runs.
    pub async fn drain(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.running).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the worker ended by a fault of its own");
        }
    }

    /// Gives back what is under way without waiting for it to finish; for a second signal, while [`Worker::drain`] waits.
    #[must_use]
    pub fn give_up(&self) -> CancellationToken {
        self.shared.give_up.clone()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let compiler = Arc::clone(&shared.compiler);
    let _ = tokio::task::spawn_blocking(move || compiler.sweep()).await;
    match shared.call(shared.options.call_max, shared.queue.reclaim(&shared.options.name)).await {
        Ok(0) => {}
        Ok(jobs) => tracing::info!(jobs, "jobs that this builder had before it was killed are taken up again"),
        // Their leases lapse.
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "it cannot be seen what this builder had before");
        }
    }
    let places = Arc::new(Semaphore::new(shared.options.compiles_max.max(1)));
    let mut attempts = JoinSet::new();
    let mut wake = shared.queue.wake();
    let mut failed = 0;
    let mut swept: Option<Instant> = None;
    loop {
        if swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
            swept = Some(Instant::now());
            if let Err(error) = shared.call(shared.options.call_max, shared.queue.sweep()).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "what was left half stored is not swept");
            }
        }
        while let Some(ended) = attempts.try_join_next() {
            told(ended);
        }
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        // It is never closed.
        let Ok(place) = place else { break };
        let wait = match next(&shared).await {
            Ok(Some((job, leased))) => {
                failed = 0;
                let shared = Arc::clone(&shared);
                attempts.spawn(async move {
                    attempt::run(&shared, job, leased).await;
                    drop(place);
                });
                continue;
            }
            Ok(None) => {
                failed = 0;
                shared.options.poll_every
            }
            Err(error) => {
                failed += 1;
                tracing::warn!(error = &error as &dyn std::error::Error, "no job can be had");
                pause(failed)
            }
        };
        drop(place);
        tokio::select! {
            () = stop.cancelled() => break,
            () = wake.wait(wait), if failed == 0 => {}
            () = tokio::time::sleep(wait), if failed > 0 => {}
        }
    }
    shared.status.drains();
    let all = async {
        while let Some(ended) = attempts.join_next().await {
            told(ended)
        }
    };
    tokio::pin!(all);
    if tokio::time::timeout(shared.options.drain_max, &mut all).await.is_err() {
        shared.give_up.cancel();
        all.await;
    }
}

/// The next job and when it was asked for, which is when its lease began at the earliest.
async fn next(shared: &Shared) -> Result<Option<(crate::queue::LeasedJob, Instant)>, QueueError> {
    let call_max = shared.options.call_max;
    let answer = async {
        if shared.doubted.load(Ordering::Relaxed) {
            shared.call(call_max, shared.queue.check()).await?;
            shared.doubted.store(false, Ordering::Relaxed);
        }
        let asked = Instant::now();
        let job = shared.call(call_max, shared.queue.lease(&shared.options.name, shared.options.lease)).await?;
        Ok(job.map(|job| (job, asked)))
    };
    let answer = answer.await;
    match &answer {
        Ok(_) => shared.status.has(Part::Queue),
        Err(error) => shared.status.waits(Part::Queue, crate::words::in_full(error)),
    }
    answer
}

/// Longer with each failure, and never the same for all builders.
fn pause(failed: u32) -> Duration {
    let whole = Duration::from_millis(250).saturating_mul(1 << failed.min(8)).min(RETRY_PAUSE_MAX);
    whole.mul_f64(rand::random_range(0.5..1.0))
}

/// An attempt that ended by a fault of our own leaves its lease to lapse.
fn told(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = &error as &dyn std::error::Error, "an attempt ended by a fault of the builder");
    }
}
