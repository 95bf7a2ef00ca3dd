//! The queue of a platform: jobs and logs in its records, sources and artifacts in its object store.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use ignite_core_model::{COMPILE_JOBS, CompileJob, Compiled, Digest, compile_stream};
use ignite_store_meta::{Bounds, Job, JobState, Line, Meta, MetaError, Renewed, Topic};
use ignite_store_objects::{Content, ObjectKey, Objects, ObjectsError};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::queue::{
    Clock, Lease, LeasedJob, OBJECT_BYTES_MAX, Pending, Queue, QueueError, SaidLine, Source, Standing, Wake,
    system_clock,
};

/// How much of a compile's log is kept.
const LOG_BOUNDS: Bounds = Bounds { lines_max: 100_000, bytes_max: 32 << 20 };

/// Bytes of an artifact that are read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Longest time that storing an object can take; what is half stored and older is nobody's any more.
const PUT_MAX: Duration = Duration::from_secs(15 * 60);

/// Jobs of which nobody could say what to do, ended in one call.
const UNREADABLE_MAX: usize = 16;

/// The queue of compiles in the platform's store. Any number of builders may have one each.
#[derive(Clone)]
pub struct StoreQueue {
    meta: Meta,
    objects: Objects,
    clock: Clock,
}

impl StoreQueue {
    /// The queue in this store.
    #[must_use]
    pub fn new(meta: Meta, objects: Objects) -> Self {
        Self { meta, objects, clock: system_clock() }
    }

    /// The same queue by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    fn until_ms(&self, lease: Duration) -> (u64, u64) {
        let now_ms = self.now_ms();
        (now_ms, now_ms.saturating_add(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)))
    }

    async fn lease_next(&self, owner: &str, lease: Duration) -> Result<Option<LeasedJob>, QueueError> {
        for _ in 0..UNREADABLE_MAX {
            let (now_ms, until_ms) = self.until_ms(lease);
            let job = self.meta.lease_job(COMPILE_JOBS, owner, now_ms, until_ms).await.map_err(records)?;
            let Some(job) = job else { return Ok(None) };
            let work: CompileJob = match serde_json::from_str(&job.payload) {
                Ok(work) => work,
                Err(error) => {
                    // Written by a later release, or by nobody: this builder will never be able to do it.
                    tracing::error!(job = %job.id, error = &error as &dyn std::error::Error, "a job cannot be read");
                    let result = to_json(&"the platform cannot read what is to be compiled: compile it again");
                    self.meta.finish_job(job.id, job.attempt, false, &result, self.now_ms()).await.map_err(records)?;
                    continue;
                }
            };
            return match self.meta.find_log(&compile_stream(&work.app, job.id)).await {
                Ok(log) => Ok(Some(leased(&job, work, log.map_or(1, |log| log.next), now_ms))),
                Err(error) => {
                    // It is not begun; if this fails too, the lease lapses.
                    let _ = self.meta.release_job(job.id, job.attempt, now_ms).await;
                    Err(records(error))
                }
            };
        }
        Ok(None)
    }

    async fn finish_with(&self, lease: &Lease, result: &Result<Compiled, String>) -> Result<bool, QueueError> {
        let (succeeded, text) = match result {
            Ok(compiled) => (true, to_json(compiled)),
            Err(reason) => (false, to_json(reason)),
        };
        let ended = self.meta.finish_job(lease.job, lease.attempt, succeeded, &text, self.now_ms()).await;
        if ended.map_err(records)?.is_some() {
            return Ok(true);
        }
        // What was written before a lost answer is written.
        let job = match self.meta.load_job(lease.job).await {
            Ok(job) => job,
            Err(MetaError::Missing { .. }) => return Ok(false),
            Err(error) => return Err(records(error)),
        };
        let ours = job.attempt == lease.attempt && matches!(job.state, JobState::Ended(_));
        Ok(ours && job.result.as_deref() == Some(text.as_str()))
    }

    async fn fetch_to(&self, source: &Digest, bytes: u64, into: &Path) -> Result<(), QueueError> {
        let unreadable = |error: ObjectsError| match error {
            ObjectsError::Missing(_) => QueueError::SourceGone(*source),
            error => QueueError::Objects(error.into()),
        };
        let file = |doing, cause| QueueError::File { doing, path: into.to_owned(), cause };
        let mut object = self.objects.get(&ObjectKey::source(source), None).await.map_err(unreadable)?;
        if object.size != bytes || bytes > OBJECT_BYTES_MAX {
            return Err(QueueError::SourceDamaged(*source));
        }
        let mut out = tokio::fs::File::create_new(into).await.map_err(|cause| file("make", cause))?;
        let (mut hash, mut read) = (Sha256::new(), 0_u64);
        while let Some(some) = object.body.next().await {
            let some = some.map_err(|cause| QueueError::Objects(cause.into()))?;
            read += some.len() as u64;
            if read > bytes {
                return Err(QueueError::SourceDamaged(*source));
            }
            hash.update(&some);
            out.write_all(&some).await.map_err(|cause| file("write", cause))?;
        }
        out.flush().await.map_err(|cause| file("write", cause))?;
        let whole = read == bytes && Digest::from_bytes(hash.finalize().into()) == *source;
        if whole { Ok(()) } else { Err(QueueError::SourceDamaged(*source)) }
    }

    async fn store_from(&self, artifact: &Path, digest: &Digest, bytes: u64) -> Result<(), QueueError> {
        let file = tokio::fs::File::open(artifact).await;
        let file = file.map_err(|cause| QueueError::File { doing: "open", path: artifact.to_owned(), cause })?;
        let body = futures_util::stream::try_unfold(file, |mut file| async move {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = file.read(&mut chunk).await?;
            chunk.truncate(read);
            Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
        });
        let content = Content { size: bytes, digest: *digest };
        let stored = self.objects.put(&ObjectKey::artifact(digest), body, &content).await;
        stored.map_err(|error| QueueError::Objects(error.into()))
    }
}

