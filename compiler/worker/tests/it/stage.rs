//! A queue of each kind, and what its owner does with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ignite_compiler_worker::{Clock, MemoryEnd, MemoryJob, MemoryQueue, Queue, StoreQueue};
use ignite_core_model::{
    COMPILE_JOBS, CodeSource, CompileJob, CompileSource, Compiled, Digest, FunctionId, JobId, LogLine, Secret,
    compile_stream,
};
use ignite_store_meta::{JobOutcome, JobState, Location, Meta, MetaError, MetaOptions, NewJob};
use ignite_store_objects::{Content, Location as ObjectsLocation, ObjectKey, Objects, UrlSigner};
use ignite_store_testing::Postgres;
use tempfile::TempDir;

/// How a job ended, in the words of any queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded(Compiled),
    Failed(String),
    Cancelled,
    Lost,
    TimedOut,
}

enum Kind {
    Memory(Arc<MemoryQueue>),
    Store { meta: Meta, objects: Objects, _folder: TempDir, _server: Option<Arc<Postgres>> },
}

/// A queue of its own, gone when dropped.
pub(crate) struct Stage {
    pub queue: Arc<dyn Queue>,
    kind: Kind,
    /// Milliseconds that the queue's clock is ahead of this machine's.
    ahead_ms: Arc<AtomicU64>,
    jobs: AtomicU32,
}

/// Longest wait for anything here.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) fn app() -> FunctionId {
    "acme/hello".parse().unwrap()
}

fn clock() -> (Clock, Arc<AtomicU64>) {
    let ahead = Arc::new(AtomicU64::new(0));
    let (system, added) = (ignite_compiler_worker::system_clock(), Arc::clone(&ahead));
    (Arc::new(move || system() + added.load(Ordering::SeqCst)), ahead)
}

impl Stage {
    pub(crate) fn memory() -> Self {
        let (clock, ahead_ms) = clock();
        let queue = Arc::new(MemoryQueue::new(clock));
        Self { queue: queue.clone(), kind: Kind::Memory(queue), ahead_ms, jobs: AtomicU32::new(0) }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("ignite.db"));
        Self::store(location, folder, None).await
    }

    pub(crate) async fn postgres() -> Self {
        let server = Postgres::shared();
        let location = Location::Postgres(Secret::new(server.create_database()));
        Self::store(location, tempfile::tempdir().unwrap(), Some(server)).await
    }

    async fn store(location: Location, folder: TempDir, server: Option<Arc<Postgres>>) -> Self {
        let (clock, ahead_ms) = clock();
        let meta = Meta::open(&MetaOptions::new(location)).await.unwrap();
        let objects = objects(folder.path());
        let queue = Arc::new(StoreQueue::new(meta.clone(), objects.clone()).with_clock(clock));
        let kind = Kind::Store { meta, objects, _folder: folder, _server: server };
        Self { queue, kind, ahead_ms, jobs: AtomicU32::new(0) }
    }

    /// Lets time pass for the queue.
    pub(crate) fn pass(&self, time: Duration) {
        self.ahead_ms.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }

    fn now_ms(&self) -> u64 {
        ignite_compiler_worker::system_clock()() + self.ahead_ms.load(Ordering::SeqCst)
    }

    /// Queues a compile of this archive with three attempts and an hour.
    pub(crate) async fn submit(&self, archive: &[u8]) -> JobId {
        self.submit_with(archive, 3, Duration::from_secs(3600)).await
    }

    pub(crate) async fn submit_with(&self, archive: &[u8], attempts_max: u32, time_max: Duration) -> JobId {
        let now_ms = self.now_ms();
        let number = self.jobs.fetch_add(1, Ordering::SeqCst);
        // In order of their queueing, also within a millisecond.
        let id = JobId::from_parts(now_ms, u128::from(number));
        let work = work(archive);
        match &self.kind {
            Kind::Memory(queue) => {
                let archive = Bytes::copy_from_slice(archive);
                queue.submit(MemoryJob { id, work, archive, attempts_max, time_max }).unwrap();
            }
            Kind::Store { meta, objects, .. } => {
                store_source(objects, archive).await;
                let job = NewJob {
                    id,
                    kind: COMPILE_JOBS.into(),
                    app: None,
                    payload: serde_json::to_string(&work).unwrap(),
                    attempts_max,
                    due_ms: now_ms,
                    ends_by_ms: now_ms + time_max.as_millis() as u64,
                };
                meta.insert_job(&job, now_ms).await.unwrap();
            }
        }
        id
    }

    pub(crate) async fn cancel(&self, id: JobId) -> bool {
        match &self.kind {
            Kind::Memory(queue) => queue.cancel(id),
            Kind::Store { meta, .. } => meta.cancel_job(id, self.now_ms()).await.unwrap(),
        }
    }

    pub(crate) async fn end(&self, id: JobId) -> Option<End> {
        match &self.kind {
            Kind::Memory(queue) => queue.end(id).map(|end| match end {
                MemoryEnd::Finished(Ok(compiled)) => End::Succeeded(compiled),
                MemoryEnd::Finished(Err(reason)) => End::Failed(reason),
                MemoryEnd::Cancelled => End::Cancelled,
                MemoryEnd::Lost => End::Lost,
                MemoryEnd::TimedOut => End::TimedOut,
            }),
            Kind::Store { meta, .. } => {
                meta.end_overdue_jobs(self.now_ms()).await.unwrap();
                end_of(meta, id).await
            }
        }
    }

    /// Waits until a job has ended.
    pub(crate) async fn ended(&self, id: JobId) -> End {
        eventually("the job ends", async || self.end(id).await).await
    }

    pub(crate) async fn lines(&self, id: JobId) -> Vec<(u64, LogLine)> {
        match &self.kind {
            Kind::Memory(queue) => {
                let lines = queue.lines(id, 1);
                lines.into_iter().enumerate().map(|(at, said)| (at as u64 + 1, said.line)).collect()
            }
            Kind::Store { meta, .. } => lines_of(meta, id).await,
        }
    }

    pub(crate) async fn artifact(&self, digest: &Digest) -> Option<Bytes> {
        match &self.kind {
            Kind::Memory(queue) => queue.take_artifact(digest),
            Kind::Store { objects, .. } => objects.get_bytes(&ObjectKey::artifact(digest), 1 << 30).await.ok(),
        }
    }
}

