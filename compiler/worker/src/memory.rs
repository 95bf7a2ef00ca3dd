//! A queue in memory: for one program that asks and compiles, and for tests. What it holds ends with the program.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ignite_core_model::{CodeSource, CompileJob, Compiled, Digest, JobId};
use tokio::sync::watch;

use crate::queue::{
    Clock, Lease, LeasedJob, OBJECT_BYTES_MAX, Pending, Queue, QueueError, SaidLine, Source, Standing, Wake,
    system_clock,
};

/// Jobs that are remembered, ended ones too; of these the oldest goes when another comes.
const JOBS_MAX: usize = 1024;

/// Lines that are kept of a job; the first ones stay.
const LINES_MAX: usize = 100_000;

/// Artifacts that wait to be taken away.
const ARTIFACTS_MAX: usize = 256;

/// A job to queue.
#[derive(Debug, Clone)]
pub struct MemoryJob {
    /// Its id; jobs are leased by time and then by id.
    pub id: JobId,
    /// What to do.
    pub work: CompileJob,
    /// The archive of the source that `work` names; it goes when the job is over.
    pub archive: Bytes,
    /// How often it may be leased.
    pub attempts_max: u32,
    /// Longest time from now until it is over, done or not.
    pub time_max: Duration,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryEnd {
    /// Its worker said so.
    Finished(Result<Compiled, String>),
    /// It was cancelled.
    Cancelled,
    /// It was leased as often as it may be, and none of its workers ended it.
    Lost,
    /// Its time was over.
    TimedOut,
}

struct Entry {
    job: MemoryJob,
    /// Waiting: when it may be leased. Leased: when the lease ends.
    due_ms: u64,
    ends_by_ms: u64,
    created_ms: u64,
    attempt: u32,
    leased: bool,
    cancel: bool,
    lines: Vec<SaidLine>,
    end: Option<MemoryEnd>,
}

impl Entry {
    fn ends(&mut self, end: MemoryEnd) {
        self.end = Some(end);
        self.job.archive = Bytes::new();
    }
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<JobId, Entry>,
    artifacts: HashMap<Digest, Bytes>,
}

/// The queue. Share it by `Arc`.
pub struct MemoryQueue {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    clock: Clock,
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new(system_clock())
    }
}

