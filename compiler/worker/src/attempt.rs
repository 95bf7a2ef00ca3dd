//! One attempt of one job: the lease is kept while the source is fetched, compiled and its artifact stored; then the end is
//! told. Whatever makes it stop, it is over only when nothing of it runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ignite_compiler_builder::{Cancel, CompileError, CompileRequest};
use ignite_core_model::{CodeSource, Compiled};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::keep::{Why, keep};
use crate::lines::Lines;
use crate::log;
use crate::metrics::Outcome;
use crate::queue::{LeasedJob, Pending, QueueError, SaidLine};
use crate::words::{self, Failure, in_full};
use crate::worker::Shared;

/// Pause between two tries to tell the end of a job.
const TELL_AGAIN: Duration = Duration::from_millis(500);

/// Longest time for a source to come and for an artifact to go.
const TRANSFER_MAX: Duration = Duration::from_secs(10 * 60);

/// How the source is called while it is compiled: taken for an archive whatever is in it.
const SOURCE: &str = "source.tar";
const ARTIFACT: &str = "artifact";

/// What makes an attempt stop, for threads and for tasks.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    pub(crate) compile: Cancel,
    pub(crate) task: CancellationToken,
}

impl Stop {
    fn stop(&self) {
        self.compile.cancel();
        self.task.cancel();
    }
}

/// Why an attempt has no artifact.
#[derive(Debug)]
enum Ended {
    /// It was told to stop.
    Stopped,
    Failed(Failure),
}

/// Works on a job whose lease was asked for at `leased`.
pub(crate) async fn run(shared: &Arc<Shared>, job: LeasedJob, leased: Instant) {
    let span = tracing::info_span!("compile", job = %job.lease.job, app = %job.lease.app, attempt = job.lease.attempt);
    async {
        shared.metrics.running.inc();
        if let Some(waited) = job.waited {
            shared.metrics.waited(waited);
        }
        tracing::info!("a compile begins");
        let outcome = carry_out(shared, &job, leased).await;
        shared.metrics.running.dec();
        shared.metrics.ended(outcome, leased.elapsed());
        tracing::info!(outcome = ?outcome, elapsed_ms = leased.elapsed().as_millis() as u64, "a compile ended");
    }
    .instrument(span)
    .await;
}

async fn carry_out(shared: &Arc<Shared>, job: &LeasedJob, leased: Instant) -> Outcome {
    let stop = Stop::default();
    let keeping = keep(shared, job, leased);
    let working = work(shared, job, &stop);
    tokio::pin!(keeping, working);
    let (ended, why) = tokio::select! {
        ended = &mut working => (ended, None),
        why = &mut keeping => {
            let asked = Instant::now();
            tracing::info!(?why, "the compile is stopped");
            stop.stop();
            let ended = working.await;
            tracing::info!(?why, elapsed_ms = asked.elapsed().as_millis() as u64, "the compile has stopped");
            (ended, Some(why))
        }
    };
    let telling = tell(shared, job, ended, why);
    if why.is_some() {
        // A lease that is not lost is good for as long as it was renewed for, and the end is one call.
        return match tokio::time::timeout(shared.options.lease, telling).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Lost,
        };
    }
    tokio::pin!(telling);
    // Renewed for as long as the end cannot be told.
    tokio::select! {
        outcome = &mut telling => outcome,
        why = &mut keeping => match why {
            Why::Lost => Outcome::Lost,
            // What is made is made; and a cancelled job ends so, whatever its result.
            Why::Cancelled | Why::Ending => match tokio::time::timeout(shared.options.lease, &mut telling).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Lost,
            },
        },
    }
}

/// Says how the job ended, again and again while the queue does not answer.
async fn tell(shared: &Shared, job: &LeasedJob, ended: Result<Compiled, Ended>, why: Option<Why>) -> Outcome {
    let pause = match (&ended, why) {
        (_, Some(Why::Lost)) => return Outcome::Lost,
        (Err(_), Some(Why::Ending)) => Some(Duration::ZERO),
        // There may be no further attempt, and then somebody has to say so.
        (Err(Ended::Failed(Failure::Platform(_))), None) if job.lease.attempt < job.attempts_max => {
            Some(shared.options.retry_pause.saturating_mul(job.lease.attempt))
        }
        _ => None,
    };
    if let Some(pause) = pause {
        until_told(shared, || shared.queue.give_back(&job.lease, pause)).await;
        return Outcome::GivenBack;
    }
    let result = ended.map_err(|ended| match ended {
        Ended::Stopped => "the compile was stopped".to_owned(),
        Ended::Failed(Failure::Author(reason)) => reason,
        Ended::Failed(Failure::Platform(what)) => {
            format!("the platform could not compile it: {what}; compile it again")
        }
    });
    match (until_told(shared, || shared.queue.finish(&job.lease, &result)).await, why, &result) {
        (false, ..) => Outcome::Lost,
        (true, Some(Why::Cancelled), _) => Outcome::Cancelled,
        (true, _, Ok(_)) => Outcome::Succeeded,
        (true, _, Err(_)) => Outcome::Failed,
    }
}

async fn until_told<'a>(shared: &Shared, call: impl Fn() -> Pending<'a, bool>) -> bool {
    loop {
        match shared.call(shared.options.call_max, call()).await {
            Ok(told) => return told,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the end of a compile could not be told yet");
                tokio::time::sleep(TELL_AGAIN).await;
            }
        }
    }
}