pub(crate) fn objects(folder: &std::path::Path) -> Objects {
    let signer = UrlSigner::new(Secret::new([7; 32]), "http://localhost/objects");
    Objects::open(&ObjectsLocation::Folder { root: folder.join("objects"), signer }).unwrap()
}

pub(crate) async fn store_source(objects: &Objects, archive: &[u8]) {
    let content = Content::of(archive);
    let key = ObjectKey::source(&content.digest);
    objects.put_bytes(&key, Bytes::copy_from_slice(archive), &content).await.unwrap();
}

pub(crate) fn work(archive: &[u8]) -> CompileJob {
    let source = CompileSource {
        archive: Digest::of(archive),
        archive_bytes: archive.len() as u64,
        runtime: None,
        target: None,
        artifact_kind: None,
    };
    CompileJob { app: app(), source: CodeSource::Compile(source) }
}

pub(crate) async fn end_of(meta: &Meta, id: JobId) -> Option<End> {
    let job = match meta.load_job(id).await {
        Ok(job) => job,
        // Another process has the file for a moment.
        Err(MetaError::Busy(_)) => return None,
        Err(error) => panic!("{error}"),
    };
    let result = job.result.as_deref().unwrap_or("null");
    match job.state {
        JobState::Waiting | JobState::Leased => None,
        JobState::Ended(JobOutcome::Succeeded) => Some(End::Succeeded(serde_json::from_str(result).unwrap())),
        JobState::Ended(JobOutcome::Failed) => Some(End::Failed(serde_json::from_str(result).unwrap())),
        JobState::Ended(JobOutcome::Cancelled) => Some(End::Cancelled),
        JobState::Ended(JobOutcome::Lost) => Some(End::Lost),
        JobState::Ended(JobOutcome::TimedOut) => Some(End::TimedOut),
    }
}

pub(crate) async fn lines_of(meta: &Meta, id: JobId) -> Vec<(u64, LogLine)> {
    let stored = meta.read_log(&compile_stream(&app(), id), 1, 1_000_000).await.unwrap();
    stored.into_iter().map(|line| (line.sequence, serde_json::from_str(&line.body).unwrap())).collect()
}

/// Looks again and again until there is something.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < WAIT_MAX, "{what}: not within {WAIT_MAX:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