impl Queue for StoreQueue {
    fn lease<'a>(&'a self, owner: &'a str, lease: Duration) -> Pending<'a, Option<LeasedJob>> {
        Box::pin(self.lease_next(owner, lease))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, until: Duration) -> Pending<'a, Standing> {
        Box::pin(async move {
            let (now_ms, until_ms) = self.until_ms(until);
            let renewed = self.meta.renew_job(lease.job, lease.attempt, now_ms, until_ms).await.map_err(records)?;
            Ok(match renewed {
                Renewed::Until(_) => Standing::Held,
                Renewed::Cancelled => Standing::Cancelled,
                Renewed::Lost => Standing::Lost,
            })
        })
    }

    fn reclaim<'a>(&'a self, owner: &'a str) -> Pending<'a, u64> {
        Box::pin(async move { self.meta.release_jobs_of(COMPILE_JOBS, owner, self.now_ms()).await.map_err(records) })
    }

    fn look<'a>(&'a self, lease: &'a Lease) -> Pending<'a, Standing> {
        Box::pin(async move {
            let job = match self.meta.load_job(lease.job).await {
                Ok(job) => job,
                // Its app was deleted.
                Err(MetaError::Missing { .. }) => return Ok(Standing::Lost),
                Err(error) => return Err(records(error)),
            };
            let held = job.attempt == lease.attempt && job.state == JobState::Leased && job.ends_by_ms > self.now_ms();
            Ok(match (held, job.cancel) {
                (false, _) => Standing::Lost,
                (true, true) => Standing::Cancelled,
                (true, false) => Standing::Held,
            })
        })
    }

    fn append<'a>(&'a self, lease: &'a Lease, first: u64, lines: &'a [SaidLine]) -> Pending<'a, Option<u64>> {
        Box::pin(async move {
            let lines: Vec<Line> =
                lines.iter().map(|said| Line { at_ms: said.at_ms, body: to_json(&said.line) }).collect();
            let (stream, holder) = (compile_stream(&lease.app, lease.job), (lease.job, lease.attempt));
            let appended = self.meta.append_job_log(holder, &stream, first, &lines, &LOG_BOUNDS, self.now_ms());
            appended.await.map_err(records)
        })
    }

    fn finish<'a>(&'a self, lease: &'a Lease, result: &'a Result<Compiled, String>) -> Pending<'a, bool> {
        Box::pin(self.finish_with(lease, result))
    }

    fn give_back<'a>(&'a self, lease: &'a Lease, pause: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            let (_, due_ms) = self.until_ms(pause);
            self.meta.release_job(lease.job, lease.attempt, due_ms).await.map_err(records)
        })
    }

    fn fetch<'a>(&'a self, source: &'a Digest, bytes: u64, into: &'a Path) -> Pending<'a, ()> {
        Box::pin(self.fetch_to(source, bytes, into))
    }

    fn store<'a>(&'a self, artifact: &'a Path, digest: &'a Digest, bytes: u64) -> Pending<'a, ()> {
        Box::pin(self.store_from(artifact, digest, bytes))
    }

    fn check(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            self.meta.ping().await.map_err(records)?;
            self.objects.check().await.map_err(|error| QueueError::Objects(error.into()))
        })
    }

    fn sweep(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let before = SystemTime::now().checked_sub(PUT_MAX).unwrap_or(SystemTime::UNIX_EPOCH);
            let swept = self.objects.sweep_unfinished(before).await;
            let swept = swept.map_err(|error| QueueError::Objects(error.into()))?;
            if swept > 0 {
                tracing::info!(swept, "what was half stored by whoever was killed is removed");
            }
            Ok(())
        })
    }

    fn wake(&self) -> Wake {
        Wake(Source::Store(self.meta.subscribe(Topic::Jobs(COMPILE_JOBS.to_owned()))))
    }
}

fn leased(job: &Job, work: CompileJob, next_line: u64, now_ms: u64) -> LeasedJob {
    let lease = Lease { job: job.id, attempt: job.attempt, app: work.app.clone() };
    LeasedJob {
        lease,
        work,
        attempts_max: job.attempts_max,
        waited: (job.attempt == 1).then(|| Duration::from_millis(now_ms.saturating_sub(job.created_ms))),
        time_left: Duration::from_millis(job.ends_by_ms.saturating_sub(now_ms)),
        next_line,
    }
}

fn records(error: MetaError) -> QueueError {
    QueueError::Records(error.into())
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("the words of the product have text keys and no failing serializer")
}