impl MemoryQueue {
    /// An empty queue that goes by this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()), clock }
    }

    /// Queues a job.
    ///
    /// # Errors
    /// [`QueueError::Full`] while too many are not over yet.
    pub fn submit(&self, job: MemoryJob) -> Result<(), QueueError> {
        let now_ms = (self.clock)();
        let mut state = self.lock();
        if state.jobs.len() >= JOBS_MAX {
            let oldest = state.jobs.iter().find(|(_, entry)| entry.end.is_some()).map(|(id, _)| *id);
            let oldest = oldest.ok_or(QueueError::Full(JOBS_MAX))?;
            state.jobs.remove(&oldest);
        }
        let ends_by_ms = now_ms.saturating_add(millis(job.time_max));
        let entry = Entry {
            due_ms: now_ms,
            ends_by_ms,
            created_ms: now_ms,
            attempt: 0,
            leased: false,
            cancel: false,
            lines: Vec::new(),
            end: None,
            job,
        };
        state.jobs.insert(entry.job.id, entry);
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// Marks a job to be cancelled; one that only waits ends now. Tells whether it was not over yet.
    pub fn cancel(&self, id: JobId) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.jobs.get_mut(&id).filter(|entry| entry.end.is_none()) else { return false };
        entry.cancel = true;
        if !entry.leased {
            entry.ends(MemoryEnd::Cancelled);
        }
        drop(state);
        self.changed.send_replace(());
        true
    }

    /// How a job ended; `None` while it has not, or where there is none.
    #[must_use]
    pub fn end(&self, id: JobId) -> Option<MemoryEnd> {
        let mut state = self.lock();
        end_overdue(&mut state, (self.clock)());
        state.jobs.get(&id)?.end.clone()
    }

    /// The lines of a job whose number is `from` or more; the first has the number 1.
    #[must_use]
    pub fn lines(&self, id: JobId, from: u64) -> Vec<SaidLine> {
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let state = self.lock();
        state.jobs.get(&id).and_then(|entry| entry.lines.get(skipped..)).unwrap_or_default().to_vec()
    }

    /// An artifact that was stored, and is given away by this.
    #[must_use]
    pub fn take_artifact(&self, digest: &Digest) -> Option<Bytes> {
        self.lock().artifacts.remove(digest)
    }

    /// Waits, by turns with looking, for jobs to change.
    #[must_use]
    pub fn subscribe(&self) -> Wake {
        Wake(Source::Memory(self.changed.subscribe()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job of a lease, for who still has it.
    fn held<T>(&self, lease: &Lease, then: impl FnOnce(&mut Entry, u64) -> T) -> Option<T> {
        let now_ms = (self.clock)();
        let mut state = self.lock();
        let entry = state.jobs.get_mut(&lease.job)?;
        let held = entry.leased && entry.attempt == lease.attempt && entry.end.is_none() && entry.ends_by_ms > now_ms;
        held.then(|| then(entry, now_ms))
    }

    fn lease_now(&self, lease: Duration) -> Option<LeasedJob> {
        let now_ms = (self.clock)();
        let mut state = self.lock();
        end_overdue(&mut state, now_ms);
        let next = state.jobs.values_mut().filter(|entry| entry.end.is_none() && entry.due_ms <= now_ms);
        let entry = next.min_by_key(|entry| (entry.due_ms, entry.job.id))?;
        entry.leased = true;
        entry.attempt += 1;
        entry.due_ms = now_ms.saturating_add(millis(lease)).min(entry.ends_by_ms);
        Some(LeasedJob {
            lease: Lease { job: entry.job.id, attempt: entry.attempt, app: entry.job.work.app.clone() },
            work: entry.job.work.clone(),
            attempts_max: entry.job.attempts_max,
            waited: (entry.attempt == 1).then(|| Duration::from_millis(now_ms.saturating_sub(entry.created_ms))),
            time_left: Duration::from_millis(entry.ends_by_ms.saturating_sub(now_ms)),
            next_line: entry.lines.len() as u64 + 1,
        })
    }

    fn fetch_now(&self, source: &Digest, bytes: u64, into: &Path) -> Result<(), QueueError> {
        let archive = {
            let state = self.lock();
            let named = state.jobs.values().filter(|entry| entry.end.is_none()).find(|entry| {
                let CodeSource::Compile(wanted) = &entry.job.work.source else { return false };
                wanted.archive == *source
            });
            named.map(|entry| entry.job.archive.clone()).ok_or(QueueError::SourceGone(*source))?
        };
        if archive.len() as u64 != bytes || bytes > OBJECT_BYTES_MAX || Digest::of(&archive) != *source {
            return Err(QueueError::SourceDamaged(*source));
        }
        let failed = |cause| QueueError::File { doing: "write", path: into.to_owned(), cause };
        std::fs::write(into, &archive).map_err(failed)
    }

    fn store_now(&self, artifact: &Path, digest: &Digest) -> Result<(), QueueError> {
        let failed = |cause| QueueError::File { doing: "read", path: artifact.to_owned(), cause };
        let bytes = std::fs::read(artifact).map_err(failed)?;
        if Digest::of(&bytes) != *digest {
            return Err(failed(std::io::Error::other("it changed since it was written")));
        }
        let mut state = self.lock();
        if state.artifacts.len() >= ARTIFACTS_MAX && !state.artifacts.contains_key(digest) {
            return Err(QueueError::Full(ARTIFACTS_MAX));
        }
        state.artifacts.insert(*digest, bytes.into());
        Ok(())
    }

    fn finish_now(&self, lease: &Lease, result: &Result<Compiled, String>) -> bool {
        let finished = self.held(lease, |entry, _| {
            let end = if entry.cancel { MemoryEnd::Cancelled } else { MemoryEnd::Finished(result.clone()) };
            entry.ends(end);
        });
        self.changed.send_replace(());
        if finished.is_some() {
            return true;
        }
        // Said again after a doubtful answer.
        let state = self.lock();
        state.jobs.get(&lease.job).is_some_and(|entry| {
            entry.attempt == lease.attempt && entry.end == Some(MemoryEnd::Finished(result.clone()))
        })
    }
}

/// Ends jobs that can not go on: cancelled, leased too often, or out of time.
fn end_overdue(state: &mut State, now_ms: u64) {
    for entry in state.jobs.values_mut().filter(|entry| entry.end.is_none()) {
        let over = entry.ends_by_ms <= now_ms;
        let given_up = entry.due_ms <= now_ms && (entry.attempt >= entry.job.attempts_max || entry.cancel);
        match (entry.cancel, over) {
            (true, _) if over || given_up => entry.ends(MemoryEnd::Cancelled),
            (false, true) => entry.ends(MemoryEnd::TimedOut),
            (false, false) if given_up => entry.ends(MemoryEnd::Lost),
            _ => {}
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn ready<'a, T: Send + 'a>(result: Result<T, QueueError>) -> Pending<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Queue for MemoryQueue {
    fn lease<'a>(&'a self, _owner: &'a str, lease: Duration) -> Pending<'a, Option<LeasedJob>> {
        ready(Ok(self.lease_now(lease)))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, until: Duration) -> Pending<'a, Standing> {
        let renewed = self.held(lease, |entry, now_ms| {
            entry.due_ms = now_ms.saturating_add(millis(until)).min(entry.ends_by_ms);
            if entry.cancel { Standing::Cancelled } else { Standing::Held }
        });
        ready(Ok(renewed.unwrap_or(Standing::Lost)))
    }

    /// What had a lease ended with the program.
    fn reclaim<'a>(&'a self, _owner: &'a str) -> Pending<'a, u64> {
        ready(Ok(0))
    }

    fn look<'a>(&'a self, lease: &'a Lease) -> Pending<'a, Standing> {
        let standing = self.held(lease, |entry, _| if entry.cancel { Standing::Cancelled } else { Standing::Held });
        ready(Ok(standing.unwrap_or(Standing::Lost)))
    }

    fn append<'a>(&'a self, lease: &'a Lease, first: u64, lines: &'a [SaidLine]) -> Pending<'a, Option<u64>> {
        let next = self.held(lease, |entry, _| {
            let next = entry.lines.len() as u64 + 1;
            // A gap cannot be: whoever has the lease is the only one who numbers.
            let known = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
            let room = LINES_MAX.saturating_sub(entry.lines.len());
            entry.lines.extend(lines.iter().skip(known).take(room).cloned());
            first + lines.len() as u64
        });
        self.changed.send_replace(());
        ready(Ok(next))
    }

    fn finish<'a>(&'a self, lease: &'a Lease, result: &'a Result<Compiled, String>) -> Pending<'a, bool> {
        ready(Ok(self.finish_now(lease, result)))
    }

    fn give_back<'a>(&'a self, lease: &'a Lease, pause: Duration) -> Pending<'a, bool> {
        let given = self.held(lease, |entry, now_ms| {
            entry.leased = false;
            entry.due_ms = now_ms.saturating_add(millis(pause));
        });
        self.changed.send_replace(());
        ready(Ok(given.is_some()))
    }

    fn fetch<'a>(&'a self, source: &'a Digest, bytes: u64, into: &'a Path) -> Pending<'a, ()> {
        ready(self.fetch_now(source, bytes, into))
    }

    fn store<'a>(&'a self, artifact: &'a Path, digest: &'a Digest, _bytes: u64) -> Pending<'a, ()> {
        ready(self.store_now(artifact, digest))
    }

    fn check(&self) -> Pending<'_, ()> {
        ready(Ok(()))
    }

    fn sweep(&self) -> Pending<'_, ()> {
        ready(Ok(()))
    }

    fn wake(&self) -> Wake {
        self.subscribe()
    }
}
