//! The one thread that starts workers.
//!
//! A worker is told by the system when the *thread* that started it ends (`PR_SET_PDEATHSIG`, prctl(2)), so that none
//! outlives a host that was killed, however its handler behaves. That thread must therefore live as long as the host;
//! those of the runtime's blocking pool do not.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::oneshot;

/// Starts that may wait for the thread; the caller of a further one waits until there is room.
const WAITING_MAX: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// Runs `job` on the starting thread.
///
/// # Errors
/// When there is no such thread, or the job panicked.
pub(crate) async fn run<T: Send + 'static>(job: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    static JOBS: OnceLock<SyncSender<Job>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (jobs, received) = sync_channel::<Job>(WAITING_MAX);
        // Where no thread can be made, the receiver is gone with the closure and each send below tells it.
        let _ = std::thread::Builder::new().name("worker-starter".into()).spawn(move || {
            for job in received {
                // The thread outlives a fault of one start, or all workers would be ended with it.
                let _ = std::panic::catch_unwind(AssertUnwindSafe(job));
            }
        });
        jobs
    });
    let (done, finished) = oneshot::channel();
    let job: Job = Box::new(move || drop(done.send(job())));
    jobs.send(job).map_err(|_| io::Error::other("the thread that starts workers is not there"))?;
    finished.await.map_err(|_| io::Error::other("starting the worker was given up"))?
}
