//! Where compiles come from and where what came of them goes.

use std::error::Error;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ignite_core_model::{CompileJob, Compiled, Digest, Fault, FunctionId, JobId, LogLine};
use tokio::sync::watch;

/// What a queue answers some time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, QueueError>> + Send + 'a>>;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Largest archive of source that is taken and largest artifact that is given, in bytes.
pub const OBJECT_BYTES_MAX: u64 = 512 << 20;

/// A queue of compiles with leases. Who leases a job works on it until the lease ends; only the newest attempt is heard.
///
/// What is durable and who may see it is the queue's affair. A call may be made again after a doubtful answer: nothing is
/// done twice by it.
pub trait Queue: Send + Sync + 'static {
    /// Leases the next job that is due to `owner`, who works on it for `lease` and renews it before; `None` if none is due.
    fn lease<'a>(&'a self, owner: &'a str, lease: Duration) -> Pending<'a, Option<LeasedJob>>;

    /// Extends a lease to `lease` from now.
    fn renew<'a>(&'a self, lease: &'a Lease, until: Duration) -> Pending<'a, Standing>;

    /// Gives back what `owner` had leased before it was killed: it has its name again, and nothing of the jobs. How many.
    fn reclaim<'a>(&'a self, owner: &'a str) -> Pending<'a, u64>;

    /// How a job stands, without writing.
    fn look<'a>(&'a self, lease: &'a Lease) -> Pending<'a, Standing>;

    /// Appends lines numbered from `first` to the log of a job, and answers the number of the next one. Those that are there
    /// are ignored. `None` if the lease is lost; nothing is written then.
    fn append<'a>(&'a self, lease: &'a Lease, first: u64, lines: &'a [SaidLine]) -> Pending<'a, Option<u64>>;

    /// Ends a job. False if the lease is lost; nothing is written then. A job that was cancelled ends so whatever the result.
    fn finish<'a>(&'a self, lease: &'a Lease, result: &'a Result<Compiled, String>) -> Pending<'a, bool>;

    /// Gives a job back, to be leased again after `pause`. False if it was lost.
    fn give_back<'a>(&'a self, lease: &'a Lease, pause: Duration) -> Pending<'a, bool>;

    /// Writes the source with this digest and size to a new file, whole and proved.
    fn fetch<'a>(&'a self, source: &'a Digest, bytes: u64, into: &'a Path) -> Pending<'a, ()>;

    /// Stores an artifact under its digest.
    fn store<'a>(&'a self, artifact: &'a Path, digest: &'a Digest, bytes: u64) -> Pending<'a, ()>;

    /// Whether everything that a job needs can be reached.
    fn check(&self) -> Pending<'_, ()>;

    /// Removes what killed workers have left half written where artifacts are stored, once nobody can be at work on it.
    fn sweep(&self) -> Pending<'_, ()>;

    /// Wakes who waits when something may have changed.
    fn wake(&self) -> Wake;
}

/// The right to work on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// How often it was leased, this time included.
    pub attempt: u32,
    /// The app it is for.
    pub app: FunctionId,
}

/// A job to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    /// The right to do so.
    pub lease: Lease,
    /// What to do.
    pub work: CompileJob,
    /// How often it may be leased.
    pub attempts_max: u32,
    /// How long it waited to be leased for the first time; `None` for a later attempt.
    pub waited: Option<Duration>,
    /// What is left of its time.
    pub time_left: Duration,
    /// The number that the next line of its log has.
    pub next_line: u64,
}

/// How a job stands for who leased it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Go on.
    Held,
    /// Stop: it is to be cancelled. Finish it, with any result.
    Cancelled,
    /// Stop and write nothing: it is over, or somebody else's.
    Lost,
}

/// A line and when it was said, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidLine {
    /// When.
    pub at_ms: u64,
    /// What.
    pub line: LogLine,
}

/// Longest text of a line, in bytes: as JSON it fits in a line of the store whatever it holds.
pub const LINE_TEXT_BYTES_MAX: usize = 10 * 1024;

/// Why a queue could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The records of jobs and logs.
    #[error("the records could not be read or written")]
    Records(#[source] Box<dyn Error + Send + Sync>),
    /// The store of sources and artifacts.
    #[error("the object store could not be read or written")]
    Objects(#[source] Box<dyn Error + Send + Sync>),
    /// The source of a job is not there: compiling it again would not help.
    #[error("the source {0} is no longer stored")]
    SourceGone(Digest),
    /// The stored source is not the one that was uploaded.
    #[error("the stored source is not {0}")]
    SourceDamaged(Digest),
    /// A file on this machine.
    #[error("could not {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// More waits than is taken.
    #[error("{0} jobs wait, and no more are taken")]
    Full(usize),
    /// No answer came in time.
    #[error("no answer came within {} ms", .0.as_millis())]
    Slow(Duration),
}

impl QueueError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::SourceGone(_) => Fault::Missing,
            Self::SourceDamaged(_) => Fault::Conflict,
            Self::Full(_) | Self::Slow(_) | Self::Records(_) | Self::Objects(_) => Fault::Busy,
            Self::File { .. } => Fault::Internal,
        }
    }
}

/// Wakes when something may have changed. A hint, never the record: who waits looks afterwards, and from time to time anyway.
#[derive(Debug)]
pub struct Wake(pub(crate) Source);

#[derive(Debug)]
pub(crate) enum Source {
    Store(ignite_store_meta::Signal),
    Memory(watch::Receiver<()>),
}

impl Wake {
    /// Waits until something may have changed since it was made or last woke, or for `at_most`.
    pub async fn wait(&mut self, at_most: Duration) {
        match &mut self.0 {
            Source::Store(signal) => signal.wait(at_most).await,
            Source::Memory(changed) => {
                let raised = async {
                    if changed.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                let _ = tokio::time::timeout(at_most, raised).await;
            }
        }
    }
}