/// From the source to the stored artifact, with its log written to the end.
async fn work(shared: &Arc<Shared>, job: &LeasedJob, stop: &Stop) -> Result<Compiled, Ended> {
    let lines = Lines::default();
    let writing = {
        let (shared, lease, lines, task) = (Arc::clone(shared), job.lease.clone(), lines.clone(), stop.task.clone());
        let first = job.next_line;
        tokio::spawn(async move { log::write(&shared, &lease, first, &lines, &task).await }.in_current_span())
    };
    let say = Say { lines: lines.clone(), cancel: stop.compile.clone(), clock: crate::queue::system_clock() };
    if job.lease.attempt > 1 {
        say.all(words::of_platform(&format!("attempt {}: an earlier one was not ended", job.lease.attempt)));
    }
    let mut made = make(shared, job, stop, &say).await;
    match &made {
        Err(Ended::Failed(Failure::Author(reason))) => {
            say.all(words::of_platform(&format!("error: {}", reason.trim_start_matches("error: "))));
        }
        Err(Ended::Failed(Failure::Platform(what))) => {
            say.all(words::of_platform(&format!("error: the platform could not go on: {what}")));
        }
        Err(Ended::Stopped) => say.all(words::of_platform("stopped")),
        Ok(_) => {}
    }
    lines.end();
    // They are there before the end is told.
    if writing.await.is_err() {
        made = made.and(Err(Ended::Failed(Failure::Platform("the log could not be written"))));
    }
    made
}

/// Says lines of a compile.
#[derive(Clone)]
struct Say {
    lines: Lines,
    cancel: Cancel,
    clock: crate::queue::Clock,
}

impl Say {
    fn all(&self, lines: Vec<ignite_core_model::LogLine>) {
        let at_ms = (self.clock)();
        lines.into_iter().for_each(|line| self.lines.push(SaidLine { at_ms, line }, &self.cancel));
    }
}

async fn make(shared: &Arc<Shared>, job: &LeasedJob, stop: &Stop, say: &Say) -> Result<Compiled, Ended> {
    let CodeSource::Compile(source) = &job.work.source else {
        return Err(author("this platform compiles sources only"));
    };
    let compiler = Arc::clone(&shared.compiler);
    let workspace = tokio::task::spawn_blocking(move || compiler.workspace()).await;
    let workspace = workspace.map_err(|error| ours(shared, "it has a fault", &error))?;
    let workspace = workspace.map_err(|error| ours(shared, "the builder could not use its disk", &error))?;
    let archive = workspace.path().join(SOURCE);
    let fetching = shared.queue.fetch(&source.archive, source.archive_bytes, &archive);
    let fetched = tokio::select! {
        fetched = shared.call(TRANSFER_MAX, fetching) => fetched,
        () = stop.task.cancelled() => return Err(Ended::Stopped),
    };
    fetched.map_err(|error| not_fetched(shared, &error))?;

    let mut request = CompileRequest::new(archive, workspace.path().join(ARTIFACT));
    request.runtime = source.runtime;
    request.target = source.target;
    request.kind = source.artifact_kind;
    request.tenant = job.work.app.organization().to_string();
    request.app = Some(job.work.app.name().to_string());
    request.time_max = shared.options.compile_max.min(job.time_left);
    request.cancel = stop.compile.clone();
    let compiled = compile(shared, request, say.clone()).await?;
    let stored = store(shared, stop, workspace.path(), &compiled).await;
    // Removing it is work for the disk.
    let _ = tokio::task::spawn_blocking(move || drop(workspace)).await;
    stored?;
    Ok(Compiled {
        artifact: compiled.digest,
        artifact_bytes: compiled.bytes,
        runtime: compiled.manifest.runtime,
        target: compiled.manifest.target,
        artifact_kind: compiled.manifest.kind,
    })
}

async fn compile(
    shared: &Shared,
    request: CompileRequest,
    say: Say,
) -> Result<ignite_compiler_builder::Compiled, Ended> {
    let compiler = Arc::clone(&shared.compiler);
    let span = tracing::Span::current();
    let compiling = tokio::task::spawn_blocking(move || {
        let _entered = span.enter();
        let compiled = compiler.compile(&request, &mut |event| say.all(words::of_event(&event)));
        if let Ok(compiled) = &compiled {
            say.all(words::of_success(compiled));
        }
        compiled
    });
    let compiled = compiling.await.map_err(|error| ours(shared, "the compiler has a fault", &error))?;
    compiled.map_err(|error| match (&error, words::failure(&error)) {
        (CompileError::Cancelled, _) => Ended::Stopped,
        (_, Failure::Platform(what)) => ours(shared, what, &error),
        (_, failure) => Ended::Failed(failure),
    })
}

async fn store(
    shared: &Shared,
    stop: &Stop,
    workspace: &Path,
    compiled: &ignite_compiler_builder::Compiled,
) -> Result<(), Ended> {
    let artifact = workspace.join(ARTIFACT);
    let storing = shared.queue.store(&artifact, &compiled.digest, compiled.bytes);
    let stored = tokio::select! {
        stored = shared.call(TRANSFER_MAX, storing) => stored,
        () = stop.task.cancelled() => return Err(Ended::Stopped),
    };
    stored.map_err(|error| ours(shared, "the artifact could not be stored", &error))
}

fn not_fetched(shared: &Shared, error: &QueueError) -> Ended {
    match error {
        QueueError::SourceGone(_) | QueueError::SourceDamaged(_) => author(&format!("{error}: save the draft again")),
        error => ours(shared, "the source could not be read", error),
    }
}

fn author(reason: &str) -> Ended {
    Ended::Failed(Failure::Author(reason.to_owned()))
}

/// A fault of the platform: the log of the builder has all of it.
fn ours(shared: &Shared, what: &'static str, error: &dyn std::error::Error) -> Ended {
    shared.doubted.store(true, Ordering::Relaxed);
    tracing::error!(error = in_full(error), what, "a compile failed for a fault of the platform");
    Ended::Failed(Failure::Platform(what))
}
